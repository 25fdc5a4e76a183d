"""Bottleneck adapters: small layers in series with a frozen model's own.

Houlsby et al. 2019 (arXiv 1902.00751): one after attention and one after the feed-forward layer of
each block, before what they give joins the residual. Pfeiffer et al. 2020 (arXiv 2005.00247): after
the feed-forward layer alone. Each makes h + U f(D h) of h, with f = SiLU. U and the biases start at
zero, so that training starts at the base model exactly. No weight of the base can hold what they
do, so they are never merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from trainer.models.sublayers import sublayers

if TYPE_CHECKING:
    import torch

_NAME = "bottleneck"
METHODS = ("houlsby", "pfeiffer")
ACTIVATION = "silu"


@cache
def _layer() -> Any:
    from torch import nn

    class Bottleneck(nn.Module):
        """`width` numbers between two linear layers; fp32 beside a model of fewer bits."""

        def __init__(self, size: int, width: int, device: torch.device) -> None:
            super().__init__()
            self.down = nn.Linear(size, width, device=device)
            self.up = nn.Linear(width, size, device=device)
            for weight in (self.down.bias, self.up.weight, self.up.bias):
                nn.init.zeros_(weight)

        def forward(self, h: torch.Tensor) -> torch.Tensor:
            small = nn.functional.silu(self.down(h.to(self.down.weight.dtype)))
            result: torch.Tensor = h + self.up(small).to(h.dtype)
            return result

    return Bottleneck


def _passed(module: Any, inputs: Any, output: Any) -> Any:
    """The hook that puts a layer's output through its adapter."""
    adapter = getattr(module, _NAME)
    if isinstance(output, tuple):
        return (adapter(output[0]), *output[1:])
    return adapter(output)


def wrap(model: Any, method: str, width: int) -> Any:
    """Put adapters of `width` on the model's blocks by `method`; all else is frozen.

    Raises `CurateError` for an architecture in which it is not found what joins the residual.
    """
    pairs = sublayers(model, f"method {method}", "take method lora")
    size = model.get_input_embeddings().weight.device, model.config.get_text_config().hidden_size
    model.requires_grad_(False)
    for attention, feed_forward in pairs:
        for layer in (attention, feed_forward) if method == "houlsby" else (feed_forward,):
            layer.add_module(_NAME, _layer()(size[1], width, size[0]))
            # Before other hooks: what is dropped in training is what joins the residual.
            layer.register_forward_hook(_passed, prepend=True)
    return model


def count(blocks: int, size: int, width: int, method: str) -> int:
    """The number of trained numbers: 2 d m + m + d an adapter."""
    return blocks * (2 if method == "houlsby" else 1) * (2 * size * width + width + size)


def state(model: Any) -> dict[str, torch.Tensor]:
    """What the adapters learnt, by name."""
    return {
        name: weight.detach().contiguous()
        for name, weight in model.named_parameters()
        if f".{_NAME}." in name
    }


def put_into(model: Any, learnt: Mapping[str, torch.Tensor]) -> None:
    """Copy what was learnt into adapters of the same names and shapes."""
    import torch

    with torch.no_grad():
        for name, weight in state(model).items():
            weight.copy_(learnt[name])
