"""Made-up trainings whose truth is known: cells for a proof, in a millisecond.

`Scatter` draws losses from noise of seeds, of prompts, and of both. `Bigrams` really fits something
small: counts of pairs of letters on answers, of which a share is corrupted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.proofs.cells import SELECTED, Cell, TargetCell
from curate.proofs.crossed import Variances, ratio_differences

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Scatter:
    """Losses in bits per byte that differ by `effect`, and by chance.

    `selected` and `other` are standard deviations of a seed on either side: the other one has the
    redraw of its rows in it. `prompts` is of a prompt's difference, which all seeds share, and
    `both` of what each training adds to each prompt. `tails` are degrees of freedom of Student's
    distribution (None: normal). The size of an answer in bytes is log-normal.
    """

    selected: float = 0.002
    other: float = 0.002
    prompts: float = 0.05
    both: float = 0.03
    prompt_tails: int | None = None
    seed_tails: int | None = None
    sizes: float = 0.5
    of_target: int = 100
    targets: int = 3
    others: Sequence[str] = ("random",)

    def variances(self, seeds: int) -> Variances:
        """The true ones of a mean difference. Long answers weigh more: prompts count for less."""
        count = self.of_target * self.targets
        fewer = math.exp(self.sizes**2) / count
        own = self.selected**2 + self.other**2 + 2 * self.both**2 * fewer
        return Variances(own / seeds, self.prompts**2 * fewer, seeds, count)

    def cells(self, effect: float, seeds: int, draw: np.random.Generator) -> list[Cell]:
        """Selected rows that are better by `effect` than the first of the others alone."""
        shape = (self.targets, self.of_target)
        size = np.rint(np.exp(draw.normal(5, self.sizes, shape))).clip(1)
        level = draw.gamma(20, 0.05, shape)
        found = []
        for name in (SELECTED, *self.others):
            own = self._noise(draw, shape, self.prompt_tails) * self.prompts
            shift = effect if name == self.others[0] else 0.0
            sd = self.selected if name == SELECTED else self.other
            for seed in range(seeds):
                moved = float(self._noise(draw, (), self.seed_tails)) * sd
                bits = level + shift + moved + draw.normal(0, self.both, shape)
                if name != SELECTED:
                    bits += own
                found.append(_cell(name, seed, bits * size * math.log(2), size))
        return found

    @staticmethod
    def _noise(draw: np.random.Generator, shape: Any, tails: int | None) -> Any:
        """Of variance 1."""
        if tails is None:
            return draw.normal(0, 1, shape)
        return draw.standard_t(tails, shape) * math.sqrt((tails - 2) / tails)


def _cell(name: str, seed: int, nats: Floats, size: Floats) -> Cell:
    """A cell of losses of shape (targets, prompts)."""
    targets = {}
    for at, (losses, sizes) in enumerate(zip(nats, size, strict=True)):
        whole = tuple(int(each) for each in sizes)
        names = tuple(map(str, range(len(whole))))
        targets[f"target {at}"] = TargetCell(names, tuple(losses.tolist()), whole, whole)
    return Cell(name, seed, 150, f"{name} {seed}", 10_000, 20, 2.0, 40.0, 1.0, 1.0, targets)


LETTERS, LONG = 16, 40  # of the language, and letters of an answer
POOL, CORRUPTED, ROWS = 4_000, 0.2, 150  # rows, the share that is noise, rows of a set
_SEEN = 2.0  # times that a training sees a row, on average; each time is chance
_SMOOTH = 0.5


class Bigrams:
    """A language of letters, a pool of answers in it, some of them corrupted, and their models.

    A training counts pairs of letters, with rows seen more or less often by its seed. A baseline
    draws its rows anew for each seed; the selected rows are always the same, of which `corrupted`
    are noise.
    """

    def __init__(self, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self._chain = draw.dirichlet(np.full(LETTERS, 0.3), LETTERS)
        bad = int(POOL * CORRUPTED)
        noise = draw.integers(LETTERS, size=(bad, LONG))
        self._bad = self._pairs(noise)
        self._good = self._pairs(self._texts(POOL - bad, draw))
        self._pool = np.concatenate([self._bad, self._good])

    def _texts(self, count: int, draw: np.random.Generator) -> NDArray[np.int64]:
        ends = self._chain.cumsum(axis=1)
        texts = np.empty((count, LONG), np.int64)
        texts[:, 0] = draw.integers(LETTERS, size=count)
        for at in range(1, LONG):
            above = draw.random(count)[:, None] > ends[texts[:, at - 1]]
            texts[:, at] = above.sum(axis=1).clip(max=LETTERS - 1)
        return texts

    @staticmethod
    def _pairs(texts: NDArray[np.int64]) -> Floats:
        """How often each pair of letters is in each text: (texts, pairs)."""
        pairs = texts[:, :-1] * LETTERS + texts[:, 1:]
        found = np.zeros((len(texts), LETTERS**2))
        np.add.at(found, (np.arange(len(texts))[:, None], pairs), 1.0)
        return found

    def selected(self, corrupted: int, draw: np.random.Generator) -> Floats:
        """A set with so many corrupted rows."""
        bad = draw.choice(len(self._bad), corrupted, replace=False)
        good = draw.choice(len(self._good), ROWS - corrupted, replace=False)
        return np.concatenate([self._bad[bad], self._good[good]])

    def drawn(self, draw: np.random.Generator) -> Floats:
        """A random set."""
        return self._pool[draw.choice(POOL, ROWS, replace=False)]

    def prompts(self, count: int, draw: np.random.Generator) -> Floats:
        """Held-out answers, none of them corrupted."""
        return self._pairs(self._texts(count, draw))

    def losses(self, rows: Floats, prompts: Floats, draw: np.random.Generator) -> Floats:
        """Nats of every prompt for a model that is trained on these rows."""
        seen = draw.poisson(_SEEN, len(rows)).astype(np.float64)
        counts = (seen @ rows).reshape(LETTERS, LETTERS) + _SMOOTH
        chances = np.log(counts / counts.sum(axis=1, keepdims=True))
        return np.asarray(-(prompts @ chances.ravel()), np.float64)

    def truth(self, selected: Floats, draw: np.random.Generator) -> tuple[float, Floats]:
        """The true difference from random rows, and the scatter of seeds, prompts and both.

        Standard deviations in bits per byte, from 1,500 trainings of either side.
        """
        trainings, count = 1_500, 3_000
        prompts = self.prompts(count, draw)
        one = np.array([self.losses(selected, prompts, draw) for _ in range(trainings)])
        other = np.array([self.losses(self.drawn(draw), prompts, draw) for _ in range(trainings)])
        size = np.full(count, float(LONG))
        found = ratio_differences(one / math.log(2), other / math.log(2), size)
        both = found.interaction * trainings * count
        seeds = float(found.by_seed.var(ddof=1)) - both / count
        return found.value, np.sqrt([max(seeds, 0.0), max(found.shared, 0.0) * count, both])

    def cells(
        self, selected: Floats, seeds: int, prompts: int, draw: np.random.Generator
    ) -> list[Cell]:
        """Both sides, trained by seed and measured on new prompts."""
        held_out = self.prompts(prompts, draw)
        size = np.full((1, prompts), float(LONG))
        found = []
        for seed in range(seeds):
            for name, rows in ((SELECTED, selected), ("random", self.drawn(draw))):
                losses = self.losses(rows, held_out, draw)
                found.append(_cell(name, seed, losses[None], size))
        return found


def of_scatter(scatter: Floats, seeds: int, prompts: int) -> Variances:
    """Variances of a mean difference, from the scatter that `Bigrams.truth` gives."""
    own, shared, both = scatter**2
    return Variances((own + both / prompts) / seeds, shared / prompts, seeds, prompts)
