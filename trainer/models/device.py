"""Where a run computes, and that it computes the same every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.base.errors import CurateError

if TYPE_CHECKING:
    import torch


def pick_device(wanted: str) -> torch.device:
    """The device for "cpu", "cuda" or "auto". Raises `CurateError` where there is no GPU."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise CurateError("device: 'cuda' was asked for, but torch sees no GPU; use 'cpu'")
    usable = wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available())
    # Of several processes each has a GPU of its own, which is the current one.
    return torch.device("cuda", torch.cuda.current_device()) if usable else torch.device("cpu")


def device_name(device: torch.device) -> str:
    """What computes: the GPU's name, or "cpu"."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def put(values: np.ndarray[Any, Any], device: torch.device) -> torch.Tensor:
    """The array on the device; a copy to a GPU waits for nothing that runs there."""
    import torch

    here = torch.from_numpy(values)
    # From memory that can be moved, a copy waits until the GPU has done all it was given.
    on_gpu = device.type == "cuda"
    return (here.pin_memory() if on_gpu else here).to(device, non_blocking=on_gpu)


def torch_seed(seed: int) -> None:
    """Seed torch's generators, on all devices."""
    import torch

    torch.manual_seed(seed)


@contextmanager
def deterministic(strict: bool = True) -> Iterator[None]:
    """Same input, same bits; the caller's random state and settings are given back.

    Strict is an error at any kernel that may give other bits the next time, and flash attention's
    slower backward pass on a GPU.
    """
    import torch

    filling: Any = torch.utils.deterministic
    before, threads = torch.get_deterministic_debug_mode(), torch.get_num_threads()
    filled = filling.fill_uninitialized_memory
    if strict:
        # Read by cuBLAS when it starts; without it deterministic mode refuses matrix products.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.set_deterministic_debug_mode("error" if strict else "default")
        # Strict mode would fill whatever is allocated before it is written: a tenth more kernels.
        filling.fill_uninitialized_memory = False
        try:
            yield
        finally:
            filling.fill_uninitialized_memory = filled
            torch.set_deterministic_debug_mode(before)
            torch.set_num_threads(threads)
