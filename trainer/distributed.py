"""Several processes, started by `torchrun`, that take each step together.

Every process holds the whole model and a share of the step's rows; gradients and losses are added
up, so that the step is the one a single process would take, to rounding. The first process alone
writes. A model must fit on each device.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.schema import CurateError
from trainer.data import Ints

if TYPE_CHECKING:
    import torch

# How long a process waits for one that evaluates, answers prompts or writes.
_PATIENCE = datetime.timedelta(hours=12)


@dataclasses.dataclass(frozen=True)
class Group:
    """Process number `rank` of `count`."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, lengths: Ints) -> Ints:
        """Places of the rows of this process, so that all have about as many tokens.

        Rows are dealt from the longest on, to and fro; a short step may leave a process none.

        >>> [Group(rank, 2).share(np.array([3, 9, 4, 5])).tolist() for rank in (0, 1)]
        [[0, 1], [2, 3]]
        """
        by_length = np.argsort(-lengths, kind="stable")
        turn = np.arange(len(lengths)) % (2 * self.count)
        dealt = np.minimum(turn, 2 * self.count - 1 - turn)
        places: Ints = np.sort(by_length[dealt == self.rank])
        return places

    def add_up(self, weights: Sequence[torch.Tensor], *numbers: float) -> tuple[float, ...]:
        """Sum the gradients in place and the numbers over all processes."""
        if self.count == 1:
            return numbers
        import torch
        import torch.distributed as dist

        device = weights[0].device
        used = torch.tensor([float(each.grad is not None) for each in weights], device=device)
        dist.all_reduce(used)
        for weight, users in zip(weights, used.tolist(), strict=True):
            if users:
                if weight.grad is None:
                    weight.grad = torch.zeros_like(weight)
                dist.all_reduce(weight.grad)
        sums = torch.tensor(numbers, dtype=torch.float64, device=device)
        dist.all_reduce(sums)
        return tuple(sums.tolist())

    def check_alike(self, net: Any) -> None:
        """Refuse to go on once processes hold different weights."""
        if self.count == 1:
            return
        import torch

        sums = [weight.detach().double().sum() for weight in net.parameters()]
        mine = float(torch.stack(sums).sum())
        if mine != self.shared(mine):
            raise CurateError(
                f"process {self.rank} of {self.count}: its weights are no longer the first one's; "
                "run on devices of one kind, with the same versions"
            )

    def shared(self, value: Any) -> Any:
        """The first process's value, in every process."""
        if self.count == 1:
            return value
        import torch.distributed as dist

        values = [value]
        dist.broadcast_object_list(values)
        return values[0]


ALONE = Group()


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """The processes that torchrun started with this one, or this one alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    import torch
    import torch.distributed as dist

    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield Group(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
