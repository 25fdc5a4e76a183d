"""LIMA's residual dropout: none in the first block, `p` in the last, a straight line between."""

from __future__ import annotations

from typing import Any

from trainer.models.sublayers import sublayers


class _Drop:
    """A forward hook that drops values of a sub-layer's output before it joins the residual."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, module: Any, inputs: Any, output: Any) -> Any:
        import torch.nn.functional as F

        if not module.training or self.share == 0.0:
            return None
        if isinstance(output, tuple):
            return (F.dropout(output[0], self.share), *output[1:])
        return F.dropout(output, self.share)


def add_residual_dropout(model: Any, share: float) -> None:
    """Hook the attention and feed-forward outputs of each block; active in training mode only.

    Block `l` of `n` drops `share * l / (n - 1)` (arXiv 2305.11206, section 3). Raises `CurateError`
    for an architecture in which those outputs are not found.
    """
    pairs = sublayers(model, "residual_dropout", "set residual_dropout to 0")
    for index, pair in enumerate(pairs):
        # A single block is the last one.
        depth = index / (len(pairs) - 1) if len(pairs) > 1 else 1.0
        for layer in pair:
            layer.register_forward_hook(_Drop(share * depth))
