"""LoRA-XS: the singular vectors of a weight stay, a small square between them is trained.

Balazy et al. 2024, arXiv 2405.17604. The square starts at zero, so that training starts at the
base model; the paper draws it with deviation 1e-5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError

if TYPE_CHECKING:
    import torch

_SQUARE = "lora_xs_square"


def wrap(model: Any, layers: list[str], rank: int, alpha: float) -> Any:
    """Put a trained `rank` x `rank` square on each linear layer named; all else is frozen.

    `W x` becomes `W x + alpha / rank * U R V x` with U [out, rank] = left singular vectors times
    singular values and V [rank, in] = right ones of the largest `rank` values.
    """
    import torch
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    class LoraXs(nn.Module):
        """A linear layer and its square."""

        up: torch.Tensor
        down: torch.Tensor

        def __init__(self, base: nn.Linear | Conv1D) -> None:
            super().__init__()
            self.base = base
            weight = _upright(base, base.weight.detach().float())
            if rank > min(weight.shape):
                raise CurateError(
                    f"lora_r: {rank} is more than the {min(weight.shape)} singular values of "
                    "a layer; take a smaller rank"
                )
            left, values, right = torch.linalg.svd(weight, full_matrices=False)
            # Vectors are unique up to sign: the largest entry is made positive.
            largest = right[:rank].abs().argmax(dim=1, keepdim=True)
            sign = right[:rank].gather(1, largest).sign()
            self.register_buffer("up", left[:, :rank] * values[:rank] * sign.T, persistent=False)
            self.register_buffer("down", right[:rank] * sign, persistent=False)
            square = torch.zeros(rank, rank, device=weight.device)
            self.lora_xs_square = nn.Parameter(square)

        def change(self) -> torch.Tensor:
            """What is added to the weight, fp32 and shaped like it."""
            return _upright(self.base, alpha / rank * (self.up @ self.lora_xs_square @ self.down))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            small = x.to(self.up.dtype) @ self.down.T @ self.lora_xs_square.T @ self.up.T
            result: torch.Tensor = self.base(x) + (alpha / rank * small).to(x.dtype)
            return result

    model.requires_grad_(False)
    for name in layers:
        model.set_submodule(name, LoraXs(model.get_submodule(name)))
    return model


def _upright(base: Any, weight: torch.Tensor) -> torch.Tensor:
    """A layer's weight as [out, in], or back; the Conv1D of GPT-2 keeps it the other way round."""
    from transformers.pytorch_utils import Conv1D

    return weight.T if isinstance(base, Conv1D) else weight


def state(model: Any) -> dict[str, torch.Tensor]:
    """The trained squares by name."""
    return {
        name: weight.detach().contiguous()
        for name, weight in model.named_parameters()
        if name.endswith(_SQUARE)
    }


def merge(model: Any) -> Any:
    """The plain model with every square added to its weight."""
    import torch

    for name in [name.removesuffix(f".{_SQUARE}") for name in state(model)]:
        wrapped = model.get_submodule(name)
        with torch.no_grad():
            base = wrapped.base.weight
            base.copy_(base.float() + wrapped.change())
        model.set_submodule(name, wrapped.base)
    return model
