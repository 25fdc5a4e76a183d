"""A run that was stopped goes on where its last state was saved, and ends in the same bits.

Batch order, dropout and rate are functions of the seed and the step alone, so that weights,
optimizer and the number of the step are all the state there is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.schema import CurateError
from trainer import checkpoint
from trainer.plan import Plan
from trainer.result import Epoch, Evaluation

if TYPE_CHECKING:
    import torch

STATE = "state"
# Fields that say how to run, not what comes out.
_FREE = ("force", "resume", "save_every", "out")


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is: optimizer steps taken, finished epochs, and sums of the one under way."""

    step: int = 0
    table: tuple[Epoch, ...] = ()
    kept: tuple[int, ...] = ()
    nats: float = 0.0
    targets: int = 0
    tokens: int = 0


def fingerprint(plan: Plan, net: Any) -> dict[str, Any]:
    """What a state belongs to: settings, rows and the weights before training."""
    rows = hashlib.sha256()
    for array in (plan.tokens.rows.input_ids, plan.tokens.rows.labels, plan.tokens.rows.offsets):
        rows.update(array.tobytes())
    weights = hashlib.blake2b(digest_size=16)
    for name, weight in net.named_parameters():
        weights.update(name.encode())
        weights.update(memoryview(weight.detach().cpu().contiguous().numpy()).cast("B"))
    config = dataclasses.asdict(plan.config)
    return {
        "config": {name: value for name, value in config.items() if name not in _FREE},
        "rows": rows.hexdigest(),
        "weights": weights.hexdigest(),
    }


def save(
    out: Path, of: dict[str, Any], net: Any, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    """Write the state whole, then remove the one before it."""
    from safetensors.torch import save_file

    final = out / STATE / f"step-{progress.step}"
    final.parent.mkdir(exist_ok=True)
    earlier = _states(out)
    moments = {
        f"{number}.{name}": value.contiguous()
        for number, each in optimizer.state_dict()["state"].items()
        for name, value in each.items()
    }
    with checkpoint.whole_folder(final) as folder:
        save_file(_trained(net), folder / "weights.safetensors")
        save_file(moments, folder / "optimizer.safetensors")
        said = {"of": of, "progress": dataclasses.asdict(progress)}
        checkpoint.write_json(folder / "state.json", said)
    for folder in earlier:
        shutil.rmtree(folder)


def restore(
    out: Path, of: dict[str, Any], net: Any, optimizer: torch.optim.Optimizer
) -> Progress | None:
    """Put the newest state into the model and its optimizer; None if there is no state.

    Raises `CurateError` when the state belongs to another run, or is damaged.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    states = _states(out)
    if not states:
        return None
    place = states[-1]
    try:
        said = json.loads((place / "state.json").read_bytes())
        _check_same(said["of"], of, out)
        weights = load_file(place / "weights.safetensors")
        moments = load_file(place / "optimizer.safetensors")
        with torch.no_grad():
            for name, weight in _trained(net).items():
                weight.copy_(weights[name])
        progress = _progress(said["progress"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CurateError(
            f"{place}: the saved state is damaged ({error}); {checkpoint.last_good(out)}; "
            "start anew with --force"
        ) from error
    by_number: dict[int, dict[str, Any]] = {}
    for key, value in moments.items():
        number, _, name = key.partition(".")
        by_number.setdefault(int(number), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": by_number, "param_groups": groups})
    _forget_later(out, progress)
    return progress


def _trained(net: Any) -> dict[str, torch.Tensor]:
    return {
        name: weight.detach() for name, weight in net.named_parameters() if weight.requires_grad
    }


def _states(out: Path) -> list[Path]:
    return sorted(
        (out / STATE).glob("step-*"), key=lambda path: int(path.name.removeprefix("step-"))
    )


def _check_same(saved: dict[str, Any], now: dict[str, Any], out: Path) -> None:
    # Through JSON, where a tuple is a list.
    now = json.loads(json.dumps(now))
    fields = [
        f"{name} was {saved['config'].get(name)!r}, now {value!r}"
        for name, value in now["config"].items()
        if saved["config"].get(name) != value
    ]
    if saved["rows"] != now["rows"]:
        fields.append("the rows of the TOKENS folder are others")
    if saved["weights"] != now["weights"]:
        fields.append("the weights of the base model are others")
    if fields:
        raise CurateError(
            f"{out}: cannot resume, the run that was stopped is another one: {'; '.join(fields)}; "
            "give the same settings, or start anew with --force"
        )


def _progress(said: dict[str, Any]) -> Progress:
    table = tuple(
        Epoch(**{**line, "held_out": Evaluation(**line["held_out"]) if line["held_out"] else None})
        for line in said["table"]
    )
    return Progress(**{**said, "table": table, "kept": tuple(said["kept"])})


def _forget_later(out: Path, progress: Progress) -> None:
    """Remove what was written after the state: it comes again, with the same bits."""
    done = max((line.epoch for line in progress.table), default=0)
    for folder in (out / "epochs").glob("epoch-*"):
        if int(folder.name.removeprefix("epoch-")) > done:
            shutil.rmtree(folder)
    metrics = out / "metrics.jsonl"
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else []
    kept = [line for line in lines if _up_to(line, progress.step)]
    checkpoint.write_whole(metrics, "".join(f"{line}\n" for line in kept))


def _up_to(line: str, step: int) -> bool:
    try:
        return bool(json.loads(line)["step"] <= step)
    except ValueError:
        return False  # the line that was being written
