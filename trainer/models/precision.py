"""AdamW for bf16 weights: a small update must not vanish when it is rounded.

A bf16 number has 8 bits of fraction: with |w| = 0.02 only changes above 6e-5 arrive, while a step
of AdamW is about as large as the learning rate. So the sum is kept in fp32 ("masters"), or rounded
up or down at random so that it is right on average ("stochastic", Zamirai et al., arXiv
2010.06192), or rounded to the nearest value ("nearest"), which loses most of it at low rates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from trainer.config.config import TrainConfig
from trainer.distributed import ALONE, Group
from trainer.models.sharding import own

if TYPE_CHECKING:
    import torch

# Up to this rate most weights of usual size lose their updates when rounded to the nearest.
LOW_RATE = 1e-3
# Small weights are stepped together, up to so many values: a GPU starts a kernel for all of them in
# the time that it takes for one.
_TOGETHER = 1 << 25


def rounding_of(config: TrainConfig) -> str | None:
    """How trained weights are rounded; None where they are fp32 and nothing is."""
    if config.dtype != "bfloat16" or config.learns != "weights":
        return None
    if config.rounding != "auto":
        return config.rounding
    # A rate that is yet to be found may be low.
    return "masters" if config.lr_find or config.learning_rate <= LOW_RATE else "nearest"


def lost_updates(
    optimizer: Any, log: Callable[[str], None], group: Group = ALONE
) -> dict[str, float]:
    """The share of updates of an epoch that rounding loses, by name and logged; none for fp32."""
    share = optimizer.lost_share(group) if hasattr(optimizer, "lost_share") else None
    if share is None:
        return {}
    log(f"{share:.1%} of the updates vanish, or would, when bf16 rounds them to the nearest")
    return {"lost_updates": share}


def adamw(groups: list[dict[str, Any]], rounding: str, **settings: Any) -> torch.optim.Optimizer:
    """A `torch.optim.Optimizer` like AdamW, with fp32 moments and rounded bf16 weights.

    `lost_share()` gives the share of updates since it was last asked that rounding to the nearest
    loses (or would have lost), and starts counting anew. Of a shared weight each process moves
    its own part.
    """
    import torch

    class RoundedAdamW(torch.optim.Optimizer):
        def __init__(self) -> None:
            super().__init__(groups, {"lr": 0.0, "betas": (0.9, 0.999), "eps": 1e-8, **settings})
            self.lost: Any = 0
            self.moved: Any = 0

        @torch.no_grad()
        def step(self, closure: None = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                moving = [weight for weight in group["params"] if weight.grad is not None]
                for some in _runs(moving):
                    self._step_some(some, group)

        def _step_some(self, weights: list[torch.Tensor], group: dict[str, Any]) -> None:
            exact, before = _advanced(weights, self.state, group, rounding)
            mine = [own(weight.detach()) for weight in weights]
            new, weight = _flat(exact), _flat(mine)
            change = new - _flat(before)
            moves = change != 0
            self.moved = self.moved + moves.sum()
            self.lost = self.lost + (moves & ((weight + change).to(weight.dtype) == weight)).sum()
            rounded = stochastic(new) if rounding == "stochastic" else new
            parts = torch.split(rounded, [each.numel() for each in mine])
            shaped = [part.view_as(each) for part, each in zip(parts, mine, strict=True)]
            torch._foreach_copy_(mine, shaped)

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            super().load_state_dict(state_dict)
            # The base class casts state to the weights' own format; ours is fp32, by number.
            numbers = [n for group in state_dict["param_groups"] for n in group["params"]]
            weights = [weight for group in self.param_groups for weight in group["params"]]
            for number, weight in zip(numbers, weights, strict=True):
                for name, value in state_dict["state"].get(number, {}).items():
                    self.state[weight][name] = value.to(weight.device, torch.float32).clone()

        def lost_share(self, group: Group = ALONE) -> float | None:
            moved, lost = group.total([int(self.moved), int(self.lost)])
            self.moved = self.lost = 0
            return lost / moved if moved else None

    return RoundedAdamW()


def _runs(weights: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Weights of one format, in their order, of at most `_TOGETHER` values if more than one."""
    some: list[torch.Tensor] = []
    size = 0
    for weight in weights:
        size += weight.numel()
        if some and (size > _TOGETHER or weight.dtype != some[0].dtype):
            yield some
            some, size = [], weight.numel()
        some.append(weight)
    if some:
        yield some


def _flat(tensors: list[torch.Tensor]) -> torch.Tensor:
    import torch

    each = [tensor.flatten() for tensor in tensors]
    return torch.cat(each) if len(each) > 1 else each[0]


def _as_fp32(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    import torch

    made = [torch.empty_like(tensor, dtype=torch.float32) for tensor in tensors]
    torch._foreach_copy_(made, tensors)
    return made


def _advanced(
    weights: list[torch.Tensor], states: dict[Any, Any], group: dict[str, Any], rounding: str
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Weights after one step of AdamW in fp32, and before it; `states` move on."""
    import torch
    from torch.optim.adamw import adamw as update

    for weight in weights:
        if not states[weight]:
            states[weight] = _first_state(weight, rounding)
    parts = [{name: own(value) for name, value in states[each].items()} for each in weights]
    if rounding == "masters":
        exact = [part["master"] for part in parts]
    else:
        exact = _as_fp32([own(weight.detach()) for weight in weights])
    before = torch._foreach_clone(exact)
    beta1, beta2 = group["betas"]
    update(
        exact,
        _as_fp32([own(weight.grad) for weight in weights]),
        [part["exp_avg"] for part in parts],
        [part["exp_avg_sq"] for part in parts],
        [],
        [part["step"] for part in parts],
        fused=True,
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )
    return exact, list(before)


def _first_state(weight: torch.Tensor, rounding: str) -> dict[str, torch.Tensor]:
    import torch

    state = {
        "step": torch.zeros((), dtype=torch.float32, device=weight.device),
        "exp_avg": torch.zeros_like(weight, dtype=torch.float32),
        "exp_avg_sq": torch.zeros_like(weight, dtype=torch.float32),
    }
    if rounding == "masters":
        state["master"] = weight.detach().float().clone()
    return state


def stochastic(exact: torch.Tensor) -> torch.Tensor:
    """fp32 values as bf16, each rounded up with the probability of what is cut off.

    Uniform bits are added to the lower half of the word, which is then cut: unbiased, and drawn
    from torch's generator, so a function of the step.
    """
    import torch

    bits = exact.view(torch.int32)
    noise = torch.randint(0, 1 << 16, exact.shape, dtype=torch.int32, device=exact.device)
    return ((bits + noise) & -65536).view(torch.float32).to(torch.bfloat16)
