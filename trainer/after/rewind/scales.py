"""How far along a path each weight stands: all alike, or the later layers further (LiNeS)."""

from __future__ import annotations

import dataclasses
import re

_LAYER = re.compile(r"\.(\d+)\.")
_FIRST = ("embed", "wte", "wpe")


@dataclasses.dataclass(frozen=True)
class Scale:
    """Part of the way from the base, 0 to 1: `alpha` for all weights, or for the first layer.

    With `by_layer` it is LiNeS (Wang et al. 2024, arXiv 2410.17146): a + b(l-1)/(L-1) for layer l
    of `layers`, here with a = alpha and b = 1 - alpha, so that the last layer is the tuned one.
    """

    alpha: float
    layers: int
    by_layer: bool = False

    def of(self, name: str) -> float:
        """The part for a weight, by its name.

        Embeddings count as of the first layer; the last norm and the output as of the last.

        >>> scale = Scale(0.2, layers=5, by_layer=True)
        >>> scale.of("model.layers.2.mlp.up_proj.weight"), scale.of("model.norm.weight")
        (0.6, 1.0)
        """
        if not self.by_layer or self.alpha == 1:
            return self.alpha
        found = _LAYER.search(name)
        if found:
            depth = int(found[1]) / max(1, self.layers - 1)
        else:
            depth = 0.0 if any(sign in name for sign in _FIRST) else 1.0
        return self.alpha + (1 - self.alpha) * min(depth, 1.0)
