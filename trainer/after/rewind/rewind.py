"""A checkpoint rewound, read from top to bottom: find, load, measure, choose, write."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError
from curate.base.extras import require
from curate.base.folder import atomic_folder, sha256, write_atomic, write_manifest, writing
from curate.base.places import is_there
from curate.base.replacing import Kind, check_replaced
from curate.base.terminal import show
from curate.base.version import __version__
from trainer.after.rewind import choosing, texts
from trainer.after.rewind.choosing import BASE, TUNED
from trainer.after.rewind.gauge import Gauge, target_loss
from trainer.after.rewind.paths import WeightPath, path_of
from trainer.after.rewind.results import Numbers, Place, Rewound, Text
from trainer.after.rewind.scales import Scale
from trainer.after.rewind.source import MAKER, Source, check_base, find
from trainer.after.rewind.texts import Chosen
from trainer.checkpoints import adapters, companions, put_on
from trainer.config.adapter_files import is_adapter, read_json
from trainer.data.tokens import Limits
from trainer.evaluation.pace import spoken
from trainer.models import model, weights
from trainer.models.device import deterministic, pick_device

Log = Callable[[str], None]
# Files beside the model, by name, made of the result: pages and pictures.
Draw = Callable[[Rewound], Mapping[str, str]]

TABLE = "rewind.json"
ALPHAS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# At 0.05 a rotation has gone more than a fifth of its way, and here 5, 10 and 15 % of it.
NEAR = (0.0025, 0.01, 0.0225)
# The written model must have the target loss of its point, to this part of it; where it is saved
# in fewer bits than it was measured in, to the second.
_TOLERANCE, _COARSE = 1e-3, 0.1
_SECONDS = 10.0  # between two lines of progress


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked for: a checkpoint, what it is measured on, and how a point is chosen.

    `target` is a TOKENS folder, None for the checkpoint's own held-out rows. `bound` is how much
    the retention loss may rise above the base's, nats a token. With `lines` the path that moves
    later layers further is measured as well.
    """

    source: str
    retention: str
    target: str | None = None
    bound: float | None = None
    base: str | None = None
    lines: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.bound is not None and not 0 <= self.bound < float("inf"):
            raise CurateError(
                f"max_retention_loss is {self.bound:g}; expected nats a token from 0, such as 0.05"
            )


@dataclasses.dataclass(frozen=True)
class Walk:
    """A checkpoint that is ready to be measured: its path, and all that stays the same."""

    asked: Asked
    source: Source
    path: WeightPath
    gauge: Gauge
    layers: int
    hashes: Mapping[str, str | None]
    notices: tuple[str, ...]

    @property
    def alphas(self) -> list[float]:
        """The points on the path, for rotations with more of them near the base."""
        return sorted([*ALPHAS, *NEAR]) if self.source.is_rotated else [*ALPHAS]

    @property
    def places(self) -> list[Place]:
        """Where it is measured, in this order."""
        along = [Place("path", alpha) for alpha in self.alphas]
        lines = [Place("lines", alpha) for alpha in ALPHAS[:-1]] if self.asked.lines else []
        return [*along, *lines, *(Place("epoch", 1.0, number) for number, _ in self.source.epochs)]

    def to(self, place: Place) -> None:
        """Set the model to a place."""
        if place.track == "epoch":
            self.path.to_epoch(dict(self.source.epochs)[place.epoch or 0])
        else:
            self.path.to(Scale(place.alpha, self.layers, place.track == "lines"))

    def measure(self, place: Place) -> tuple[float, Numbers]:
        """The distance from the base there, and what is measured."""
        self.to(place)
        return self.path.moved()[0], self.gauge.numbers(self.path.net)


def rewind(
    asked: Asked, out: str, *, draw: Draw | None = None, force: bool = False, log: Log = show
) -> Rewound:
    """Measure the path from the base to a checkpoint, choose a point and write its model to `out`.

    Its table and what `draw` makes of the result lie beside it. Nothing is there before all of it
    is. Raises `CurateError` for what has no path, for texts that tell nothing, and for an `out`
    that holds something else.
    """
    require("rewinding", "train", "torch", "transformers", "datasets", "peft")
    source = find(asked.source, asked.base)
    about = _about(asked, source)
    kind = Kind(MAKER, "rewound model", lambda manifest: {"": _settings(manifest)})
    with atomic_folder(out, MAKER, force, _inputs(asked, source)) as folder, deterministic():
        if replaced := check_replaced(out, kind, about, force):
            log(replaced)
        walk = prepare(asked, source, log)
        found = _measured(walk, log)
        place, why = choosing.choose(found, asked.bound, walk.gauge.texts.retention.name)
        result = _result(walk, found, place, why, Path(out))
        with writing(out):
            walk.to(place)
            with weights.failures_as_os_errors():
                walk.path.write(folder)
            _check_written(walk, folder, result)
            text = _json(result)
            write_atomic(folder / TABLE, text)
            for name, content in ({} if draw is None else draw(result)).items():
                write_atomic(folder / name, content)
            write_manifest(folder, MAKER, {**result.as_dict(), **about})
    return result


def forecast(asked: Asked, log: Log = show) -> float:
    """What `rewind` would measure, as lines for `log`, and about how many seconds it would take.

    One point is measured for that. Nothing is written. Raises `CurateError` as `rewind` does.
    """
    require("rewinding", "train", "torch", "transformers", "datasets", "peft")
    started = time.perf_counter()
    with deterministic():
        walk = prepare(asked, find(asked.source, asked.base), log)
        ready = time.perf_counter() - started
        started = time.perf_counter()
        walk.measure(TUNED)
        each = time.perf_counter() - started
    count = len(walk.places)
    seconds = ready + each * (count + 1)  # what was written is measured once more
    epochs = len(walk.source.epochs)
    lines = len(ALPHAS) - 1 if asked.lines else 0
    log(
        f"{count} points: {len(walk.alphas)} on the path, {f'{lines} by layer, ' if lines else ''}"
        f"{epochs} saved epochs; each {each:.2g} s, in all about {spoken(seconds)}"
    )
    return seconds


def prepare(asked: Asked, source: Source, log: Log) -> Walk:
    """Load the checkpoint at its base and read the texts. Raises `CurateError`."""
    log(f"{source.kind} in {source.folder}, from {source.base}")
    base_hash, unsure = check_base(source)
    notices = [] if unsure is None else [unsure]
    device = pick_device(asked.device)
    path = path_of(source, device)
    for _, folder in source.epochs:
        path.check_epoch(folder)
    tokenizers = _tokenizer(source), model.read_tokenizer(source.base)
    rows = int(path.net.get_input_embeddings().weight.shape[0])
    limits = Limits(rows, model.read_limits(source.base).positions)
    read = texts.read_texts(source, asked.retention, asked.target, tokenizers, limits)
    if source.is_pair_trained:
        notices.append(
            f"{source.name}: was trained on pairs, and the target loss is of chosen answers alone"
        )
    layers = int(path.net.config.get_text_config().num_hidden_layers)
    path.to(Scale(0.0, layers))
    gauge = Gauge(path.net, read)
    for text, what in ((read.target, "target"), (read.retention, "retention")):
        log(f"{what}: {text.name}, {len(text.chosen):,} rows, {text.targets:,} tokens")
    hashes = {"base": base_hash, "target": read.target.sha256, "retention": read.retention.sha256}
    lines = (*notices, *read.notices)
    for line in lines:
        log(line)
    return Walk(asked, source, path, gauge, layers, hashes, lines)


def _tokenizer(source: Source) -> Any | None:
    run = [] if source.run is None else [source.run]
    places = [source.folder, *run, weights.local_folder(source.base)]
    found = companions.tokenizer_folder(places)
    return None if found is None else model.read_tokenizer(str(found))


def _measured(walk: Walk, log: Log) -> dict[Place, tuple[float, Numbers]]:
    """All points, both ends first: what is said of the others is relative to them."""
    ends = {place: walk.measure(place) for place in (TUNED, BASE)}
    whole = ends[TUNED][0]
    if whole == 0:
        raise CurateError(
            f"{walk.source.name}: its weights are those of {walk.source.base}, so there is nothing "
            "to rewind"
        )
    found = {}
    shown = started = time.perf_counter()
    for number, place in enumerate(walk.places, 1):
        found[place] = ends[place] if place in ends else walk.measure(place)
        now = time.perf_counter()
        if now - shown > _SECONDS:
            left = (now - started) / number * (len(walk.places) - number)
            log(f"{number} of {len(walk.places)} points measured, {spoken(left)} left")
            shown = now
    return found


def _result(walk: Walk, found: choosing.Measured, place: Place, why: str, out: Path) -> Rewound:
    walk.to(TUNED)
    moved, norm = walk.path.moved()
    read = walk.gauge.texts
    return Rewound(
        out=out,
        source=walk.source.name,
        base=walk.source.base,
        kind=walk.source.kind,
        form=walk.path.form,
        points=choosing.points_of(found, place),
        why=why,
        max_retention_loss=walk.asked.bound,
        target=_text(read.target),
        retention=_text(read.retention),
        compared=walk.gauge.compared,
        reference=choosing.reference_of(found),
        volumes=choosing.volumes_of(found),
        length=moved / norm,
        notices=walk.notices,
        hashes=walk.hashes,
    )


def _text(chosen: Chosen) -> Text:
    return Text(chosen.name, len(chosen.chosen), chosen.targets)


def _check_written(walk: Walk, folder: Path, result: Rewound) -> None:
    """Refuse to leave a model that is not the point that was chosen."""
    import torch

    walk.path.net = None  # one model is in memory at a time
    cpu = torch.device("cpu")
    dtype = "float32"
    if is_adapter(folder):
        net = put_on.put_on(model.load(walk.source.base, cpu), adapters.read(folder))
    else:
        net = model.load(str(folder), cpu)
        dtype = str(read_json(folder / "config.json").get("dtype"))
    net = net.to(pick_device(walk.asked.device)).eval()
    got = target_loss(net, walk.gauge.texts.target, walk.gauge.whole)
    wanted = result.chosen.numbers.target
    tolerance = _TOLERANCE if dtype == "float32" else _COARSE
    if not abs(got - wanted) <= tolerance * max(1.0, abs(wanted)):
        raise CurateError(
            f"{result.out}: the saved model has target loss {got:.4f}, and {result.chosen.place} "
            f"had {wanted:.4f}, so nothing was written"
        )


def _json(result: Rewound) -> str:
    return json.dumps(result.as_dict(), ensure_ascii=False, indent=2) + "\n"


def _about(asked: Asked, source: Source) -> dict[str, Any]:
    """What the manifest says before anything is measured: of what, and how."""
    own = source.adapter
    digest = sha256(own.weights) if own else weights.weights_hash(str(source.folder))
    base = source.base
    return {
        "version": __version__,
        "sources": [{"source": str(source.folder), "sha256": digest}],
        "base": str(Path(base).resolve()) if Path(base).is_dir() else base,
        "asked": dataclasses.asdict(asked),
    }


def _settings(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    asked = manifest.get("asked")
    given = asked if isinstance(asked, dict) else {}
    return {name: str(given.get(name)) for name in ("retention", "target", "bound", "lines")}


def _inputs(asked: Asked, source: Source) -> list[str]:
    """What is read, which must not lie where is written."""
    run = None if source.run is None else str(source.run)
    tokens = source.settings.get("tokens")
    read = [str(source.folder), asked.source, run, asked.retention, asked.target, source.base]
    read.append(tokens)
    return [each for each in read if each is not None and is_there(Path(each))]
