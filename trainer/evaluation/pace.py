"""How fast a run goes: tokens a second, share of the machine's speed, memory, time left."""

from __future__ import annotations

import dataclasses
import sys
import time
import timeit
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.models.modes import plain
from trainer.models.prompted import is_prompted
from trainer.plan import Plan

if TYPE_CHECKING:
    import torch

# Dense bf16 peaks without sparsity, FLOP/s, by a part of the device's name (makers' data sheets).
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
# A line of progress at least every so many seconds.
_SECONDS = 10.0
# Steps, but for the first, that tell how long the others take.
_STEPS = 3
_MATRIX = 512


@dataclasses.dataclass
class Pace:
    """Counts what was done since it was made, and reports it in words.

    `flops` are those of one token's training, `peak` the device's FLOP/s and `of` where that
    number is from.
    """

    steps: int
    flops: float
    peak: float
    of: str
    device: torch.device
    evaluations: int = 0  # after each epoch one
    shown: float = dataclasses.field(default_factory=time.perf_counter)
    tokens: int = 0
    steps_seconds: list[float] = dataclasses.field(default_factory=list)
    evaluation_seconds: list[float] = dataclasses.field(default_factory=list)

    def step(self, tokens: int, seconds: float) -> None:
        """Count a step that read so many tokens in so many seconds."""
        self.tokens += tokens
        self.steps_seconds.append(seconds)

    def evaluated(self, seconds: float) -> None:
        """Count an evaluation, the one before training too."""
        self.evaluation_seconds.append(seconds)

    @property
    def is_due(self) -> bool:
        """Whether the last line of progress is some time ago."""
        return time.perf_counter() - self.shown > _SECONDS

    def line(self, step: int, epoch: int) -> str:
        """Speed of the steps, utilisation, peak memory, and the time that is left if it is known.

        `step` steps are done, and an evaluation is yet to come for each epoch from `epoch` on.
        """
        self.shown = time.perf_counter()
        speed = self.tokens / max(sum(self.steps_seconds), 1e-9)
        known = (
            f"{speed:,.0f} tokens/s, {speed * self.flops / self.peak:.0%} of {self.of}, "
            f"{peak_memory(self.device) / 1e9:.2f} GB"
        )
        left = self.left(step, epoch)
        return known if left is None else f"{known}, {spoken(left)} left"

    def left(self, step: int, epoch: int) -> float | None:
        """Seconds to the last evaluation; None before there is anything to tell it by.

        The first step of a process sets things up, and says nothing of the others.
        """
        usual = self.steps_seconds[1:]
        if len(usual) < _STEPS:
            return None
        steps = (self.steps - step) * sum(usual) / len(usual)
        if not self.evaluation_seconds:  # resumed, and no epoch has ended since
            return None
        each = sum(self.evaluation_seconds) / len(self.evaluation_seconds)
        return steps + each * (self.evaluations - epoch + 1)


def measure(plan: Plan, net: Any) -> Pace:
    """A pace for this run, from now on."""
    rows = plan.tokens.rows
    lengths = rows.lengths[plan.train].astype(np.float64)
    # A token attends to half of its document on average, weighted by the tokens that do.
    context = float((lengths**2).sum() / lengths.sum() / 2)
    device = next(net.parameters()).device
    peak, of = peak_flops(device)
    epochs = plan.config.num_train_epochs
    return Pace(plan.steps, flops_per_token(net, context), peak, of, device, epochs)


def flops_per_token(net: Any, context: float) -> float:
    """Floating-point operations of training on one token: 2 forward and 4 backward a weight.

    A frozen weight needs no gradient of its own: 4. The input embedding is looked up, not
    multiplied. Attention adds 12 * layers * width * `context` (PaLM, arXiv 2204.02311, B).
    """
    network = plain(net.tuned if is_prompted(net) else net)
    looked_up = {id(weight) for weight in network.get_input_embeddings().parameters()}
    head = network.get_output_embeddings()
    if head is not None:  # a tied matrix is multiplied as the output layer
        looked_up -= {id(weight) for weight in head.parameters()}
    weights = [weight for weight in net.parameters() if id(weight) not in looked_up]
    linear = sum(weight.numel() * (6 if weight.requires_grad else 4) for weight in weights)
    text = network.config.get_text_config()
    return float(linear + 12 * text.num_hidden_layers * text.hidden_size * context)


def peak_flops(device: torch.device) -> tuple[float, str]:
    """The device's peak and what it is: of a known GPU its bf16 peak, else measured here.

    The measure is the best of a few fp32 matrix products, with the threads that torch has.
    """
    import torch

    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        known = next((peak for part, peak in PEAKS.items() if part in name), None)
        if known is not None:
            return known, f"{name}'s {known / 1e12:.0f} TFLOP/s (bf16)"
    left = torch.ones(_MATRIX, _MATRIX, device=device)
    # Reading one number waits for the product.
    times = timeit.repeat(lambda: (left @ left)[0, 0].item(), number=1, repeat=4)
    peak = 2 * _MATRIX**3 / min(times)
    return peak, f"{peak / 1e9:,.0f} GFLOP/s (measured, fp32)"


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that was allocated on a GPU, or the most that this process ever held."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # there is no such module on Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def spoken(seconds: float) -> str:
    """A duration in words.

    >>> spoken(600)
    '10 minutes'
    """
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
