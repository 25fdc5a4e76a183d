"""A checkpoint's folder written as one GGUF file, tensor after tensor."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.base.errors import CurateError, some_of
from curate.base.extras import require
from curate.base.folder import writing
from curate.base.places import check_place
from curate.base.spelling import option
from curate.base.terminal import show
from trainer.after.gguf import words
from trainer.after.gguf.architectures import (
    Architecture,
    architecture_of,
    check_rope,
    describe,
    refused,
    rope_factors,
)
from trainer.config.adapter_files import is_adapter, kind_and_settings
from trainer.models import model, weights

if TYPE_CHECKING:
    import gguf
    import torch

NumberFormat = Literal["f32", "f16", "bf16"]
_FORMATS: Mapping[str, NumberFormat] = {"F32": "f32", "F16": "f16", "BF16": "bf16"}
_MAGIC = b"GGUF"


@dataclasses.dataclass(frozen=True)
class Exported:
    """A GGUF file that was written to `out`: its architecture, its number format, and notes."""

    out: Path
    architecture: str
    number_format: NumberFormat
    tensors: int
    notes: tuple[str, ...]


def export(
    source: str,
    out: str,
    *,
    number_format: str | None = None,
    force: bool = False,
    log: Callable[[str], None] = show,
) -> Exported:
    """Write the whole model in `source`, its tokenizer, template and stops as the file `out`.

    `source` is a CKPT, one of its epochs where those are whole models, or any model's folder.
    `number_format` is f32, f16 or bf16, the checkpoint's own where none is given; norms and biases
    are f32 either way. Raises `CurateError` for adapters, for what llama.cpp would compute
    otherwise, and for an `out` that is there already.
    """
    require("exporting to GGUF", "gguf", "gguf", "torch", "transformers", "safetensors")
    from transformers import AutoConfig

    folder = _model_folder(source)
    place = _check_out(out, folder, force)
    model.read_limits(str(folder))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    found = architecture_of(folder, config)
    check_rope(folder, found, config)
    tensors = _tensors(folder, config)
    words.check(folder, config.vocab_size)
    number = _number_format(tensors, number_format)
    log(f"writing {len(tensors)} tensors of {folder} in {number}")
    with writing(out):
        notes = _write(place, folder, config, found, tensors, number)
    for line in notes:
        log(f"note: {line}")
    return Exported(place, found.name, number, len(tensors), tuple(notes))


def _model_folder(source: str) -> Path:
    """The folder of a whole model. Raises `CurateError` for an adapter alone."""
    folder = Path(source)
    if not folder.is_dir():
        raise CurateError(f"{source}: there is no such folder; name a CKPT or a model's folder")
    if is_adapter(folder):
        kind, _ = kind_and_settings(folder)
        raise CurateError(
            f"{source}: is an adapter alone ({kind}); put it into its base with curate merge first "
            "(a learnt prompt and layers between those of the base cannot be: no weight holds "
            "them), and export that"
        )
    model.check_source(source)
    return folder


def _check_out(out: str, folder: Path, force: bool) -> Path:
    place = Path(out)
    if place.is_dir():
        raise CurateError(f"{out}: is a folder; name the file to write")
    if place.is_symlink() or (place.exists() and not (force and _is_gguf(place))):
        more = " and is no GGUF" if force else f"; choose another, or {option('force', True)}"
        raise CurateError(f"{out}: is there already{more}")
    if not place.absolute().parent.is_dir():
        raise CurateError(f"{out}: there is no folder {place.parent}; make it first")
    return check_place(place.absolute().parent / f"{place.name}.new").with_name(place.name)


def _is_gguf(place: Path) -> bool:
    with place.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _tensors(folder: Path, config: Any) -> dict[str, weights.Tensor]:
    """The tensors to write, all of the model and no others. Raises `CurateError`."""
    import torch
    from transformers import AutoModelForCausalLM

    found = dict(weights.read_tensors(str(folder)))
    auto: Any = AutoModelForCausalLM  # its methods have no types
    with torch.device("meta"):
        expected = auto.from_config(config).state_dict()
    if config.tie_word_embeddings:
        expected.pop("lm_head.weight", None)
        found.pop("lm_head.weight", None)
    if strange := sorted(found.keys() - expected.keys()):
        raise refused(
            folder,
            f"it holds tensors that are no part of {config.model_type} models ({some_of(strange)})",
        )
    if lacking := sorted(expected.keys() - found.keys()):
        raise CurateError(f"{folder}: lacks the weights {some_of(lacking)}")
    if odd := sorted(name for name, one in found.items() if one.format not in _FORMATS):
        raise refused(folder, f"{odd[0]} is in the format {found[odd[0]].format}")
    return {name: found[name] for name in expected}


def _number_format(tensors: Mapping[str, weights.Tensor], given: str | None) -> NumberFormat:
    if given is None:
        values: Counter[str] = Counter()
        for one in tensors.values():
            values[one.format] += one.values
        return _FORMATS[values.most_common(1)[0][0]]
    for known in _FORMATS.values():
        if given == known:
            return known
    raise CurateError(f"number_format is {given!r}; expected f32, f16 or bf16")


def _write(
    place: Path,
    folder: Path,
    config: Any,
    found: Architecture,
    tensors: Mapping[str, weights.Tensor],
    number: NumberFormat,
) -> list[str]:
    """Write all of the file beside its place, and put it there when it is whole."""
    import gguf

    writer = gguf.GGUFWriter(None, found.name)
    _add_general(writer, folder, tensors, number)
    describe(writer, found, config)
    notes = words.describe(writer, folder, config.vocab_size)
    names = gguf.get_tensor_name_map(_arch(found), config.num_hidden_layers)
    factors = rope_factors(config)
    if factors is not None:
        _announce(writer, "rope_freqs.weight", tuple(factors.shape), "f32")
    for name, one in tensors.items():
        _announce(writer, _renamed(names, name), one.shape, _own_format(one, number))
    partial = place.with_name(f".{place.name}.unfinished")
    try:
        writer.write_header_to_file(partial)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if factors is not None:
            writer.write_tensor_data(factors.numpy())
        for name, one in tensors.items():
            weight = _read(one, name)
            if found.interleaved:
                weight = _interleaved(weight, name, config)
            writer.write_tensor_data(_as_numbers(weight, name, _own_format(one, number)))
        writer.close()
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(place)
    finally:
        writer.close()
        partial.unlink(missing_ok=True)
    return notes


def _add_general(
    writer: gguf.GGUFWriter,
    folder: Path,
    tensors: Mapping[str, weights.Tensor],
    number: NumberFormat,
) -> None:
    import gguf

    kinds = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16"}
    total = sum(one.values for one in tensors.values())
    about = gguf.Metadata.load(model_path=folder.resolve(), total_params=total)
    about.size_label = gguf.size_label(total, 0, 0, 0)
    writer.add_type(gguf.GGUFType.MODEL)
    about.set_gguf_meta_model(writer)
    writer.add_file_type(int(gguf.LlamaFileType[kinds[number]]))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _arch(found: Architecture) -> Any:
    import gguf

    return next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == found.name)


def _renamed(names: Any, name: str) -> str:
    renamed = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if renamed is None:
        raise CurateError(f"{name}: the package gguf has no name for this tensor; update it")
    return str(renamed)


def _own_format(one: weights.Tensor, number: NumberFormat) -> NumberFormat:
    """Norms and biases are small, and llama.cpp reads them as f32 alone."""
    return "f32" if len(one.shape) < 2 else number


def _announce(
    writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...], number: NumberFormat
) -> None:
    import gguf
    import numpy as np

    size = {"f32": 4, "f16": 2, "bf16": 2}[number]
    kind = gguf.GGMLQuantizationType[number.upper()]
    count = 1
    for each in shape:
        count *= each
    writer.add_tensor_info(name, shape, np.dtype(np.float32), count * size, raw_dtype=kind)


def _read(one: weights.Tensor, name: str) -> torch.Tensor:
    from safetensors import safe_open

    with safe_open(one.file, framework="pt") as file:
        weight: torch.Tensor = file.get_tensor(name)
    return weight


def _interleaved(weight: torch.Tensor, name: str, config: Any) -> torch.Tensor:
    """Rows of queries and keys in the order in which llama.cpp turns them: pairs side by side."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    layer = name.split(".")[-2]
    if layer not in heads:
        return weight
    halves = weight.reshape(heads[layer], 2, -1, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape)


def _as_numbers(weight: torch.Tensor, name: str, number: NumberFormat) -> Any:
    """The values as numpy has them; bfloat16, which it lacks, as its 16 bits."""
    import torch

    kinds = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
    values = weight.to(kinds[number]).contiguous()
    if not bool(values.isfinite().all()):
        raise CurateError(
            f"{name}: holds numbers that {number} cannot hold; write it in f32 or bf16"
            if bool(weight.isfinite().all())
            else f"{name}: holds numbers that are not finite"
        )
    return values.view(torch.uint16).numpy() if number == "bf16" else values.numpy()
