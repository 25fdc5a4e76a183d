"""A network in float64 for a moment: what it makes of rows then has next to no rounding."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Beside weights and their gradients, so much for what passes need.
_ROOM = 1.25


@contextmanager
def in_float64(net: Any) -> Iterator[None]:
    """All its numbers are float64 inside; after that each has its own format and bits again.

    float32 and bfloat16 are parts of float64, so the way there and back changes nothing.
    """
    import torch

    formats = [
        (tensor, tensor.dtype)
        for tensor in itertools.chain(net.parameters(), net.buffers())
        if tensor.is_floating_point()
    ]
    net.zero_grad(set_to_none=True)
    try:
        for tensor, _ in formats:
            tensor.data = tensor.data.to(torch.float64)
        yield
    finally:
        net.zero_grad(set_to_none=True)  # gradients have the format of their weight
        for tensor, was in formats:
            tensor.data = tensor.data.to(was)


def needed(net: Any) -> int:
    """Bytes that `in_float64` and gradients take beyond what the network holds now."""
    weights = list(net.parameters())
    more = sum(weight.numel() * (8 - weight.element_size()) for weight in weights)
    gradients = sum(8 * weight.numel() for weight in weights if weight.requires_grad)
    return int(_ROOM * (more + gradients))


def free(net: Any) -> int | None:
    """Bytes that its device has left; None where the system does not say."""
    import torch

    device = next(net.parameters()).device
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    told = Path("/proc/meminfo")  # Linux alone has it
    lines = told.read_text(encoding="ascii").splitlines() if told.is_file() else []
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(found[0]) if found else None
