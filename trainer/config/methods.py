"""What can be trained: all weights, some of them, adapters, or a prompt of learnt vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Method:
    """`learns` decides what a checkpoint holds and how the result is handed over.

    "weights": checkpoints are whole models. "adapter": small files, merged into the weights at
    the end. "prompt": small files that cannot be merged; the result is loaded with `peft`.
    "layers": small files too, of layers between those of the base, which cannot be merged either.
    `fields` are the settings that only some methods read. `new_rows`: whether the embedding rows
    of added tokens learn too.
    """

    about: str
    source: str
    learns: Literal["weights", "adapter", "prompt", "layers"] = "adapter"
    fields: tuple[str, ...] = ()
    new_rows: bool = False


_Weights = Literal["full", "bitfit"]
_Adapters = Literal["norms", "tokens", "lora", "rslora", "dora", "lora-xs", "oft", "boft", "ia3"]
_Unmerged = Literal["houlsby", "pfeiffer", "prefix", "prompt"]
MethodName = Literal[_Weights, _Adapters, _Unmerged]
_LORA = ("lora_r", "lora_alpha", "lora_dropout", "target_modules", "train_tokens")
# What is read by methods that change weights, or add a product to them.
_ANCHORED = ("regulariser",)

METHODS: Mapping[MethodName, Method] = {
    "full": Method("all weights", "", "weights", fields=_ANCHORED, new_rows=True),
    "bitfit": Method("biases alone", "arXiv 2106.10199", "weights", fields=_ANCHORED),
    "norms": Method("the scales of the norms alone", "arXiv 2312.11420"),
    "tokens": Method(
        "the embedding rows of added tokens alone",
        "peft TrainableTokens",
        fields=("train_tokens",),
        new_rows=True,
    ),
    "lora": Method(
        "low-rank adapters", "arXiv 2106.09685", fields=(*_LORA, *_ANCHORED), new_rows=True
    ),
    "rslora": Method(
        "LoRA scaled by the root of its rank",
        "arXiv 2312.03732",
        fields=(*_LORA, *_ANCHORED),
        new_rows=True,
    ),
    "dora": Method(
        "LoRA for directions, and a length for each output",
        "arXiv 2402.09353",
        fields=_LORA,
        new_rows=True,
    ),
    "lora-xs": Method(
        "a rank x rank matrix between the weight's own singular vectors",
        "arXiv 2405.17604",
        fields=("lora_r", "lora_alpha", "target_modules"),
    ),
    "oft": Method(
        "rotations of blocks of each layer's input, exact Cayley",
        "arXiv 2306.07280",
        fields=("rotation_block", "target_modules"),
    ),
    "boft": Method(
        "rotations of blocks and a scale for each output, one butterfly factor",
        "arXiv 2311.06243",
        fields=("rotation_block", "target_modules"),
    ),
    "ia3": Method(
        "a scale for keys, values and feed-forward inputs",
        "arXiv 2205.05638",
        fields=("target_modules",),
    ),
    "houlsby": Method(
        "small layers after attention and feed-forward of each block, never merged",
        "arXiv 1902.00751",
        "layers",
        fields=("bottleneck_width",),
    ),
    "pfeiffer": Method(
        "small layers after the feed-forward of each block, never merged",
        "arXiv 2005.00247",
        "layers",
        fields=("bottleneck_width",),
    ),
    "prefix": Method(
        "learnt keys and values before the first token",
        "arXiv 2101.00190",
        "prompt",
        fields=("num_virtual_tokens",),
    ),
    "prompt": Method(
        "learnt embeddings before the first token",
        "arXiv 2104.08691",
        "prompt",
        fields=("num_virtual_tokens",),
    ),
}


# The setting that decides how many numbers a method trains, of those that have one.
PICKED: Mapping[str, str] = {
    **dict.fromkeys(("lora", "rslora", "dora", "lora-xs"), "lora_r"),
    **dict.fromkeys(("oft", "boft"), "rotation_block"),
    **dict.fromkeys(("houlsby", "pfeiffer"), "bottleneck_width"),
}


def readers(field: str) -> list[MethodName]:
    """The methods that read a field; empty for a field that every method reads.

    >>> readers("num_virtual_tokens")
    ['prefix', 'prompt']
    """
    return [name for name, method in METHODS.items() if field in method.fields]
