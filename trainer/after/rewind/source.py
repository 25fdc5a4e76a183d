"""What is rewound: a checkpoint, its base, the run it is of, and the epochs that were kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError
from curate.base.folder import MANIFEST, read_manifest
from curate.base.manifest_shape import OBJECT, TEXT, TEXTS, Shape, check_shapes
from trainer.checkpoints import adapters, checkpoint, place
from trainer.checkpoints.adapters import Adapter
from trainer.config.adapter_files import BOTTLENECKS, LORA_XS, is_adapter, read_json
from trainer.models import model, teachers, weights

MAKER = "curate rewind"
# Adapters of peft whose numbers say how far they are from doing nothing.
WITH_PATH = ("LORA", "OFT", "BOFT", "IA3", "VERA", "LN_TUNING", "TRAINABLE_TOKENS", LORA_XS)
# How LoRA may begin without a change of the base's own weights.
_PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")
# What is read of `train.json`; anything may be missing or null.
_SHAPES: Mapping[str, Shape] = {
    "config": OBJECT,
    "config.tokens": TEXT,
    "config.method": TEXT,
    "config.objective": TEXT,
    "config.save_dtype": TEXT,
    "rows": OBJECT,
    "rows.held_out": TEXTS,
    "tokens": OBJECT,
    "tokens.tokenizer": OBJECT,
    "tokens.tokenizer.hash": TEXT,
    "tokens.template": OBJECT,
    "tokens.template.hash": TEXT,
    "base_sha256": TEXT,
}


@dataclasses.dataclass(frozen=True)
class Source:
    """A checkpoint: `folder` holds its adapter, or its whole weights where `adapter` is None.

    `run` is the CKPT it is of, None for others, and `about` what `train.json` says there. `epochs`
    are the checkpoints that were kept while training, with their folders.
    """

    name: str
    folder: Path
    run: Path | None
    about: Mapping[str, Any]
    adapter: Adapter | None
    base: str
    epochs: tuple[tuple[int, Path], ...]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of its training run; empty where none is known."""
        return self.about.get("config") or {}

    @property
    def held_out(self) -> set[str]:
        """The ids of the rows that its run held out."""
        return {*((self.about.get("rows") or {}).get("held_out") or ())}

    @property
    def kind(self) -> str:
        """What was trained, in a word or two."""
        if self.adapter is None:
            return str(self.settings.get("method", "weights"))
        is_dora = self.adapter.kind == "LORA" and self.adapter.settings.get("use_dora")
        return "DoRA" if is_dora else {"LORA": "LoRA"}.get(self.adapter.kind, self.adapter.kind)

    @property
    def is_rotated(self) -> bool:
        """Whether its path turns weights, so that it goes far at once."""
        return self.adapter is not None and self.adapter.kind in ("OFT", "BOFT")

    @property
    def is_pair_trained(self) -> bool:
        """Whether it learnt from pairs, of which nats of answers are not the loss."""
        return str(self.settings.get("objective", "sft")) not in ("sft", "distil")


def find(name: str, base: str | None) -> Source:
    """The checkpoint that is meant by a CKPT, one of its epochs, an adapter or a model's folder.

    `base` is given where it is not the one that the checkpoint names. Raises `CurateError` for
    what has no path to its base, and for a base that is not there.
    """
    named = Path(name)
    if not named.is_dir():
        raise CurateError(f"{name}: there is no such folder; name a CKPT or an adapter's folder")
    run = adapters.run_of(named)
    about = _rewound(named) if run is None else _about(run / place.MARKER)
    is_run = run is not None and run.resolve() == named.resolve()
    if is_run and about.get("status") != "done":
        raise CurateError(
            f"{name}: its training run did not end, so nothing was chosen; go on with it "
            "(curate train --resume), or name one of its epochs"
        )
    adapter = _adapter(named)
    settings = about.get("config") or {}
    objective = settings.get("objective") if adapter is None else adapter.objective
    if objective == "reward":
        raise CurateError(f"{name}: is a reward model, which gives no token a probability")
    known = about.get("base") if run is None else adapters.base_of_run(run)
    found = adapters.base_of(adapter, base) if adapter else _base_of_weights(named, known, base)
    epochs = checkpoint.numbered(named / "epochs", "epoch-") if is_run else []
    folder = named if adapter is None else adapter.folder
    return Source(name, folder, run, about, adapter, found, tuple(epochs))


def _about(marker: Path) -> dict[str, Any]:
    """What `train.json` says. Raises `CurateError` where it is not what a training run writes."""
    about = read_json(marker)
    check_shapes(about, _SHAPES, (), marker, "bring back what the run wrote")
    return about


def _rewound(named: Path) -> dict[str, Any]:
    """Of what an earlier rewind wrote: its base, and the hash of that; of others nothing."""
    manifest = read_manifest(named)
    if manifest.get("maker") != MAKER:
        return {}
    shapes = {"base": TEXT, "hashes": OBJECT, "hashes.base": TEXT}
    check_shapes(manifest, shapes, (), named / MANIFEST, "name its base with --model")
    return {"base": manifest.get("base"), "base_sha256": (manifest.get("hashes") or {}).get("base")}


def _adapter(named: Path) -> Adapter | None:
    folder = named
    if not (is_adapter(named) and not (named / "config.json").is_file()):
        folder = named / "adapter"
        if not is_adapter(folder):
            return None
    adapter = adapters.read(folder)
    _check_path(adapter)
    return adapter


def _check_path(adapter: Adapter) -> None:
    """Raise `CurateError` for an adapter that no path leads to."""
    if adapter.is_prompt:
        raise CurateError(
            f"{adapter.folder}: is a learnt prompt ({adapter.kind}): vectors that no path leads to "
            "from the base, as without them there are none; compare its epochs with curate eval"
        )
    if adapter.kind in BOTTLENECKS:
        raise CurateError(
            f"{adapter.folder}: stands between the layers of its base ({adapter.kind}) and is no "
            "change of a weight, so no path is known here; compare its epochs with curate eval"
        )
    advice = (
        "put it into its base with curate merge, and rewind that whole model with --model BASE "
        "(a straight line between the weights)"
    )
    if adapter.kind not in WITH_PATH:
        raise CurateError(
            f"{adapter.folder}: of adapters of kind {adapter.kind} no path from the base is known "
            f"here; {advice}"
        )
    start = adapter.settings.get("init_lora_weights", True)
    if adapter.kind == "LORA" and start not in _PLAIN_STARTS:
        raise CurateError(
            f"{adapter.folder}: began with other weights than its base's (init_lora_weights "
            f"{start!r}), so its own numbers are no path to it; {advice}"
        )


def _base_of_weights(named: Path, known: str | None, given: str | None) -> str:
    model.check_source(str(named))
    base = given or known
    if base is None:
        raise CurateError(
            f"{named}: does not say what it was trained from; name its base with --model"
        )
    if given is None and not Path(base).is_dir() and base.count("/") != 1:
        raise CurateError(
            f"{named}: its base is {base}, and there is no such folder here; name the base with "
            "--model"
        )
    model.check_source(base)
    model.read_limits(base)
    return base


def check_base(source: Source) -> tuple[str, str | None]:
    """The hash of the base, and what is to be said of it.

    Raises `CurateError` where it is not the base that the run was trained from.
    """
    found = weights.weights_hash(teachers.fetched(source.base))
    known = source.about.get("base_sha256")
    if known is None:
        return found, (
            f"{source.name}: does not say which weights it was trained from; those of "
            f"{source.base} are taken for them"
        )
    if known != found:
        raise CurateError(
            f"{source.base}: is not the base that {source.name} was trained from (its weights or "
            "config.json changed since); name the one it was with --model"
        )
    return found, None
