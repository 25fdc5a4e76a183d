"""What an epoch is made of: rows by the weight of their source, and a share of general text.

All of it is a function of the rows, the settings, the epoch and the step.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from curate.base.errors import CurateError, nearest
from trainer.config.config import TrainConfig
from trainer.data.batches import epoch_order, token_steps
from trainer.data.general import read_general
from trainer.data.rows import Ints, Rows, even_rows, join, train_prompts
from trainer.data.tokens import Limits, Tokens

# Keeps the orders of rows, of repeats and of general text from being one order.
_REPEATS, _GENERAL = 0x5EED, 0x7E87


@dataclasses.dataclass(frozen=True)
class Source:
    """Rows of one source: each is in every epoch `weight` times, on average if that is broken."""

    name: str
    rows: Ints
    weight: float

    @property
    def per_epoch(self) -> int:
        """How many rows of it an epoch reads."""
        return round(self.weight * len(self.rows))

    def of_epoch(self, seed: int, epoch: int) -> Ints:
        """Its rows in an epoch; of a broken weight rows take turns, so that all come as often."""
        whole, rest = divmod(self.per_epoch, max(1, len(self.rows)))
        turn = epoch_order(len(self.rows), seed ^ _REPEATS, 0)
        places = (np.arange(rest) + (epoch - 1) * rest) % max(1, len(self.rows))
        rows: Ints = np.concatenate([np.repeat(self.rows, whole), self.rows[turn[places]]])
        return np.sort(rows)


@dataclasses.dataclass(frozen=True)
class Mixture:
    """The rows that training reads: own ones first, from number `own` on general text.

    A run of at most `limit` steps ends within an epoch, if that is not 0. With `batch_tokens` an
    epoch is not cut by rows, `batch` of them a step, but by `trained`, the trained tokens of each
    own row: sets of rows with as many of them have as many steps.
    """

    rows: Rows
    sources: tuple[Source, ...]
    own: int
    batch: int
    seed: int
    share: float
    limit: int = 0
    trained: Ints | None = None
    batch_tokens: float | None = None

    @property
    def per_epoch(self) -> int:
        """Own rows of an epoch, the same number in each."""
        return sum(source.per_epoch for source in self.sources)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch that is not cut off."""
        if self.batch_tokens is None or self.trained is None:
            return math.ceil(self.per_epoch / self.batch)
        return step_count(self._trained_per_epoch, self.batch_tokens, self.per_epoch)

    @property
    def _trained_per_epoch(self) -> float:
        """Trained tokens of an epoch; where rows take turns, of the mean epoch."""
        assert self.trained is not None
        return sum(
            float(self.trained[source.rows].sum()) * source.per_epoch / max(1, len(source.rows))
            for source in self.sources
        )

    def _cut(self, rows: Ints) -> list[Ints]:
        """The rows of an epoch, in their order, as steps."""
        if self.batch_tokens is None or self.trained is None:
            return [rows[at : at + self.batch] for at in range(0, len(rows), self.batch)]
        return [rows[part] for part in token_steps(self.trained[rows], self.steps_per_epoch)]

    def epoch(self, epoch: int) -> list[Ints]:
        """The rows of each step of an epoch (from 1); cut by rows, the last may be short.

        General text comes on top of a step's own rows, as much as its share of the targets asks.
        """
        rows = np.concatenate([source.of_epoch(self.seed, epoch) for source in self.sources])
        rows = rows[epoch_order(len(rows), self.seed, epoch)]
        steps = self._cut(rows)
        taken = steps[: max(0, self.limit - (epoch - 1) * len(steps))] if self.limit else steps
        if self.share == 0.0:
            return taken
        counted = np.cumsum([self.rows.target_weights[each].sum() for each in steps])
        general = self._general(epoch, counted * self.share / (1 - self.share))
        return [np.concatenate(pair) for pair in zip(taken, general, strict=False)]

    def _general(self, epoch: int, wanted: Any) -> list[Ints]:
        """Rows of general text up to each step, so that their targets add up to `wanted`."""
        count = len(self.rows) - self.own
        order = self.own + epoch_order(count, self.seed ^ _GENERAL, epoch)
        once = np.cumsum(self.rows.target_weights[order])
        rounds = int(wanted[-1] // once[-1]) + 1
        many = np.concatenate([once + turn * once[-1] for turn in range(rounds)])
        # The number of rows whose sum is nearest to what is wanted.
        middles = many - np.tile(self.rows.target_weights[order], rounds) / 2
        ends = np.searchsorted(middles, wanted)
        stream = np.tile(order, rounds)
        return [stream[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]

    def counts(self, epochs: int) -> dict[str, Any]:
        """For the manifest: what each epoch reads, source by source; it adds up."""
        rows = self.rows
        made = [np.concatenate(self.epoch(epoch)) for epoch in range(1, epochs + 1)]
        named = [(source.name, source.rows, source.weight) for source in self.sources]
        if self.share:
            named.append(("general text", np.arange(self.own, len(rows)), self.share))
        return {
            name: {
                "rows": len(own),
                "weight" if name != "general text" else "share": weight,
                "read": [int(np.isin(each, own).sum()) for each in made],
                "counted": [
                    float(rows.target_weights[each[np.isin(each, own)]].sum()) for each in made
                ],
            }
            for name, own, weight in named
        }

    def lines(self, epochs: int) -> list[str]:
        """What is mixed, for the log; nothing if nothing is."""
        if len(self.sources) == 1 and self.share == 0.0 and self.sources[0].weight == 1.0:
            return []
        counts = self.counts(epochs)
        everything = sum(sum(each["counted"]) for each in counts.values())
        return [
            f"mixing: {name}: {each['rows']:,} rows, read {sum(each['read']):,} times in "
            f"{epochs} epochs, {100 * sum(each['counted']) / everything:.1f} % of what counts"
            for name, each in counts.items()
        ]


def step_count(tokens: float, batch_tokens: float, rows: int) -> int:
    """Steps of an epoch of so many trained tokens: of nearly `batch_tokens` each, a row at least.

    >>> step_count(1_000, 300, 40), step_count(10, 300, 40), step_count(1_000, 1, 40)
    (3, 1, 40)
    """
    return max(1, min(rows, round(tokens / batch_tokens)))


def tokens_taken(trained: Ints, batch_tokens: float, steps: int, seed: int) -> int:
    """Trained tokens of the first steps of a run by `batch_tokens` over rows of so many each."""
    count = step_count(float(trained.sum()), batch_tokens, len(trained))
    taken = 0
    for epoch in range(1, math.ceil(steps / count) + 1):
        ordered = trained[epoch_order(len(trained), seed, epoch)]
        parts = token_steps(ordered, count)[: steps - (epoch - 1) * count]
        taken += int(ordered[: parts[-1].stop].sum())
    return taken


def mix(
    config: TrainConfig, tokens: Tokens, train: Ints, tokenizer: Any | None, limits: Limits
) -> Mixture:
    """What to train on: the rows `train` by their sources, with general text if asked for.

    Raises `CurateError` for a weight of a source that is not there, for rows whose weights are
    all 0, and for general text that cannot be read or is not for this model.
    """
    rows = tokens.rows
    if config.prompt_weight > 0:
        rows = train_prompts(rows, config.prompt_weight)
    weightless = train[rows.target_weights[train] == 0]
    if len(weightless):
        raise CurateError(
            f"{tokens.folder}: the weights of {len(weightless)} rows are all 0, so there "
            f"is nothing to learn from them; first is {rows.ids[weightless[0]]}"
        )
    # A row counts once whatever its weights; of general text each document does.
    even = even_rows if config.normalize == "examples" else lambda rows: rows
    sources = _sources(config, tokens, train)
    own, share = len(rows), 0.0
    if config.replay is not None:
        general = read_general(Path(config.replay), tokenizer, limits, config.micro_tokens)
        rows, share = join(rows, general), config.replay_share
    size = (config.batch_size, config.seed, share, config.max_steps)
    # Tokens of answers, as `tokens.rows` has them: prompts that learn a little are not counted.
    by_tokens = (tokens.rows.target_counts, config.batch_tokens)
    return Mixture(even(rows), sources, own, *size, *by_tokens)


def _sources(config: TrainConfig, tokens: Tokens, train: Ints) -> tuple[Source, ...]:
    if not config.source_weights:
        return (Source("rows", train, 1.0),)
    if tokens.sources is None:
        raise CurateError(
            f"source_weights: sources.parquet in {tokens.folder} does not say of every row where "
            "it is from"
        )
    known = sorted({tokens.sources[row] for row in train.tolist()})
    weights = dict.fromkeys(known, 1.0)
    for given in config.source_weights:
        name, weight = given.rsplit("=", 1)
        if name not in weights:
            raise CurateError(
                f"source_weights: no row to train is from {name!r}{nearest(name, known)}; "
                f"the sources are {', '.join(known)}"
            )
        weights[name] = float(weight)
    places = np.array([known.index(tokens.sources[row]) for row in train.tolist()])
    sources = tuple(
        Source(name, train[places == place], weights[name]) for place, name in enumerate(known)
    )
    if not sum(source.per_epoch for source in sources):
        raise CurateError("source_weights: leave no row to train on")
    return sources
