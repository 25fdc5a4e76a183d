"""What adapters go on: linear layers, and the experts of a mixture, which are no layers.

In transformers 5 all experts of a layer lie in two tensors, [experts, out, in] or the other way
round. LoRA adapts such a tensor as a parameter; no other method does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from curate.base.errors import CurateError, nearest, some_of
from trainer.config.config import TrainConfig
from trainer.config.methods import METHODS

_EVERY_LAYER = "all-linear"  # peft's word for what is adapted where nothing is named
_QUERIES = ("c_attn", "query_key_value", "qkv_proj", "Wqkv", "q_a_proj", "in_proj")
_KEYS = tuple(name for name in _QUERIES if name != "q_a_proj")
_DENSE = ("self_attn.dense", "self_attention.dense", "attention.dense")
_INTO = ("gate_up_proj", "dense_h_to_4h", "mlp.c_fc", "fc_in", "fc1", "w3", "input_linear")
_OUT_OF = ("dense_4h_to_h", "mlp.c_proj", "fc_out", "fc2", "w2", "output_linear")
# Names that most recipes give, of Llama's layers and Mixtral's experts, and what layers of other
# models that do the same are called. Several may be one layer.
_ELSEWHERE: Mapping[str, Sequence[str]] = {
    "q_proj": _QUERIES,
    "k_proj": ("kv_a_proj_with_mqa", *_KEYS),
    "v_proj": ("kv_b_proj", *_KEYS),
    "o_proj": ("out_proj", "attn.c_proj", *_DENSE),
    "up_proj": _INTO,
    "gate_proj": ("gate_up_proj", "w1", "input_linear"),
    "down_proj": _OUT_OF,
    "w1": ("gate_up_proj", "gate_proj"),
    "w2": ("down_proj",),
    "w3": ("gate_up_proj", "up_proj"),
}
_LORA = ("lora", "rslora")


@dataclasses.dataclass(frozen=True)
class Targets:
    """Full names of what is adapted, and lines for the log.

    `layers` are linear ones. `parameters` are tensors that LoRA adapts without a layer: those of
    experts, and weights of layers that peft would take for experts by their names.
    """

    layers: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def targets(model: Any, config: TrainConfig) -> Targets:
    """What the method adapts in a model, by `target_modules`; all but the output layer if empty.

    Raises `CurateError` for a target that the model does not have, with the nearest that there is,
    and where nothing is left to adapt.
    """
    layers, experts, bypassed = _layers(model), _experts(model), _bypassed(model)
    layers = [name for name in layers if name not in bypassed]
    wanted, lines = _translated(model, config.target_modules, [*layers, *experts])
    if wanted:
        layers, experts = _named(layers, wanted), _named(experts, wanted)
    elif bypassed:
        lines.append(
            f"{config.method}: {_leaves(bypassed)} of state-space layers stay as they are, as fast "
            "kernels read these weights past any adapter; method full trains them"
        )
    frozen = _why_frozen(config)
    parameters: list[str] = []
    if experts and not frozen:
        parameters += experts
    elif experts:
        lines.append(
            f"experts of the mixture stay frozen, as {frozen}; method lora, without lora_dropout "
            "and sharding, adapts them"
        )
    if not config.target_modules and (strange := _strange_experts(model, [*layers, *experts])):
        lines.append(
            f"experts of the mixture stay frozen, as {model.config.model_type} models keep them in "
            f"a shape that no adapter takes ({_leaves(strange)}); method full trains them"
        )
    if config.method in (*_LORA, "dora"):
        odd = _misread(model, layers)
        layers = [name for name in layers if name not in odd]
        if odd and not frozen:
            parameters += [f"{name}.weight" for name in odd]
        elif odd:
            lines.append(
                f"layers {some_of(odd)} stay frozen, as peft takes their names for those of "
                f"experts, and {frozen}"
            )
    if experts and not frozen:
        lines.append(_about_experts(model, experts, config))
    if not layers and not parameters:
        raise CurateError(
            f"target_modules: {', '.join(config.target_modules) or 'all layers'}: nothing is left "
            f"for method {config.method} to adapt: {'; '.join(lines)}"
        )
    return Targets(tuple(layers), tuple(parameters), tuple(lines))


def _layers(model: Any) -> list[str]:
    """Full names of all linear layers but the output layer and routers that give no tensor."""
    import torch
    from transformers.pytorch_utils import Conv1D

    # The head of a reward model is new: it is trained whole.
    heads = [model.get_output_embeddings(), getattr(model, "score", None)]
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and "Router" not in type(module).__name__
        and not any(module is head for head in heads)
    ]


def _experts(model: Any) -> list[str]:
    """Full names of tensors that hold the weights of all experts of a layer."""
    return [
        f"{name}.{own}"
        for name, module in model.named_modules()
        if type(module).__name__.endswith("Experts")
        for own, weight in module.named_parameters(recurse=False)
        if weight.ndim == 3
    ]


def _strange_experts(model: Any, known: Sequence[str]) -> list[str]:
    """Weights of experts that are neither in a linear layer nor in a tensor of all experts."""
    ours = {*known, *(f"{name}.weight" for name in known)}
    return [
        name
        for name, weight in model.named_parameters()
        if ".experts." in name and weight.ndim >= 2 and "bias" not in name and name not in ours
    ]


def _bypassed(model: Any) -> list[str]:
    """Layers of Mamba's blocks whose weights their kernels take without calling the layer."""
    parts = ("A_log", "D", "conv1d", "in_proj")
    blocks = [
        name
        for name, module in model.named_modules()
        if all(hasattr(module, part) for part in parts)
    ]
    return [
        name
        for name in _layers(model)
        if name.rpartition(".")[0] in blocks and not name.endswith(".in_proj")
    ]


def _translated(
    model: Any, given: Sequence[str], known: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Targets by the model's own names, none meaning all, and a line on each other name."""
    if list(given) == [_EVERY_LAYER]:
        return [], []
    wanted: list[str] = []
    changed: dict[str, str] = {}
    for target in given:
        own = target
        if not _named(known, [target]):
            found = [name for name in _ELSEWHERE.get(target, ()) if _named(known, [name])]
            if not found:
                names = sorted({name.rpartition(".")[2] for name in known})
                # A name of other models' layers is no misspelt one of this model's.
                near = "" if target in _ELSEWHERE else nearest(target, names)
                raise CurateError(
                    f"target_modules: the model has no linear layer {target!r}{near}; it has "
                    f"{', '.join(names)}"
                )
            own = changed[target] = found[0]
        wanted.append(own)
    if not changed:
        return wanted, []
    shown = ", ".join(f"{own} for {target}" for target, own in changed.items())
    line = f"target_modules: {model.config.model_type} models have {shown}, and that is adapted"
    return wanted, [line]


def _named(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    ends = tuple(f".{target}" for target in wanted)
    return [name for name in names if f".{name}".endswith(ends)]


def _leaves(names: Sequence[str]) -> str:
    return ", ".join(sorted({name.rpartition(".")[2] for name in names}))


def _why_frozen(config: TrainConfig) -> str:
    """Why tensors without a layer are not adapted; empty if they are."""
    if config.method not in _LORA:
        return f"method {config.method} adapts layers alone"
    if config.lora_dropout > 0:
        return "they take no lora_dropout"
    return "their adapters are not shared" if config.sharding != "none" else ""


def _about_experts(model: Any, experts: Sequence[str], config: TrainConfig) -> str:
    weights = [model.get_parameter(name) for name in experts]
    count = sum(
        config.lora_r * weight.shape[0] * (weight.shape[1] + weight.shape[2]) for weight in weights
    )
    others = _leaves([name for name in _layers(model) if name not in _bypassed(model)])
    return (
        f"experts of the mixture are adapted as well: {len(experts)} tensors ({_leaves(experts)}) "
        f"with adapters of {count:,} numbers; target_modules without them leaves them frozen, such "
        f"as {others.replace(' ', '')}"
    )


def _misread(model: Any, layers: Sequence[str]) -> list[str]:
    """Layers that peft would leave out, for their names were once those of experts.

    It reads the names of a mixture's layers as version 4 of transformers gave them, and puts the
    experts in their place, also where shared experts and dense layers have such names today.
    """
    import peft
    from peft.utils import transformers_weight_conversion as renaming

    odd: set[str] = set()
    conversions = renaming.get_model_conversion_mapping(model)
    for leaf in sorted({name.rpartition(".")[2] for name in layers}):
        asked = peft.LoraConfig(target_modules=[leaf])
        try:
            renaming.convert_peft_config_for_transformers(asked, model, conversions)
        except ValueError:  # one of several that became one tensor
            odd.add(leaf)
            continue
        if leaf not in asked.target_modules:
            odd.add(leaf)
    return [name for name in layers if name.rpartition(".")[2] in odd]


def about(model: Any, config: TrainConfig) -> list[str]:
    """Lines for the log on what the method adapts, of a model without adapters yet."""
    if "target_modules" not in METHODS[config.method].fields:
        return []
    return list(targets(model, config).lines)
