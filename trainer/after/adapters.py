"""Adapters in folders, ours and those of others: found, checked against their base, put on it.

Only safetensors are read, and of the settings of others nothing that runs code.
"""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from curate.base.errors import CurateError, some_of
from curate.base.hub import is_hub_id
from curate.base.progress import quiet_transformers
from trainer.checkpoints import checkpoint, place
from trainer.models import adapt, lora_xs, model, vocabulary

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_SQUARES, _METHOD = "trained.safetensors", "method.json"
_LORA_XS = "LORA-XS"
_LEARNT_PROMPTS = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT")
# Settings of peft by which it imports a module that the file names.
_RUNS_CODE = ("megatron_config",)
Objective = Literal["sft", "reward"]
_OBJECTIVES: dict[Any, Objective] = {"CAUSAL_LM": "sft", "SEQ_CLS": "reward", None: "sft"}


@dataclasses.dataclass(frozen=True)
class Adapter:
    """An adapter as its folder describes it.

    `kind` is peft's name for it, or LORA-XS; `base` the model that it names, None where it names
    none. `run` is the CKPT that it lies in, None for one that `curate train` did not write.
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
    def objective(self) -> Objective:
        """What its base is loaded for: sft, or reward for one that gives a row a score."""
        return _OBJECTIVES[self.settings.get("task_type")]

    @property
    def weights(self) -> Path:
        """The file with what was learnt."""
        return self.folder / (_SQUARES if self.kind == _LORA_XS else WEIGHTS)

    def __str__(self) -> str:
        rank = self.settings.get("r", self.settings.get("rank"))
        return f"{self.kind}{f' of rank {rank}' if rank else ''} in {self.folder}"


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (folder / CONFIG).is_file() or (folder / _METHOD).is_file()


def find(source: str, epoch: int | None = None, adapter: str | None = None) -> Adapter:
    """The adapter that is meant by a CKPT or an adapter's own folder.

    Of a CKPT it is that of an `epoch`, or else the chosen one; `adapter` names a folder instead.
    Raises `CurateError` where there is none, or none that can be read.
    """
    folder = Path(source)
    if adapter is not None:
        folder = Path(adapter)
    elif not folder.is_dir():
        raise CurateError(f"{source}: there is no such folder; name a CKPT or an adapter's folder")
    elif epoch is not None:
        folder = _epoch(folder, epoch)
    elif not is_adapter(folder) and (folder / "adapter").is_dir():
        folder = folder / "adapter"
    if not is_adapter(folder):
        raise CurateError(_no_adapter(folder))
    return read(folder)


def _epoch(run: Path, epoch: int) -> Path:
    folder = checkpoint.epoch_folder(run, epoch)
    if folder.is_dir():
        return folder
    there = [str(number) for number, _ in checkpoint.numbered(run / "epochs", "epoch-")]
    kept = f"kept are {', '.join(there)}" if there else "no epoch is kept there"
    raise CurateError(f"{run}: has no epoch {epoch}; {kept} (save_total_limit says how many)")


def _no_adapter(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder}: there is no such folder"
    if (folder / "config.json").is_file():
        return f"{folder}: is a whole model already, with no adapter to merge; load it as it is"
    return f"{folder}: holds no adapter, as it has no {CONFIG}"


def read(folder: Path) -> Adapter:
    """An adapter's settings, its base and the run it is of. Raises `CurateError`."""
    run = _run_of(folder)
    if (folder / CONFIG).is_file():
        settings = _json(folder / CONFIG)
        kind, base = settings.get("peft_type"), settings.get("base_model_name_or_path") or None
    else:
        settings, kind = _json(folder / _METHOD), _LORA_XS
        if settings.get("method") != "lora-xs":
            raise CurateError(f"{folder / _METHOD}: is of no method that is known here")
        base = None if run is None else base_of_run(run)
    found = Adapter(folder, str(kind), settings, base, run)
    _check(found)
    return found


def base_of_run(run: Path) -> str | None:
    """The model that a CKPT was trained from; None for a folder that is no CKPT."""
    marker = run / place.MARKER
    config = _json(marker).get("config") if marker.is_file() else None
    named = config.get("model") if isinstance(config, dict) else None
    return None if named is None else str(named)


def _run_of(folder: Path) -> Path | None:
    """The CKPT that a folder lies in, or is."""
    for above in [folder, *folder.resolve().parents[:2]]:
        marker = above / place.MARKER
        if marker.is_file() and _json(marker).get("writer") == place.WRITER:
            return above
    return None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CurateError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise CurateError(f"{path}: holds no JSON object")
    return content


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
    if adapter.settings.get("task_type") not in _OBJECTIVES:
        raise CurateError(
            f"{adapter.folder}: is for {adapter.settings.get('task_type')}, and only adapters of "
            "causal language models (CAUSAL_LM) and of models with a score (SEQ_CLS) are read"
        )
    if given := [name for name in _RUNS_CODE if adapter.settings.get(name)]:
        raise CurateError(f"{adapter.folder / CONFIG}: {given[0]} names code to run; it is refused")
    known = [*(kind.value for kind in peft.PeftType), _LORA_XS]
    if adapter.kind not in known:
        raise CurateError(f"{adapter.folder / CONFIG}: peft knows no adapter {adapter.kind!r}")


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


def put_on(net: Any, adapter: Adapter) -> Any:
    """The model with the adapter on it, every weight of which has found its place.

    Raises `CurateError` for an adapter of another base, with the first weight that does not fit.
    """
    from safetensors import SafetensorError

    # What files of others that are odd make peft and safetensors raise.
    odd = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError)
    try:
        return _put_on(net, adapter)
    except (SafetensorError, *odd) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CurateError(f"{adapter.folder}: cannot be put on this base: {first}") from error


def _put_on(net: Any, adapter: Adapter) -> Any:
    import peft
    from safetensors.torch import load_file

    learnt = load_file(adapter.weights)
    _check_finite(adapter, learnt)
    if adapter.kind == _LORA_XS:
        return _with_squares(net, adapter, learnt)
    if adapter.is_prompt:
        return adapt.load_prompted(net, adapter.folder)
    _grow(net, adapter, learnt)
    # Only what the file says is known of it; peft warns of fields of other versions.
    config = peft.PeftConfig.from_pretrained(str(adapter.folder))
    config.inference_mode = False  # so that what is the adapter's is told by what can be trained
    with quiet_transformers(), _quiet():
        adapted = peft.get_peft_model(net, config)
        _load(adapted, adapter, learnt)
    return adapted


def _check_finite(adapter: Adapter, learnt: Mapping[str, Any]) -> None:
    for name, weight in learnt.items():
        if not bool(weight.isfinite().all()):
            raise CurateError(f"{adapter.weights}: {name} holds numbers that are not finite")


def _with_squares(net: Any, adapter: Adapter, learnt: Mapping[str, Any]) -> Any:
    import torch

    ending = ".lora_xs_square"
    layers = [name.removesuffix(ending) for name in learnt]
    known = {name for name, _ in net.named_modules()}
    if strange := [layer for layer in layers if layer not in known]:
        raise CurateError(_strangers(adapter, strange))
    rank, alpha = int(adapter.settings["rank"]), float(adapter.settings["alpha"])
    wrapped = lora_xs.wrap(net, layers, rank, alpha)
    own = lora_xs.state(wrapped)
    _check_shapes(adapter, learnt, own)
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(learnt[name])
    return wrapped


def _grow(net: Any, adapter: Adapter, learnt: Mapping[str, Any]) -> None:
    """Give the base rows for tokens that were added to it; the adapter holds what is in them."""
    indices = adapter.settings.get("trainable_token_indices") or {}
    listed: list[Any] = list(indices.values()) if isinstance(indices, dict) else [indices]
    listed.append(adapter.settings.get("token_indices") or [])
    trained = [int(number) for numbers in listed for number in numbers]
    rows = net.get_input_embeddings().weight.shape[0]
    names = {id(module): name for name, module in net.named_modules()}
    embedding = f"base_model.model.{names[id(net.get_input_embeddings())]}.weight"
    saved = learnt[embedding].shape[0] if embedding in learnt else rows
    size = max([rows, saved, *(number + 1 for number in trained)])
    beyond = range(rows, size)
    if saved < size and (lacking := sorted(set(beyond) - set(trained))):
        raise CurateError(
            f"{adapter.folder}: has a row for token {size - 1} and none for {lacking[0]}, which "
            f"this base lacks too (it has {rows} rows); name the base that it was trained on"
        )
    if beyond:
        added = {str(number): number for number in beyond}
        vocabulary.grow(net, vocabulary.Vocabulary(size, added, added))


def _load(adapted: Any, adapter: Adapter, learnt: Mapping[str, Any]) -> None:
    """Put what was learnt into its places; none may be left over or empty."""
    import peft

    own = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    expected = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
    try:
        result = peft.set_peft_model_state_dict(adapted, dict(learnt))
    except (RuntimeError, LookupError) as error:
        _check_shapes(adapter, learnt, expected)
        _check_names(adapter, learnt, expected)
        first = str(error).strip().splitlines()[0]
        raise CurateError(f"{adapter.folder}: does not fit this base: {first}") from error
    if result.unexpected_keys:
        raise CurateError(_strangers(adapter, result.unexpected_keys))
    if empty := sorted(own & set(result.missing_keys)):
        raise CurateError(
            f"{adapter.weights}: lacks {len(empty):,} of the weights that {CONFIG} speaks of "
            f"({some_of(empty)}); is it whole, and for this base?"
        )


def _strangers(adapter: Adapter, names: Iterable[str]) -> str:
    shown = list(names)
    return (
        f"{adapter.weights}: has weights for {some_of(shown)}, and this base has no such layers; "
        "it was trained on another base, so name that one with --model"
    )


def _check_names(adapter: Adapter, learnt: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    if lacking := sorted(expected.keys() - learnt.keys()):
        raise CurateError(
            f"{adapter.weights}: lacks {some_of(lacking)}, of which {CONFIG} speaks; is it whole, "
            "and for this base?"
        )


def _check_shapes(adapter: Adapter, learnt: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a weight of another shape: of another rank than the settings, or of another base."""
    for name, weight in learnt.items():
        if name not in expected or weight.shape == expected[name].shape:
            continue
        got, wanted = tuple(weight.shape), tuple(expected[name].shape)
        axis = 0 if ".lora_A." in name else 1
        if ".lora_" in name and len(got) == len(wanted) == 2 and got[axis] != wanted[axis]:
            raise CurateError(
                f"{adapter.weights}: {name} is of rank {got[axis]}, and by {CONFIG} it would be of "
                f"rank {wanted[axis]}; the two files are not of the same adapter"
            )
        raise CurateError(
            f"{adapter.weights}: {name} is {_shown(got)}, and on this base it would be "
            f"{_shown(wanted)}; it was trained on another base, so name that one with --model"
        )


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or str(math.prod(shape))


def merged(adapted: Any, adapter: Adapter) -> Any:
    """The plain model with the adapter in its weights; the adapted one is used up.

    Raises `CurateError` for a kind that cannot be merged.
    """
    if adapter.is_prompt:
        raise CurateError(
            f"{adapter.folder}: is a learnt prompt ({adapter.kind}): vectors before the first "
            "token, which no weight of the base can hold; load it on its base with "
            "peft.AutoPeftModelForCausalLM"
        )
    if adapter.kind == _LORA_XS:
        return lora_xs.merge(adapted)
    if not hasattr(adapted, "merge_and_unload"):
        raise CurateError(f"{adapter.folder}: peft cannot merge adapters of kind {adapter.kind}")
    if adapter.settings.get("layer_replication"):
        raise CurateError(
            f"{adapter.folder}: repeats layers of its base (layer_replication) and changes each in "
            "its own way, which the layers of the base cannot hold; load it on its base with peft"
        )
    import torch

    try:
        with _quiet():
            return adapted.merge_and_unload()
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CurateError(
            f"{adapter.folder}: peft cannot merge it: {reason}; load it on its base with peft"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without peft's warnings: places are checked here, and what a merge gives by who merges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
