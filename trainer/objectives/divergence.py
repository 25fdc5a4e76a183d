"""How far a student's distributions are from a teacher's, in nats, all of it in fp32.

Forward is KL(teacher || student), which is the cross entropy with the teacher's distribution less
its entropy; reverse is KL(student || teacher). Both are of distributions at a temperature T, that
is of logits divided by it, and their gradients shrink by about T squared (Hinton et al. 2015, arXiv
1503.02531, section 2): who adds them to another loss multiplies by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def kl(teacher: torch.Tensor, student: torch.Tensor, reverse: bool) -> torch.Tensor:
    """KL divergence of log probabilities fp32 [targets, choices]: forward, or in `reverse`.

    What a teacher gives no probability at all counts nothing forward; in reverse it is infinite as
    soon as the student gives it any.
    """
    if reverse:
        return (student.exp() * (student - teacher)).sum(dim=-1)
    # Without a floor, a probability of 0 times ln 0 would be no number.
    floored = teacher.clamp(min=-1e30)
    return (teacher.exp() * (floored - student)).sum(dim=-1)


def tempered(logits: torch.Tensor, size: int, temperature: float) -> torch.Tensor:
    """Logits over the first `size` words, divided by the temperature: fp32."""
    cut = logits[:, :size].float()
    return cut if temperature == 1.0 else cut / temperature


def in_buckets(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """ln p of the words `ids` [targets, k], and last that of all other words together.

    `logits` are fp32 [targets, words]. Gives [targets, k + 1]; [targets, k] where there are no
    others. The last is summed over those others, and not 1 less the rest, which rounds to nothing
    where the rest is nearly 1.
    """
    import torch

    total = logits.logsumexp(dim=-1, keepdim=True)
    picked = logits.gather(1, ids)
    if ids.shape[1] == logits.shape[1]:
        return picked - total
    others: Any = logits.scatter(1, ids, float("-inf")).logsumexp(dim=-1, keepdim=True)
    return torch.cat([picked, others], dim=1) - total
