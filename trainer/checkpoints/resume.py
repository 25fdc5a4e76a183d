"""A run that was stopped goes on where its last state was saved, and ends in the same bits.

Batch order, dropout and rate are functions of the seed and the step alone, so that weights,
optimizer and the number of the step are all the state there is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.base.errors import CurateError
from curate.base.folder import sha256, write_atomic
from trainer.checkpoints import adapters, checkpoint
from trainer.config.groups import RENAMED
from trainer.data.rows import Rows
from trainer.distributed import Group
from trainer.loss import LossMode
from trainer.models.sharding import gathered, share_like, whole
from trainer.plan import Plan
from trainer.result import Epoch

if TYPE_CHECKING:
    import torch

STATE = "state"
# Fields that say how to run, not what comes out; of files and folders the content counts.
_FREE = (
    "force",
    "resume",
    "save_steps",
    "out",
    "proof",
    "tokens",
    "model",
    "from_adapter",
    "replay",
    "retention",
    "teacher",
    "labels",
    "undesirable",
    "fisher_text",
    "report_to",
    "sharding",
)
# What a state belongs to besides settings and stops, and how it is put if that is another.
_OTHERS = {
    "rows": "the rows to train on are others",
    "rejected": "the rejected answers are others",
    "sources": "the sources of the rows are others",
    "replay": "the text of replay is another",
    "retention": "the text of retention is another",
    "adapter": "the adapter it went on from is another",
    "classes": "the classes of labels are others",
    "routers": "the loss of the routers is another",
    "teacher": "the teacher is another",
    "fisher_text": "the text of fisher_text is another",
    "fisher": "the Fisher information is another",
    "weights": "the weights of the base model are others",
}
_FILES = ("optimizer.safetensors", "weights.safetensors")
# Of preferences, beside them: ln p of both answers by the model before training.
_REFERENCE = "reference.safetensors"
# The newest, and one to fall back on if it is damaged.
_KEPT = 2


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is: optimizer steps taken, finished epochs, and sums of the one under way.

    `counted` is what the targets behind `nats` count, and `updates` are those of bf16 weights in
    the epoch under way: all that moved, and those that rounding loses.
    """

    step: int = 0
    table: tuple[Epoch, ...] = ()
    kept: tuple[int, ...] = ()
    nats: float = 0.0
    counted: float = 0.0
    updates: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True)
class Saved:
    """What a state says of itself: the run it belongs to, and how far that was."""

    of: dict[str, Any]
    progress: Progress


def settings(plan: Plan) -> dict[str, Any]:
    """What a state belongs to, as far as it is known before the model is loaded.

    The rows are both sides of pairs where both are read, and their labels, by which epochs are
    compared; of general text it is the words that count, not where they lie.
    """
    config, mixture = plan.config, plan.mixture
    values = dataclasses.asdict(config)
    # A rate that is found is found again, from the same weights.
    free = (*_FREE, "learning_rate") if config.lr_find else _FREE
    kept = {name: value for name, value in values.items() if name not in free}
    if config.prompts:  # what answers are compared with, wherever it is from
        kept["length_target"] = plan.length.tokens
    known = {
        "config": kept,
        "rows": _digest(mixture.rows, 0, mixture.own, "\n".join(plan.tokens.rows.ids)),
        "rejected": _digest(plan.rejected if plan.pairs is None else plan.pairs.rejected),
        "replay": _digest(mixture.rows, mixture.own),
        "retention": _digest(plan.general[0] if plan.general else None),
        "fisher_text": _digest(plan.measured[0] if plan.measured else None),
        "teacher": None if plan.teacher is None else plan.teacher.identity,
        "classes": plan.labelled.classes if plan.labelled else None,
        "sources": hashlib.sha256("\n".join(plan.tokens.sources or ()).encode()).hexdigest(),
        "adapter": adapters.identity(config.from_adapter),
        "stops": [list(plan.tokens.stop_ids), list(plan.tokens.stop_strings)],
    }
    # Through JSON, where a tuple is a list.
    same: dict[str, Any] = json.loads(json.dumps(known))
    return same


def _digest(
    rows: Rows | None, first: int = 0, last: int | None = None, names: str = ""
) -> str | None:
    """The hash of all that decides what the rows teach, and of names, by which some are held out.

    The names of general text are those of its file.
    """
    if rows is None:
        return None
    digest = hashlib.sha256(names.encode())
    offsets = rows.offsets[first : None if last is None else last + 1]
    places = slice(int(offsets[0]), int(offsets[-1]))
    digest.update(np.diff(offsets).tobytes())
    for array in (rows.input_ids, rows.labels, rows.targets, rows.weights):
        if array is not None:
            digest.update(array[places].tobytes())
    return digest.hexdigest()


def fingerprint(known: dict[str, Any], net: Any, mode: LossMode) -> dict[str, Any]:
    """What a state belongs to: settings, rows and texts, and the model before training."""
    added = None if mode.routers is None else dataclasses.asdict(mode.routers)
    fisher = None if mode.anchor is None else mode.anchor.identity
    return {**known, "weights": weights_hash(net), "routers": added, "fisher": fisher}


def weights_hash(net: Any) -> str:
    """The hash of all weights by name; of shared ones every process must ask."""
    import torch

    weights = hashlib.blake2b(digest_size=16)
    for name, weight in net.named_parameters():
        weights.update(name.encode())
        plain = whole(weight).cpu().contiguous().flatten()
        weights.update(plain.view(torch.uint8).numpy().data)
    return weights.hexdigest()


def updates(optimizer: torch.optim.Optimizer, group: Group) -> tuple[int, int]:
    """Updates of bf16 weights since the last evaluation: all that moved, and those that are lost.

    Where weights are shared every process must ask, and those of all are added up.
    """
    own = [int(getattr(optimizer, name, 0)) for name in ("moved", "lost")]
    moved, lost = group.total(own) if group.sharded else own
    return int(moved), int(lost)


def restore_updates(
    optimizer: torch.optim.Optimizer, counted: tuple[int, int], group: Group
) -> None:
    """Go on counting where `updates` was asked, so that the share is that of the whole epoch."""
    if hasattr(optimizer, "moved"):
        mine = counted if group.first or not group.sharded else (0, 0)
        for name, count in zip(("moved", "lost"), mine, strict=True):
            setattr(optimizer, name, count)


def check(out: Path, now: dict[str, Any]) -> None:
    """Refuse to resume a run of other settings, before anything is loaded or logged."""
    if saved := _newest(out):
        _check_same(saved.of, now, out)


def steps_done(out: Path) -> int:
    """The step after which a stopped run would go on; 0 without a state."""
    saved = _newest(out)
    return saved.progress.step if saved else 0


def _newest(out: Path) -> Saved | None:
    """What the newest intact state says of itself."""
    found = (_read(place) for place in reversed(_states(out)))
    return next((saved for saved in found if saved is not None), None)


def save(
    out: Path,
    of: dict[str, Any],
    net: Any,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    first: bool = True,
    reference: NDArray[np.float64] | None = None,
) -> None:
    """Write the state whole, then remove all but it and the one before.

    A `reference` is written with it: after a resume it could no longer be asked for.
    Where weights are shared every process must give its part, and only the `first` writes.
    """
    from safetensors import numpy as arrays
    from safetensors.torch import save_file

    moments = {
        f"{number}.{name}": value
        for number, each in optimizer.state_dict()["state"].items()
        for name, value in each.items()
    }
    weights, moments = gathered(_trained(net), first), gathered(moments, first)
    if not first:
        return
    final = out / STATE / f"step-{progress.step}"
    final.parent.mkdir(exist_ok=True)
    with checkpoint.whole_folder(final) as folder:
        save_file(weights, folder / "weights.safetensors")
        save_file(moments, folder / "optimizer.safetensors")
        if reference is not None:
            arrays.save_file({"reference": reference}, folder / _REFERENCE)
        files = {path.name: sha256(path) for path in sorted(folder.glob("*.safetensors"))}
        content = {"of": of, "progress": dataclasses.asdict(progress), "files": files}
        checkpoint.write_json(folder / "state.json", {**content, "sha256": _own_hash(content)})
    for folder in _states(out)[:-_KEPT]:
        shutil.rmtree(folder)


def restore(
    out: Path,
    of: dict[str, Any],
    net: Any,
    optimizer: torch.optim.Optimizer,
    log: Callable[[str], None],
    tidy: bool = True,
) -> Progress | None:
    """Put the newest intact state into the model and its optimizer; None if there is no state.

    With `tidy` what was written after that state is removed.

    Raises `CurateError` when the state belongs to another run, or if every state is damaged.
    """
    states = _states(out)
    for place in reversed(states):
        saved = _read(place)
        if saved is None:
            log(f"{place}: this state is damaged, so an earlier one is taken")
            continue
        _check_same(saved.of, of, out)
        _load(place, net, optimizer)
        if tidy:
            _forget_later(out, saved.progress)
        return saved.progress
    if states:
        raise CurateError(
            f"{states[-1]}: the saved state is damaged, and there is no earlier one; "
            f"{checkpoint.last_good(out)}; start anew with --force"
        )
    if (
        tidy and out.is_dir()
    ):  # a kill may come between the first epoch's checkpoint and the first state
        _forget_later(out, Progress())
    return None


def stored_reference(out: Path, of: dict[str, Any]) -> NDArray[np.float64] | None:
    """The reference that the newest intact state holds; None without a state, or without one.

    Raises `CurateError` when the state belongs to other weights, rows or settings than `of`: its
    reference would be stale.
    """
    from safetensors import numpy as arrays

    for place in reversed(_states(out)):
        saved = _read(place)
        if saved is not None:
            _check_same(saved.of, of, out)
            path = place / _REFERENCE
            return arrays.load_file(path)["reference"] if path.is_file() else None
    return None


def _read(place: Path) -> Saved | None:
    """What a state says of itself; None if it or one of its files is not as it was written.

    Raises `CurateError` for a state of an earlier version, whose settings had other names.
    """
    try:
        written = json.loads((place / "state.json").read_bytes())
        intact = set(written["files"]) - {_REFERENCE} == set(_FILES) and all(
            sha256(place / name) == hash for name, hash in written["files"].items()
        )
        noted = written.pop("sha256", None)  # of itself; versions before had none
        intact = intact and noted in (None, _own_hash(written))
        config = dict(written["of"]["config"])
        if former := sorted(RENAMED.keys() & config.keys()):
            pairs = ", ".join(f"{name!r} is now {RENAMED[name]!r}" for name in former)
            raise CurateError(
                f"{place}: was written by an earlier version, whose settings had other names "
                f"({pairs}); go on with that version, or start anew with --force"
            )
        if "stops" not in written["of"]:
            raise CurateError(
                f"{place}: was written by an earlier version, which did not note whether texts, "
                "sources and stops are the same; go on with that version, or start anew with "
                "--force"
            )
        for name in ("adapter", "teacher", "classes", "fisher_text", "fisher"):
            written["of"].setdefault(name, None)  # versions before had none of them
        of = {name: written["of"][name] for name in (*_OTHERS, "stops")}
        saved = Saved({**of, "config": config}, _progress(written["progress"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return saved if intact and place.name == f"step-{saved.progress.step}" else None


def _own_hash(content: Mapping[str, Any]) -> str:
    """The hash of what a state says of itself, however it is laid out."""
    plain = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(json.dumps(json.loads(plain), sort_keys=True).encode()).hexdigest()


def _load(place: Path, net: Any, optimizer: torch.optim.Optimizer) -> None:
    import torch
    from safetensors.torch import load_file

    weights = load_file(place / "weights.safetensors")
    with torch.no_grad():
        for name, weight in _trained(net).items():
            weight.copy_(share_like(weights[name], weight))
    trained = [weight for group in optimizer.param_groups for weight in group["params"]]
    # Not by load_state_dict, which would round fp32 moments of bf16 weights to bf16.
    for key, value in load_file(place / "optimizer.safetensors").items():
        number, _, name = key.partition(".")
        weight = trained[int(number)]
        optimizer.state[weight][name] = share_like(value, weight)


def _trained(net: Any) -> dict[str, torch.Tensor]:
    return {
        name: weight.detach() for name, weight in net.named_parameters() if weight.requires_grad
    }


def _states(out: Path) -> list[Path]:
    return [path for _, path in checkpoint.numbered(out / STATE, "step-")]


def _check_same(saved: dict[str, Any], now: dict[str, Any], out: Path) -> None:
    fields = [
        f"{name} was {saved['config'].get(name)!r}, now {value!r}"
        for name, value in now["config"].items()
        if saved["config"].get(name) != value
    ]
    fields += [
        words for part, words in _OTHERS.items() if saved[part] != now.get(part, saved[part])
    ]
    if saved["stops"] != now["stops"]:
        fields.append(f"the stops were {_shown(saved['stops'])}, now {_shown(now['stops'])}")
    if fields:
        raise CurateError(
            f"{out}: cannot resume, the run that was stopped is another one: {'; '.join(fields)}; "
            "give the same settings, or start anew with --force"
        )


def _shown(stops: list[list[Any]]) -> str:
    ids, strings = stops
    return ", ".join(map(repr, [*ids, *strings])) or "none"


def _progress(written: dict[str, Any]) -> Progress:
    """Progress as it was written; what older states hold besides is not read."""
    table = tuple(Epoch.read(line) for line in written["table"])
    kept = tuple(int(epoch) for epoch in written["kept"])
    nats, counted = float(written["nats"]), float(written["counted"])
    moved, lost = map(int, written["updates"])
    return Progress(int(written["step"]), table, kept, nats, counted, (moved, lost))


def _forget_later(out: Path, progress: Progress) -> None:
    """Remove what was written after the state: it comes again, with the same bits."""
    done = max((line.epoch for line in progress.table), default=0)
    for folder, prefix, last in ((STATE, "step-", progress.step), ("epochs", "epoch-", done)):
        for number, place in checkpoint.numbered(out / folder, prefix):
            if number > last:
                shutil.rmtree(place)
    metrics = out / "metrics.jsonl"
    text = metrics.read_text(encoding="utf-8", errors="replace") if metrics.is_file() else ""
    lines = text.splitlines()
    kept = [line for line in lines if _up_to(line, progress.step)]
    write_atomic(metrics, "".join(f"{line}\n" for line in kept))


def _up_to(line: str, step: int) -> bool:
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, KeyError, TypeError):
        return False  # the line that was being written, or none of ours
