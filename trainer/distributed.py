"""Several processes, started by `torchrun`, that take each step together.

Every process has a share of the step's rows, and the whole model or a share of that too (see
`sharding.py`); gradients and losses are added up, so that the step is the one a single process
would take, to rounding. The first process alone writes.
"""

from __future__ import annotations

import dataclasses
import datetime
import gc
import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from curate.base.errors import CurateError
from trainer.data.rows import Ints

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

# How long a process waits for one that evaluates, answers prompts or writes.
_PATIENCE = datetime.timedelta(hours=12)


@dataclasses.dataclass(frozen=True)
class Group:
    """Process number `rank` of `count`; `sharded` if each has a share of every weight."""

    rank: int = 0
    count: int = 1
    sharded: bool = False
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this is the process that logs and writes."""
        return self.rank == 0

    @property
    def gives(self) -> bool:
        """Whether this process has something to give to what is written."""
        return self.first or self.sharded

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

    def in_step(self, passes: Iterable[T], spare: Callable[[], T]) -> Iterator[tuple[T, float]]:
        """The passes of this process, each with the 1 it counts.

        Where weights are shared, spare passes that count 0 follow, so that all processes make as
        many: each pass needs all of them.
        """
        if not self.sharded:
            yield from ((one, 1.0) for one in passes)
            return
        import torch
        import torch.distributed as dist

        own = list(passes)
        most = torch.tensor(len(own), device=self.device)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        yield from ((one, 1.0) for one in own)
        yield from ((spare(), 0.0) for _ in range(int(most) - len(own)))

    def add_up(self, weights: Sequence[torch.Tensor], *numbers: float) -> tuple[float, ...]:
        """Sum the gradients in place and the numbers over all processes.

        Gradients of shared weights are summed in the backward pass already.
        """
        if self.count > 1 and not self.sharded:
            self._add_gradients(weights)
        return self.total(numbers)

    def total(self, numbers: Sequence[float]) -> tuple[float, ...]:
        """The sums of the numbers over all processes."""
        if self.count == 1:
            return tuple(numbers)
        import torch
        import torch.distributed as dist

        sums = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return tuple(sums.tolist())

    def wait(self) -> None:
        """Go on once all processes have come here: a sum needs each of them."""
        self.total([0.0])

    def _add_gradients(self, weights: Sequence[torch.Tensor]) -> None:
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

    def check_alike(self, net: Any) -> None:
        """Refuse to go on once processes hold different weights; a share is held once."""
        if self.count == 1 or self.sharded:
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
def joined(device: str, sharding: str = "none") -> Iterator[Group]:
    """The processes that torchrun started with this one, or this one alone.

    At the end nothing may hold the group, so models must be out of reach: its threads end with the
    last reference, and one that lets go of a tensor while Python ends takes the process down.

    Raises `CurateError` if weights shall be shared and torchrun did not start this process.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        if sharding != "none":
            raise CurateError(
                f"sharding: {sharding} shares the weights among processes, and this one is alone; "
                "start them with: torchrun --nproc-per-node N -m curate train ..."
            )
        yield ALONE
        return
    import torch
    import torch.distributed as dist

    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Were it imported while the group stands, it would keep it: as the default of arguments.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        place = f"cuda:{torch.cuda.current_device()}" if on_gpu else "cpu"
        yield Group(dist.get_rank(), dist.get_world_size(), sharding != "none", place)
        gc.collect()  # sharded models, which are full of cycles, hold the group
    finally:
        dist.destroy_process_group()
