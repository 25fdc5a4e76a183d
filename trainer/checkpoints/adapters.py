"""Adapters in folders, ours and those of others: found, read, and their base found.

Only safetensors are read, and of the settings of others nothing that runs code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError
from curate.base.folder import sha256
from curate.base.hub import is_hub_id
from trainer.checkpoints import checkpoint, place
from trainer.config.adapter_files import (
    BOTTLENECKS,
    CONFIG,
    LORA_XS,
    METHOD,
    Objective,
    kind_and_settings,
    located,
    objective_of,
    read_json,
)
from trainer.models import model
from trainer.models.bottleneck import ACTIVATION
from trainer.models.weights import local_folder

WEIGHTS, _TRAINED = "adapter_model.safetensors", "trained.safetensors"
_LEARNT_PROMPTS = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT")
# Settings of peft by which it imports a module that the file names.
_RUNS_CODE = ("megatron_config",)


@dataclasses.dataclass(frozen=True)
class Adapter:
    """An adapter as its folder describes it.

    `kind` is peft's name for it, or one of ours; `base` the model that it names, None where it
    names none. `run` is the CKPT that it lies in, None for one that `curate train` did not write.
    """

    folder: Path
    kind: str
    settings: Mapping[str, Any]
    base: str | None
    run: Path | None

    @property
    def is_prompt(self) -> bool:
        """Whether it is a learnt prompt: vectors before the first token, no change of weights."""
        return self.kind in _LEARNT_PROMPTS

    @property
    def is_between(self) -> bool:
        """Whether it is layers between those of the base, which no weight can hold either."""
        return self.kind in BOTTLENECKS

    @property
    def objective(self) -> Objective:
        """What its base is loaded for: sft, or reward for one that gives a row a score."""
        return objective_of(self.folder, self.settings)

    @property
    def weights(self) -> Path:
        """The file with what was learnt."""
        is_ours = self.kind == LORA_XS or self.is_between
        return self.folder / (_TRAINED if is_ours else WEIGHTS)

    @property
    def rows(self) -> list[int]:
        """The ids of tokens whose embedding rows it holds."""
        indices = self.settings.get("trainable_token_indices") or {}
        listed: list[Any] = list(indices.values()) if isinstance(indices, dict) else [indices]
        listed.append(self.settings.get("token_indices") or [])
        try:
            return sorted({int(number) for numbers in listed for number in numbers})
        except (ValueError, TypeError) as error:
            raise CurateError(f"{self.folder / CONFIG}: its tokens are no ids: {error}") from error

    @property
    def identity(self) -> str:
        """The hash of what it is and of what was learnt, wherever it and its base lie."""
        own = {key: one for key, one in self.settings.items() if key != "base_model_name_or_path"}
        described = json.dumps([self.kind, own, sha256(self.weights)], sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()

    def folders(self, base: str) -> list[Path]:
        """Folders that may hold a tokenizer or stops, in the order in which they are asked.

        What was trained comes first: the adapter's folder, the CKPT that it is of, then the base.
        """
        run = [] if self.run is None else [self.run]
        return [self.folder, *run, local_folder(base)]

    def __str__(self) -> str:
        rank, width = self.settings.get("r", self.settings.get("rank")), self.settings.get("width")
        size = f" of rank {rank}" if rank else f" of width {width}" if width else ""
        return f"{self.kind}{size} in {self.folder}"


def find(source: str, epoch: int | None = None, adapter: str | None = None) -> Adapter:
    """The adapter that is meant by a CKPT or an adapter's own folder.

    Of a CKPT it is that of an `epoch`, or else the chosen one; `adapter` names a folder instead.
    Raises `CurateError` where there is none, or none that can be read.
    """
    if adapter is None and epoch is not None:
        source = str(_epoch(Path(source), epoch))
    return read(located(adapter or source))


def _epoch(run: Path, epoch: int) -> Path:
    folder = checkpoint.epoch_folder(run, epoch)
    if folder.is_dir() or not run.is_dir():
        return folder
    there = [str(number) for number, _ in checkpoint.numbered(run / "epochs", "epoch-")]
    kept = f"kept are {', '.join(there)}" if there else "no epoch is kept there"
    raise CurateError(f"{run}: has no epoch {epoch}; {kept} (save_total_limit says how many)")


def read(folder: Path) -> Adapter:
    """An adapter's settings, its base and the run it is of. Raises `CurateError`."""
    run = run_of(folder)
    kind, settings = kind_and_settings(folder)
    base = settings.get("base_model_name_or_path") or None
    if not isinstance(base, str | None):
        raise CurateError(f"{folder}: its base is {base!r:.60}; expected a name or a folder")
    if kind == LORA_XS:
        base = None if run is None else base_of_run(run)
    found = Adapter(folder, kind, settings, base, run)
    _check(found)
    return found


def identity(source: str | None) -> str | None:
    """The `identity` of the adapter that a run goes on from, None without one."""
    return None if source is None else find(source).identity


def base_of_run(run: Path) -> str | None:
    """The model that a CKPT was trained from; None for a folder that is no CKPT."""
    marker = run / place.MARKER
    config = read_json(marker).get("config") if marker.is_file() else None
    named = config.get("model") if isinstance(config, dict) else None
    return None if named is None else str(named)


def is_same(one: str, other: str) -> bool:
    """Whether two names are of one folder, or of one model of the hub."""
    return one == other or Path(one).resolve() == Path(other).resolve()


def run_of(folder: Path) -> Path | None:
    """The CKPT that a folder lies in, or is; None where it is of none."""
    for above in [folder, *folder.resolve().parents[:2]]:
        marker = above / place.MARKER
        if marker.is_file() and read_json(marker).get("writer") == place.WRITER:
            return above
    return None


def _check(adapter: Adapter) -> None:
    """Refuse what cannot be read, or would run code."""
    import peft

    if not adapter.weights.is_file():
        other = next(iter(sorted(adapter.folder.glob("*.bin"))), None)
        raise CurateError(
            f"{adapter.folder}: has no {adapter.weights.name}"
            + (
                f", and {other.name} can run code when it is read; save it as safetensors first"
                if other
                else ", so nothing is there that was learnt"
            )
        )
    _ = adapter.objective  # one that nothing here is for is refused
    if given := [name for name in _RUNS_CODE if adapter.settings.get(name)]:
        raise CurateError(f"{adapter.folder / CONFIG}: {given[0]} names code to run; it is refused")
    known = [*(kind.value for kind in peft.PeftType), LORA_XS, *BOTTLENECKS]
    if adapter.kind not in known:
        raise CurateError(f"{adapter.folder / CONFIG}: peft knows no adapter {adapter.kind!r}")
    if adapter.is_between:
        _check_layers(adapter)


def _check_layers(adapter: Adapter) -> None:
    """Refuse layers between those of the base that would be built otherwise than they say."""
    width, activation = (adapter.settings.get(name) for name in ("width", "activation"))
    if type(width) is not int or width < 1:
        raise CurateError(
            f"{adapter.folder / METHOD}: width is {width!r:.60}; expected a whole number of at "
            "least 1"
        )
    if activation != ACTIVATION:
        raise CurateError(
            f"{adapter.folder / METHOD}: activation is {activation!r:.60}, and {ACTIVATION!r} is "
            "the one that is known here; such layers would give something else"
        )


def base_of(adapter: Adapter, given: str | None) -> str:
    """The model that an adapter goes on: the one that is `given`, or that it names.

    Raises `CurateError` where it names none, or one that is neither here nor a name on the hub.
    """
    name = given or adapter.base
    if name is None:
        raise CurateError(f"{adapter.folder}: names no base; name it with --model")
    if given is None and not Path(name).is_dir() and not is_hub_id(name):
        raise CurateError(
            f"{adapter.folder}: its base is {name}, and there is no such folder here; name the "
            "base with --model"
        )
    revision = adapter.settings.get("revision")
    if given is None and not Path(name).is_dir() and revision not in (None, "main"):
        raise CurateError(
            f"{adapter.folder}: is for revision {revision} of {name}; download that one and name "
            "its folder with --model"
        )
    model.check_source(name)
    model.read_limits(name, adapter.objective)
    return name
