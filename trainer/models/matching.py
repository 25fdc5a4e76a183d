"""The rank, block or width with which a method trains a given share of a model's parameters.

Methods are compared fairly where they train about as many numbers. They are counted on the model's
shapes alone, without its weights, by putting the method on as training does.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from curate.base import hub, models
from curate.base.errors import CurateError
from trainer.config.config import TrainConfig
from trainer.config.methods import PICKED
from trainer.models import adapt, bottleneck
from trainer.models.targets import targets
from trainer.models.vocabulary import Vocabulary

_WIDEST = 8  # times the width of the model: an adapter beyond that is none


def settled(config: TrainConfig, words: Vocabulary) -> tuple[TrainConfig, list[str]]:
    """The settings with the largest rank, block or width whose share is not above the one asked.

    And what was found, as lines for the log. Raises `CurateError` where even the smallest is above.
    """
    if config.match_parameters is None:
        return config, []
    field, wanted = PICKED[config.method], float(config.match_parameters.rstrip("%")) / 100
    frozen = _frozen(config, words)
    sizes = _sizes(config)
    counts: dict[int, int] = {}

    def share(size: int) -> float:
        if size not in counts:
            counts[size] = _trained(_with(config, field, size), words)
        return counts[size] / (frozen + counts[size])

    def percent(size: int) -> str:
        return f"{100 * share(size):.3g} %"

    place = bisect.bisect_right(sizes, wanted, key=share)
    if place == 0:
        raise CurateError(
            f"match_parameters is {config.match_parameters}, and {field} {sizes[0]}, the smallest, "
            f"trains {percent(sizes[0])} of {config.model}; ask for more, or take another method"
        )
    size = sizes[place - 1]
    line = (
        f"match_parameters {config.match_parameters}: {field} {size} trains {percent(size)} "
        f"({counts[size]:,} numbers)"
    )
    if place < len(sizes):
        line += f"; {field} {sizes[place]} would train {percent(sizes[place])}"
    return _with(config, field, size), [line]


def _with(config: TrainConfig, field: str, size: int) -> TrainConfig:
    changed: dict[str, Any] = {field: size}
    return dataclasses.replace(config, **changed)


def _shapes(config: TrainConfig) -> Any:
    """The model without weights: shapes alone."""
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
    )

    door: Any = AutoModelForCausalLM
    more: dict[str, Any] = {}
    if config.objective == "reward":
        door, more = AutoModelForSequenceClassification, {"num_labels": 1}
    with models.explained(config.model, "configuration"), torch.device("meta"):
        about = AutoConfig.from_pretrained(hub.place(config.model), trust_remote_code=False, **more)
        return door.from_config(about)


def _frozen(config: TrainConfig, words: Vocabulary) -> int:
    """Parameters of the model before anything is put on it, with rows for added tokens."""
    net = _shapes(config)
    rows, size = net.get_input_embeddings().weight.shape
    head = net.get_output_embeddings()
    tables = 1 if head is None or head.weight is net.get_input_embeddings().weight else 2
    grown = max(0, words.size - rows) * size * tables
    return int(grown) + sum(int(weight.numel()) for weight in net.parameters())


def _trained(config: TrainConfig, words: Vocabulary) -> int:
    """How many numbers the method trains."""
    net = _shapes(config)
    if config.method in bottleneck.METHODS:  # which would have to read tokens to be put on
        text = net.config.get_text_config()
        size = int(text.hidden_size), config.bottleneck_width
        return bottleneck.count(int(text.num_hidden_layers), *size, config.method)
    adapted = adapt.attach(net, config, words.rows)
    return sum(int(weight.numel()) for weight in adapted.parameters() if weight.requires_grad)


def _sizes(config: TrainConfig) -> Sequence[int]:
    """What the setting may be, ascending: ranks up to the layers', blocks that divide all."""
    net = _shapes(config)
    if config.method in bottleneck.METHODS:
        return range(1, _WIDEST * int(net.config.get_text_config().hidden_size) + 1)
    found = targets(net, config)
    shapes = [tuple(net.get_submodule(name).weight.shape) for name in found.layers]
    shapes += [tuple(net.get_parameter(name).shape[-2:]) for name in found.parameters]
    if PICKED[config.method] == "rotation_block":
        common = math.gcd(*(_inputs(net, name) for name in found.layers))
        blocks = [size for size in range(2, common + 1) if common % size == 0]
        if not blocks:
            raise CurateError(
                f"match_parameters: no block of method {config.method} divides all layers of "
                f"{config.model}; take lora"
            )
        return blocks
    least: Callable[[Sequence[int]], int] = min if config.method == "lora-xs" else max
    return range(1, least([min(shape) for shape in shapes]) + 1)


def _inputs(net: Any, name: str) -> int:
    """How many numbers a layer reads."""
    from transformers.pytorch_utils import Conv1D

    layer = net.get_submodule(name)
    return int(layer.weight.shape[0 if isinstance(layer, Conv1D) else 1])
