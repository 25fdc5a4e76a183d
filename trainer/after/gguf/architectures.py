"""What architectures a GGUF file is written of, and what it says of each.

Keys and names of tensors are those of the package `gguf`, and values mean what llama.cpp takes them
to mean. What it would compute otherwise is refused, with the converter that may know more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError

if TYPE_CHECKING:
    import gguf
    import torch

CONVERTER = "llama.cpp's convert_hf_to_gguf.py"


@dataclasses.dataclass(frozen=True)
class Architecture:
    """`name` is GGUF's. `interleaved`: rotary pairs lie side by side, not a half apart.

    `head_width` is whether the width of a head is always written. `off` are settings whose tensors
    or computations llama.cpp has no place for here.
    """

    name: str
    interleaved: bool
    head_width: bool
    off: tuple[str, ...]


ARCHITECTURES: Mapping[str, Architecture] = {
    "LlamaForCausalLM": Architecture("llama", True, False, ("attention_bias", "mlp_bias")),
    "Qwen2ForCausalLM": Architecture("qwen2", False, False, ("use_sliding_window",)),
    "Qwen3ForCausalLM": Architecture(
        "qwen3", False, True, ("attention_bias", "use_sliding_window")
    ),
}
# Settings of YaRN that llama.cpp takes to be these.
_YARN = {"beta_fast": 32, "beta_slow": 1, "truncate": True}


def refused(where: object, why: str) -> CurateError:
    """The error for a checkpoint that no GGUF is written of here."""
    return CurateError(f"{where}: {why}, so no GGUF is written of it here; try {CONVERTER}")


def architecture_of(folder: Path, config: Any) -> Architecture:
    """Raises `CurateError` for one that is not written, and for settings it has no room for."""
    [name] = (getattr(config, "architectures", None) or ["a class that it does not name"])[:1]
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise refused(folder, f"its class is {name}, and {known} are known")
    found = ARCHITECTURES[name]
    if on := [setting for setting in found.off if getattr(config, setting, False)]:
        raise refused(folder, f"its config.json sets {on[0]}")
    if config.hidden_act != "silu":
        raise refused(folder, f"its activation is {config.hidden_act}")
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise refused(folder, "some of its layers attend to a sliding window")
    return found


def head_width(config: Any) -> int:
    """Numbers of one attention head."""
    given = getattr(config, "head_dim", None)
    return int(given or config.hidden_size // config.num_attention_heads)


def describe(writer: gguf.GGUFWriter, found: Architecture, config: Any) -> None:
    """Write the sizes of the model, and how positions turn."""
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    width = head_width(config)
    if found.interleaved:
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_dimension_count(width)
    if found.head_width or width * config.num_attention_heads != config.hidden_size:
        writer.add_key_length(width)
        writer.add_value_length(width)
    _add_rope(writer, config)


def _add_rope(writer: gguf.GGUFWriter, config: Any) -> None:
    from gguf import RopeScalingType

    rope = config.rope_parameters
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    kind = rope["rope_type"]
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(RopeScalingType(kind))
        writer.add_rope_scaling_factor(float(rope["factor"]))
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(_original_length(config))


def _original_length(config: Any) -> int:
    rope = config.rope_parameters
    return int(rope.get("original_max_position_embeddings") or config.max_position_embeddings)


def check_rope(folder: Path, found: Architecture, config: Any) -> None:
    """Refuse a scaling of positions that llama.cpp computes otherwise, or not at all."""
    rope = getattr(config, "rope_parameters", None)
    if not isinstance(rope, dict) or "rope_theta" not in rope:
        raise refused(folder, "its positions turn in several ways")
    kind = rope.get("rope_type", "default")
    known = ("default", "linear", "yarn", *(("llama3",) if found.interleaved else ()))
    if kind not in known:
        raise refused(folder, f"its positions are scaled by {kind}, and known are {known}")
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise refused(folder, "only a part of each head turns with the position")
    odd = {name: rope[name] for name in _YARN if rope.get(name) not in (None, _YARN[name])}
    odd |= {
        name: rope[name]
        for name in ("attention_factor", "mscale", "mscale_all_dim")
        if name in rope
    }
    if kind == "yarn" and (set_ := [name for name in odd if odd[name] is not None]):
        raise refused(folder, f"its scaling by YaRN sets {set_[0]}")


def rope_factors(config: Any) -> torch.Tensor | None:
    """What Llama 3 divides each frequency by, fp32 [half a head]; None for other scalings."""
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = config.rope_parameters
    if rope["rope_type"] != "llama3":
        return None
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    width = head_width(config)
    steps = torch.arange(0, width, 2, dtype=torch.int64).float() / width
    factors: torch.Tensor = (1.0 / rope["rope_theta"] ** steps) / scaled.float()
    return factors
