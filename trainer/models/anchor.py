"""Where training started, and the penalty that grows with the distance from there.

L2-SP (Li et al. 2018, arXiv 1802.01483): weight / 2 * sum (w - w0)^2. EWC (Kirkpatrick et al. 2017,
arXiv 1612.00796): weight / 2 * sum F (w - w0)^2, where F says how much each weight matters to
general text. Both are of the weights that the model computes with: of a low-rank adapter it is the
change s * B A of its layer that is penalised, not its two factors. Gradients are added as formulas,
in fp32, without a second backward pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError, some_of
from trainer.distributed import Group
from trainer.models.sharding import own, whole

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True)
class Weight:
    """A trained weight that the model computes with: what it is named, is and was, and its F.

    `start` and `fisher` are fp32, of a shared weight this process's part; `fisher` None counts 1.
    """

    name: str
    weight: torch.Tensor
    start: torch.Tensor
    fisher: torch.Tensor | None = None

    def measured(self) -> torch.Tensor:
        """The weight by whose gradient F is estimated."""
        return self.weight

    def pull(self, strength: float) -> torch.Tensor:
        """Add the penalty's gradient; the penalty, fp64."""
        change = own(self.weight.detach()).float() - self.start
        force = change if self.fisher is None else self.fisher * change
        _add(self.weight, strength * force)
        value: torch.Tensor = strength / 2 * (force.double() * change).sum()
        return value


@dataclasses.dataclass(frozen=True)
class Product:
    """A low-rank adapter: its layer's weight changes by `scale` * `up` @ `down`, [out, in].

    `start` are the factors [out, r] and [r, in] of an adapter that training goes on with, None for
    one that starts at no change. `base` is the frozen weight, which `turned` says is [in, out].
    """

    name: str
    base: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor
    scale: float
    turned: bool
    start: tuple[torch.Tensor, torch.Tensor] | None = None
    fisher: torch.Tensor | None = None

    def measured(self) -> torch.Tensor:
        """The weight by whose gradient F is estimated: the base's, as the change adds to it."""
        return self.base

    def pull(self, strength: float) -> torch.Tensor:
        """Add the penalty's gradient to both factors; the penalty, fp64."""
        import torch

        up, down = self.up.detach().float(), self.down.detach().float()
        left, right = up, down
        if self.start is not None:  # the change since then is of twice the rank
            left = torch.cat([up, -self.start[0]], dim=1)
            right = torch.cat([down, self.start[1]])
        if self.fisher is None:
            # tr((R Rt)(Lt L)) is the squared norm of L R, which need not exist.
            scale = strength * self.scale**2
            value = scale / 2 * ((right @ right.T).double() * (left.T @ left).double()).sum()
            _add(self.up, scale * (left @ (right @ down.T)))
            _add(self.down, scale * ((up.T @ left) @ right))
            return value
        change = self.scale * (left @ right)
        force = strength * (self.fisher.T if self.turned else self.fisher) * change
        _add(self.up, self.scale * (force @ down.T))
        _add(self.down, self.scale * (up.T @ force))
        return (force.double() * change).sum() / 2


def _add(weight: torch.Tensor, gradient: torch.Tensor) -> None:
    """Add to this process's part of a gradient; one that is not there yet is made."""
    import torch

    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    held = own(weight.grad)
    held.add_(gradient.to(held.dtype))


Part = Weight | Product


@dataclasses.dataclass(frozen=True)
class Anchor:
    """All that is penalised, how strongly, and what F was made from (None without one)."""

    kind: str
    strength: float
    parts: tuple[Part, ...]
    about: Mapping[str, Any] | None = None

    @property
    def identity(self) -> str | None:
        """The hash of F; None where every weight counts 1."""
        return None if self.about is None else str(self.about["sha256"])

    def pull(self, group: Group) -> float:
        """Add the penalty's gradient to the gradients of a step; the penalty, over all processes.

        Those must be summed over processes before, as each adds the penalty once.
        """
        import torch

        if self.strength == 0:
            return 0.0
        with torch.no_grad():
            values = torch.stack([part.pull(self.strength) for part in self.parts])
        found = float(values.sum())
        return group.total([found])[0] if group.sharded else found

    def described(self) -> dict[str, Any]:
        """What the manifest of a run says of it."""
        about = None if self.about is None else dict(self.about)
        return {"kind": self.kind, "weight": self.strength, "fisher": about}


def parts_of(net: Any) -> tuple[Part, ...]:
    """All that is trained, as it is now: where it started.

    Raises `CurateError` for adapters of tensors that are no layer.
    """
    import torch

    products = list(_products(net))
    factors = {id(factor) for product in products for factor in (product.up, product.down)}
    others = [
        (name, weight)
        for name, weight in net.named_parameters()
        if weight.requires_grad and id(weight) not in factors
    ]
    if strange := [name for name, _ in others if ".lora_" in name]:
        raise CurateError(
            f"regulariser: adapters of tensors that are no linear layer ({some_of(strange)}) have "
            "no weight that a penalty could be of; name linear layers in target_modules"
        )
    with torch.no_grad():
        weights = [
            Weight(name, weight, own(weight.detach()).float().clone()) for name, weight in others
        ]
    return (*weights, *products)


def _products(net: Any) -> Iterator[Product]:
    from peft.tuners.lora.layer import Linear

    for name, module in net.named_modules():
        # Adapters of other tensors, and of 4-bit layers, are classes of their own.
        if not hasattr(module, "lora_A") or not hasattr(module, "get_base_layer"):
            continue
        key = next(iter(module.lora_A), None)
        if key is None or type(module).__name__ == "ParamWrapper":
            continue
        up, down = module.lora_B[key].weight, module.lora_A[key].weight
        started = bool(up.detach().any())
        yield Product(
            name=name,
            base=module.get_base_layer().weight,
            up=up,
            down=down,
            scale=float(module.scaling[key]),
            turned=isinstance(module, Linear) and bool(module.fan_in_fan_out),
            start=(up.detach().float().clone(), down.detach().float().clone()) if started else None,
        )


def with_fisher(parts: Sequence[Part], fisher: Mapping[str, torch.Tensor]) -> tuple[Part, ...]:
    """The parts, each with its F by its name."""
    return tuple(dataclasses.replace(part, fisher=fisher[part.name]) for part in parts)


def whole_fisher(parts: Sequence[Part], first: bool) -> dict[str, torch.Tensor]:
    """F by name, whole and on the CPU of the first process; {} in others, which all must ask."""
    found = {}
    for part in parts:
        assert part.fisher is not None
        full = _like(part.fisher, part.measured())
        if first:
            found[part.name] = full.cpu().contiguous()
    return found


def _like(local: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """All of a tensor of which each process has the part that it has of a weight."""
    held: Any = weight
    if not hasattr(held, "full_tensor"):
        return local
    from torch.distributed.tensor import DTensor

    shared = DTensor.from_local(
        local, held.device_mesh, held.placements, shape=held.shape, stride=held.stride()
    )
    full: torch.Tensor = whole(shared)
    return full
