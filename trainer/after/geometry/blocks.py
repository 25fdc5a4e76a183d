"""How far what a block gives has moved, from products that are summed over a pass of both models.

X0, X1 [rows, d] are what a block of the base and of the tuned model gives for the same tokens, a
row each. Nothing of them is kept but three d x d products, and three more of rows of length 1.
Formulas: arXiv 2605.28819; debiased CKA: Song et al. 2012 (JMLR 13), Nguyen et al. 2021 (arXiv
2010.15327).
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from trainer.after.geometry.layers import EPSILON

if TYPE_CHECKING:
    import torch

# Plain CKA of unrelated rows is about d / (d + rows): above this share it says little.
MANY = 0.1


@dataclasses.dataclass(frozen=True)
class Movement:
    """How one set of rows differs from another.

    `procrustes`: what is left of the difference, as a share of X0's size, after the best rotation,
    columns centred. `gram`: by how much cosines between rows differ, not centred, so that neither
    a rotation nor a size shows. `cka`: how alike distances between rows are, columns centred, 1
    for the same; `debiased` the same without what few rows give by chance, None where there are too
    few. `chance` is about what `cka` is of unrelated rows.
    """

    procrustes: float
    gram: float
    cka: float
    debiased: float | None
    chance: float

    @property
    def is_doubtful(self) -> bool:
        """Whether plain CKA says little, for there are few rows to the width."""
        return self.chance > MANY


class Products:
    """Sums over rows of two matrices that have the same rows."""

    def __init__(self, size: int, device: torch.device) -> None:
        import torch

        def table() -> torch.Tensor:
            return torch.zeros(size, size, dtype=torch.float64, device=device)

        self.count, self.size = 0, size
        # Of rows about a fixed point, and of rows of length 1: X0t X0, X1t X1, X1t X0.
        self.inner = (table(), table(), table())
        self.cosines = (table(), table(), table())
        self.origins: tuple[torch.Tensor, torch.Tensor] | None = None
        self.sums = torch.zeros(2, size, dtype=torch.float64, device=device)
        # Of squared lengths a, b of a pair of rows: sums of a a, b b, a b, and of rows times them.
        self.lengths = torch.zeros(3, dtype=torch.float64, device=device)
        self.weighed = torch.zeros(2, 2, size, dtype=torch.float64, device=device)

    def add(self, first: torch.Tensor, second: torch.Tensor) -> None:
        """Add rows [some, d] of the base and of the tuned model."""
        import torch

        pair = first.double(), second.double()
        unit = [rows / (rows.norm(dim=1, keepdim=True) + EPSILON) for rows in pair]
        _add_products(self.cosines, unit[0], unit[1])
        if self.origins is None:  # what is far from 0 loses digits in sums of squares
            self.origins = pair[0].mean(dim=0), pair[1].mean(dim=0)
        x, y = pair[0] - self.origins[0], pair[1] - self.origins[1]
        _add_products(self.inner, x, y)
        self.count += len(x)
        self.sums += torch.stack([x.sum(dim=0), y.sum(dim=0)])
        a, b = x.square().sum(dim=1), y.square().sum(dim=1)
        self.lengths += torch.stack([a @ a, b @ b, a @ b])
        self.weighed += torch.stack([torch.stack([a @ x, b @ x]), torch.stack([a @ y, b @ y])])

    def measured(self) -> Movement:
        """All measures of the rows so far, which are two or more."""
        import torch

        count, (s0, s1) = self.count, self.sums
        p00, p11, p10 = self.inner
        c00, c11, c10 = (
            p00 - torch.outer(s0, s0) / count,
            p11 - torch.outer(s1, s1) / count,
            p10 - torch.outer(s1, s0) / count,
        )
        size0, size1 = float(c00.trace()), float(c11.trace())
        left = size0 + size1 - 2 * float(torch.linalg.svdvals(c10).sum())
        q00, q11, q10 = (float(table.square().sum()) for table in self.cosines)
        return Movement(
            procrustes=math.sqrt(max(left, 0.0)) / (math.sqrt(max(size0, 0.0)) + EPSILON),
            gram=math.sqrt(max(q00 + q11 - 2 * q10, 0.0)) / (math.sqrt(q00) + EPSILON),
            cka=_cka(c10, float(c00.norm()), float(c11.norm())),
            debiased=self._debiased(),
            chance=self.size / (self.size + count),
        )

    def _debiased(self) -> float | None:
        """CKA by unbiased estimates of HSIC; None where these are none, or of too few rows."""
        if self.count < 4:
            return None
        aa, bb, ab = self.lengths.tolist()
        p00, p11, p10 = self.inner
        (x_a, x_b), (y_a, y_b) = self.weighed
        s0, s1 = self.sums
        n = self.count
        of_both = _hsic(n, p10, s1, s0, ab, x_b @ s0 + y_a @ s1, p00, p11)
        of_first = _hsic(n, p00, s0, s0, aa, 2 * (x_a @ s0), p00, p00)
        of_second = _hsic(n, p11, s1, s1, bb, 2 * (y_b @ s1), p11, p11)
        if min(of_first, of_second) <= 0:
            return None
        return of_both / math.sqrt(of_first * of_second)


def _add_products(
    tables: tuple[torch.Tensor, torch.Tensor, torch.Tensor], x: torch.Tensor, y: torch.Tensor
) -> None:
    for table, left, right in zip(tables, (x, y, y), (x, y, x), strict=True):
        table.addmm_(left.T, right)


def _cka(both: torch.Tensor, first: float, second: float) -> float:
    """|Yt X|^2 over |Xt X| and |Yt Y|, which are given; 0 where one of them is."""
    if min(first, second) <= 0:
        return 0.0
    # One after the other: of rows of small numbers the product of both is next to nothing.
    return float((both / first).square().sum()) * (first / second)


def _hsic(
    n: int,
    product: torch.Tensor,
    left: torch.Tensor,
    right: torch.Tensor,
    squares: float,
    weighed: torch.Tensor,
    of_one: torch.Tensor,
    of_other: torch.Tensor,
) -> float:
    """The unbiased HSIC of two linear kernels whose diagonals are left out, times n (n - 3).

    `product` is Yt X with the column sums `left` of Y and `right` of X; `squares` the sum of a b
    and `weighed` that of (x . sum of x) b + (y . sum of y) a, for squared lengths a and b.
    """
    both = float(product.square().sum()) - squares
    alone = (float(right @ right) - float(of_one.trace())) * (
        float(left @ left) - float(of_other.trace())
    )
    across = float(left @ product @ right) - float(weighed) + squares
    return both + alone / ((n - 1) * (n - 2)) - 2 * across / (n - 2)
