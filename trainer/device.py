"""Where a run computes, and that it computes the same every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from curate.schema import CurateError

if TYPE_CHECKING:
    import torch


def pick_device(wanted: str) -> torch.device:
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise CurateError("device: 'cuda' was asked for, but torch sees no GPU; use 'cpu'")
    usable = wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available())
    # Of several processes each has a GPU of its own, which is the current one.
    return torch.device("cuda", torch.cuda.current_device()) if usable else torch.device("cpu")


def torch_seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed)


@contextmanager
def deterministic() -> Iterator[None]:
    """Same input, same bits; the caller's random state and settings are given back."""
    import torch

    before, threads = torch.get_deterministic_debug_mode(), torch.get_num_threads()
    # Read by cuBLAS when it starts; without it deterministic mode refuses matrix products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.set_deterministic_debug_mode("error")
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(before)
            torch.set_num_threads(threads)
