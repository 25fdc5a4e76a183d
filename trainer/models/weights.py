"""Whole models on the disk: what a base's files hold, and a tuned model that lacks nothing of it.

A base may hold more than its class loads: the tower of a vision model whose text part is trained,
heads that predict several tokens, the value head of a reward model. They are carried into every
whole model that is written, byte for byte, under the names they had.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base import hub
from curate.base.errors import CurateError, some_of
from curate.base.folder import sha256
from curate.base.progress import quiet_transformers
from trainer.config.adapter_files import read_json
from trainer.config.config import TrainConfig

if TYPE_CHECKING:
    import torch

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_FORMATS = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}
# Numbers of fewer than 16 bits mean nothing without scales, which plain loading ignores.
_SCALED = ("F8", "F6", "F4")
_WHOLE = ("I", "U", "BOOL")  # whole numbers, which are fine for a mask and not for a weight
# A reward model has a score in place of these.
_OUTPUT_LAYERS = ("lm_head.", "embed_out.")
_SHARD_BYTES = 5_000_000_000  # of carried tensors held in memory together


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor as its file's header describes it; `format` is safetensors' name for numbers."""

    file: Path
    key: str
    format: str
    shape: tuple[int, ...]

    def read(self) -> torch.Tensor:
        """What it holds."""
        from safetensors import safe_open

        with safe_open(self.file, "pt") as opened:
            tensor: torch.Tensor = opened.get_tensor(self.key)
        return tensor

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclasses.dataclass(frozen=True)
class BaseWeights:
    """What the files of a base hold, beside the model that was loaded from them.

    `dtypes` has the number format of the model's weights as they were in the files, `dtype` that
    of most of their values. `carried` are the tensors that the class of the model does not load,
    and `replaced` those that a reward model has a score for.
    """

    tensors: Mapping[str, Tensor]
    dtypes: Mapping[str, str]
    dtype: str
    carried: tuple[str, ...]
    replaced: tuple[str, ...] = ()

    def lines(self, name: str) -> list[str]:
        """What a user must know of it, as lines for the log."""
        lines = []
        if self.carried:
            lines.append(
                f"{name}: {len(self.carried):,} tensors are no part of the model that is trained "
                f"({some_of(_groups(self.carried))}); the checkpoint has them as they are"
            )
        if self.replaced:
            lines.append(f"{name}: the score stands in place of {some_of(self.replaced)}")
        return lines


def _groups(names: Iterable[str]) -> list[str]:
    """Names by how they start, with how many there are of each."""
    starts = Counter(".".join(name.split(".")[:2]) for name in names)
    return [start if count == 1 else f"{start}.* ({count})" for start, count in starts.items()]


def local_folder(name: str) -> Path:
    """Where the files of a model lie here: its folder, or what was downloaded of it."""
    found = Path(hub.place(name))
    if found.is_dir():
        return found
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, local_files_only=True))


def weights_hash(folder: str | Path) -> str:
    """The hash of a model's configuration and weights."""
    files = [Path(folder) / "config.json", *sorted(Path(folder).glob("*.safetensors"))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {sha256(file)}\n".encode())
    return digest.hexdigest()


def read(name: str, model: Any, objective: str = "sft") -> BaseWeights:
    """What the files of the base `name` hold, beside the `model` that was loaded from them.

    Raises `CurateError` for numbers that need scales, and for tensors that cannot be carried: ones
    whose names change on loading, and the tower of a base whose text part becomes a reward model.
    """
    tensors = read_tensors(name)
    loaded, apart = _loaded(model, tensors)
    scaled = [
        key
        for key, one in tensors.items()
        if one.format not in _FORMATS and one.format.startswith(_SCALED)
    ]
    own = model.state_dict()
    scaled += [
        key
        for weight, key in loaded.items()
        if tensors[key].format.startswith(_WHOLE) and own[weight].is_floating_point()
    ]
    if scaled:
        raise CurateError(
            f"{name}: {some_of(scaled)} {'is' if len(scaled) == 1 else 'are'} quantised to 8 bits "
            "or fewer; take the unquantised base, or write it out in bfloat16 first"
        )
    replaced = [key for key in apart if objective == "reward" and key.startswith(_OUTPUT_LAYERS)]
    carried = [key for key in apart if key not in replaced]
    if carried and objective == "reward" and _is_part(name, model):
        raise CurateError(
            f"{name}: a reward model is made of its text part alone, and "
            f"{some_of(_groups(carried))} would be lost; take a base that is a text model"
        )
    sizes: Counter[str] = Counter()
    others = {*apart}
    for key, one in tensors.items():
        if key not in others and one.format in _FORMATS:
            sizes[_FORMATS[one.format]] += one.values
    dtypes = {key: _FORMATS.get(tensors[own].format, "") for key, own in loaded.items()}
    most = sizes.most_common(1)[0][0] if sizes else "float32"
    return BaseWeights(tensors, dtypes, most, tuple(sorted(carried)), tuple(sorted(replaced)))


def stored(name: str, model: Any) -> dict[str, Tensor]:
    """Where the files of `name` hold each weight of the model, by the weight's name in it.

    Weights that they hold in another shape, in parts or not at all, are left out. The key of a
    tensor in its file is in `Tensor.key`.
    """
    tensors = read_tensors(name)
    own = model.state_dict()
    loaded, _ = _loaded(model, tensors)
    return {
        weight: tensors[key]
        for weight, key in loaded.items()
        if tensors[key].shape == tuple(own[weight].shape)
    }


def read_tensors(name: str) -> dict[str, Tensor]:
    """The tensors of the files that `from_pretrained` reads."""
    from safetensors import safe_open

    found: dict[str, Tensor] = {}
    for file in _files(name):
        with safe_open(file, "pt") as opened:
            for key in opened.keys():  # noqa: SIM118 - it is no mapping
                part = opened.get_slice(key)
                found[key] = Tensor(file, key, part.get_dtype(), tuple(part.get_shape()))
    return found


def _files(name: str) -> list[Path]:
    folder = local_folder(name)
    if (folder / _SINGLE).is_file():
        return [folder / _SINGLE]
    if not (folder / _INDEX).is_file():
        raise CurateError(f"{folder}: has neither {_SINGLE} nor {_INDEX}; name them so")
    listed = read_json(folder / _INDEX).get("weight_map")
    if not isinstance(listed, dict) or not all(isinstance(each, str) for each in listed.values()):
        raise CurateError(f"{folder / _INDEX}: has no weight_map from tensors to files")
    names = sorted(set(listed.values()))
    if strange := [each for each in names if Path(each).name != each]:
        raise CurateError(f"{folder / _INDEX}: names {strange[0]!r}, which lies elsewhere")
    return [folder / each for each in names]


def _loaded(model: Any, tensors: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """The model's weights by name, each with a tensor that it was loaded from, and the tensors
    that it was not loaded from.

    Names go the way they went on loading. The library reports what a class does not load, but for
    what the class is known to leave out.
    """
    from transformers.core_model_loading import (
        WeightConverter,
        WeightRenaming,
        rename_source_key,
    )

    changes = getattr(model, "_weight_conversions", None) or []
    renamings = [each for each in changes if isinstance(each, WeightRenaming)]
    converters = [each for each in changes if isinstance(each, WeightConverter)]
    own = model.state_dict()
    found: dict[str, str] = {}
    apart = []
    for key in tensors:
        renamed, _ = rename_source_key(key, renamings, converters, model.base_model_prefix, own)
        if renamed not in own:
            # As on loading: a name that was not to be changed may still lack the prefix.
            renamed, _ = rename_source_key(key, [], [], model.base_model_prefix, own)
        if renamed in own:
            found.setdefault(renamed, key)
        else:
            apart.append(key)
    return found, apart


def _is_part(name: str, model: Any) -> bool:
    """Whether the model is the text part of what its base is."""
    whole = read_json(local_folder(name) / "config.json")
    return "text_config" in whole and whole.get("model_type") != model.config.model_type


def check_carried(base: BaseWeights, name: str) -> None:
    """Refuse a base with a number that is none in what is carried: it would be handed on unseen."""
    import torch
    from safetensors import safe_open

    broken = []
    for key in base.carried:
        with safe_open(base.tensors[key].file, "pt") as opened:
            tensor = opened.get_tensor(key)
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            broken.append(f"{key} ({int((~torch.isfinite(tensor)).sum()):,} values)")
    if broken:
        raise CurateError(
            f"{name}: there are NaN or infinite values in weights that are no part of the model "
            f"that is trained, so nothing was started: {some_of(broken)}; download or convert the "
            "model again"
        )


def check_growth(base: BaseWeights, rows: int, name: str) -> None:
    """Refuse to add tokens where a carried tensor has a row for each of the `rows` tokens."""
    bound = [key for key in base.carried if base.tensors[key].shape[:1] == (rows,)]
    if bound:
        raise CurateError(
            f"{name}: {some_of(bound)} {'has' if len(bound) == 1 else 'have'} a row for each token "
            "and would not grow with the added ones, as the model does not load them; render the "
            "rows without --add-token"
        )


@contextmanager
def failures_as_os_errors() -> Iterator[None]:
    """Turn what safetensors raises where a file cannot be written into the usual `OSError`."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise OSError(str(error)) from error


def save(
    model: Any, folder: Path, config: TrainConfig, weights: Mapping[str, Any] | None = None
) -> None:
    """A whole model in `folder`, or `weights` under its names, in the format that is asked for.

    What its base holds beside it is carried. Raises `CurateError` where a value is too large for
    float16.
    """
    base = read(config.model, model, config.objective)
    state = model.state_dict(keep_vars=True) if weights is None else weights
    with quiet_transformers():
        model.save_pretrained(folder, state_dict=_rounded(state, base, config))
    _write_config(model, folder, base, config)
    _carry(base, folder)


def _rounded(
    state: Mapping[str, torch.Tensor], base: BaseWeights, config: TrainConfig
) -> dict[str, torch.Tensor]:
    """The weights as they are saved; one under two names stays one."""
    import torch

    made: dict[int, torch.Tensor] = {}
    for name, weight in state.items():
        if id(weight) in made:
            continue
        # A weight that the model itself keeps in another format than the rest stays in it.
        is_usual = str(weight.dtype) == f"torch.{config.dtype}"
        wanted: str = config.save_dtype
        if wanted == "base":
            wanted = base.dtypes.get(name) or base.dtype
        held = weight.detach()
        if held.is_floating_point() and (is_usual or config.save_dtype == "base"):
            rounded = held.to(getattr(torch, wanted))
            if wanted == "float16" and bool(rounded.isinf().any()):
                raise CurateError(
                    f"{name} holds values beyond float16, the base's format; set save_dtype to "
                    "bfloat16 or float32"
                )
            held = rounded
        made[id(weight)] = held
    return {name: made[id(weight)] for name, weight in state.items()}


def saved_dtype(base: BaseWeights, config: TrainConfig) -> str:
    """The number format of most of what is saved."""
    return base.dtype if config.save_dtype == "base" else config.save_dtype


def _write_config(model: Any, folder: Path, base: BaseWeights, config: TrainConfig) -> None:
    """`config.json` of what was saved: its number format, and of a text part the whole it is of."""
    path = folder / "config.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    # Written while the weights had another format, so of every part.
    for part in [content, *(value for value in content.values() if isinstance(value, dict))]:
        if part is content or "dtype" in part:
            part["dtype"] = saved_dtype(base, config)
    if _is_part(config.model, model):
        content = _composite(content, local_folder(config.model))
    # The class is one of the library's own, whatever code the base names.
    content.pop("auto_map", None)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


_OF_THE_WHOLE = ("architectures", "transformers_version", "auto_map")


def _composite(text: dict[str, Any], base: Path) -> dict[str, Any]:
    """The configuration of the whole base, with the text part as it is now."""
    whole = read_json(base / "config.json")
    part = {name: value for name, value in text.items() if name not in _OF_THE_WHOLE}
    mirrored: dict[str, Any] = {
        name: part[name] for name in ("vocab_size", "tie_word_embeddings", "dtype") if name in whole
    }
    version = text.get("transformers_version")
    return {
        **whole,
        **mirrored,
        "transformers_version": version,
        "text_config": {**whole["text_config"], **part},
    }


def _carry(base: BaseWeights, folder: Path) -> None:
    """Put the base's other tensors beside the model's, as further shards."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    known = _weight_map(folder)
    runs = list(_runs(base, [key for key in base.carried if key not in known]))
    if not runs:
        return
    shards = sorted(set(known.values()))
    count = len(shards) + len(runs)
    new_names = [f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]
    renamed = dict(zip(shards, new_names, strict=False))
    for old, new in renamed.items():
        (folder / old).replace(folder / new)
    weight_map = {key: renamed[shard] for key, shard in known.items()}
    for keys, shard in zip(runs, new_names[len(shards) :], strict=True):
        tensors = {}
        for key in keys:
            with safe_open(base.tensors[key].file, "pt") as opened:
                tensors[key] = opened.get_tensor(key)
        save_file(tensors, folder / shard, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(keys, shard))
    size = sum((folder / shard).stat().st_size for shard in new_names)
    content = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    text = json.dumps(content, indent=2, sort_keys=True)
    (folder / _INDEX).write_text(text + "\n", encoding="utf-8")


def _weight_map(folder: Path) -> dict[str, str]:
    """Which file of a saved model holds which tensor."""
    from safetensors import safe_open

    if (folder / _INDEX).is_file():
        listed: dict[str, str] = json.loads((folder / _INDEX).read_text("utf-8"))["weight_map"]
        return listed
    with safe_open(folder / _SINGLE, "pt") as opened:
        return dict.fromkeys(opened.keys(), _SINGLE)


def _runs(base: BaseWeights, keys: list[str]) -> Iterator[list[str]]:
    """Tensors in their order, of at most `_SHARD_BYTES` together if more than one."""
    some: list[str] = []
    size = 0
    for key in keys:
        one = 4 * base.tensors[key].values
        if some and size + one > _SHARD_BYTES:
            yield some
            some, size = [], 0
        some.append(key)
        size += one
    if some:
        yield some
