"""Documents laid end to end without padding, none of which sees another.

Only the examples of one optimizer step share a forward pass, and each step is packed anew, so
that packing changes neither what a step holds nor, but for rounding, its loss and gradients.
"""

from __future__ import annotations

import inspect
import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from curate.base.errors import CurateError, some_of
from trainer.config.config import TrainConfig
from trainer.data.batches import Batch, Documents, batches, cut, pad
from trainer.data.pairs import Pairs
from trainer.data.rows import IGNORED, Ints, Rows
from trainer.models.attention import how, isolated, prepare
from trainer.models.device import put
from trainer.models.modes import evaluating, plain, without_dropout

Log = Callable[[str], None]

# In fp32 the experts of a mixture round by about 1e-7 of their outputs' size; the smallest leak
# that was seen, of a short convolution alone, is 7e-4. Half way between them.
ROUNDING = 1e-5
_TRIED = 16  # tokens of each document that is tried


def step_batches(rows: Rows, chosen: Ints, config: TrainConfig, packed: bool) -> Iterator[Batch]:
    """The forward passes of the chosen rows, as the run's settings ask."""
    split_at = config.micro_tokens if config.long_rows == "split" else None
    make = pack if packed else batches
    return make(rows, chosen, config.micro_tokens, split_at)


def pack(
    rows: Rows, chosen: Ints, micro_tokens: int, split_at: int | None = None
) -> Iterator[Batch]:
    """The chosen rows end to end, in batches of at most `micro_tokens` positions, none of padding.

    A document longer than the limit is a batch of its own.
    """
    documents = cut(rows, chosen, split_at)
    for places in best_fit(documents.lengths, micro_tokens):
        yield _lay(rows, documents.take(places))


def pair_batches(pairs: Pairs, chosen: Ints, micro_tokens: int, packed: bool) -> Iterator[Batch]:
    """The chosen pairs in forward passes of at most `micro_tokens` positions, both sides in one.

    The rows of a pass are its chosen answers, then its rejected ones, as `Pairs.sides` has them.
    Longest first; a pair longer than the limit is a pass of its own.
    """
    if packed:
        for places in best_fit(pairs.lengths[chosen], micro_tokens):
            sides = pairs.sides(chosen[places])
            yield _lay(pairs.both, cut(pairs.both, sides, None))
        return
    longest = np.maximum(pairs.chosen.lengths[chosen], pairs.rejected.lengths[chosen])
    order = np.argsort(-longest, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, micro_tokens // (2 * int(longest[order[start]])))
        yield pad(pairs.both, pairs.sides(chosen[order[start : start + count]]))
        start += count


def best_fit(lengths: Ints, budget: int) -> list[list[int]]:
    """Places of the lengths, grouped so that each group has at most `budget` in all.

    Longest first, each into the fullest group that still takes it; one above the budget is
    alone. Ties go to the earlier place and the earlier group.

    >>> best_fit(np.array([3, 9, 4, 2, 5]), 8)
    [[1], [4, 0], [2, 3]]
    """
    groups: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (tokens left, group), sorted
    # Python loop: each placement depends on all before it; a step has tens of rows.
    for place in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[place])
        at = bisect_left(free, (length, 0))
        if at < len(free):
            left, group = free.pop(at)
        else:
            left, group = budget, len(groups)
            groups.append([])
        groups[group].append(place)
        if left > length:
            insort(free, (left - length, group))
    return groups


def _lay(rows: Rows, documents: Documents) -> Batch:
    """One row of these documents, in their order."""
    lengths = documents.lengths
    ends = np.cumsum(lengths)
    source = np.repeat(documents.starts - (ends - lengths), lengths) + np.arange(int(ends[-1]))
    # A row that was split goes on in another document, whose first token is a target here.
    targets = rows.targets[source]
    at = np.flatnonzero(targets != IGNORED)
    return Batch(
        rows=documents.rows,
        input_ids=rows.input_ids[source][None],
        at=at,
        targets=targets[at],
        row_of=np.searchsorted(ends, at, side="right"),
        weights=None if rows.weights is None else rows.weights[source[at]],
        documents=tuple(lengths.tolist()),
        source=source[at],
    )


def positions(documents: tuple[int, ...]) -> Ints:
    """Positions [1, tokens] that begin at 0 in each document.

    >>> positions((3, 2)).tolist()
    [[0, 1, 2, 0, 1]]
    """
    return np.concatenate([np.arange(length) for length in documents])[None]


def about_long_rows(rows: Rows, train: Ints, config: TrainConfig) -> list[str]:
    """A line if rows are longer than a forward pass may be; `CurateError` if that is refused."""
    limit = config.micro_tokens
    long = train[rows.lengths[train] > limit]
    if not len(long):
        return []
    sentence = _checked_long("rows", rows.ids, rows.lengths, long, config)
    fate = (
        "a forward pass of its own each"
        if config.long_rows == "alone"
        else f"split into {len(cut(rows, long, limit).rows):,} documents"
    )
    return [f"{sentence}: {fate}"]


def about_long_pairs(pairs: Pairs, train: Ints, config: TrainConfig) -> list[str]:
    """As `about_long_rows`, of pairs, whose two sides are in one pass."""
    long = train[pairs.lengths[train] > config.micro_tokens]
    if not len(long):
        return []
    sentence = _checked_long("pairs", pairs.chosen.ids, pairs.lengths, long, config)
    return [f"{sentence}: a forward pass of its own each"]


def _checked_long(
    what: str, ids: tuple[str, ...], lengths: Ints, long: Ints, config: TrainConfig
) -> str:
    limit, longest = config.micro_tokens, int(lengths[long].max())
    sentence = (
        f"{len(long):,} {what} are longer than micro_tokens {limit:,}, the longest {longest:,}"
    )
    if config.long_rows == "refuse":
        shown = some_of([ids[row] for row in long.tolist()])
        other = "long_rows to split or alone" if what == "rows" else "long_rows to alone"
        raise CurateError(f"{sentence}: {shown}; set micro_tokens to {longest}, or {other}")
    return sentence


def decide(model: Any, rows: Rows, train: Ints, config: TrainConfig, log: Log) -> bool:
    """Whether this run packs: `auto` does if the model keeps documents apart.

    Raises `CurateError` if packing was asked for and the model does not.
    """
    if config.packing == "off" or config.learns == "prompt":
        return False
    prepare(model)
    found = leak(model, rows, train)
    harm = "it would learn across rows"
    if found is None:
        reason = "takes no positions, so it cannot keep packed documents apart"
    elif (most := _short_of(model, rows, train, config)) is not None:
        reason = f"cannot read more than its {most:,} positions in one pass"
        harm = "rows cannot share a pass"
    else:
        share = f"by {found:.1e} of their size ({_allowed(model)})"
        if isolates(model, rows, train, found):
            log(
                f"packing: documents end to end without padding, {how()}; another document before "
                f"a row changes its outputs {share}"
            )
            return True
        reason = (
            "does not keep packed documents apart: another one before a row changes its outputs "
            f"{share}"
        )
    if config.packing == "on":
        raise CurateError(f"packing: this model {reason}, so {harm}; set packing to off")
    log(f"packing: off, as this model {reason}")
    return False


def _short_of(model: Any, rows: Rows, train: Ints, config: TrainConfig) -> int | None:
    """The model's positions, if it fails where a pass has more tokens than those.

    Most take any number, as positions begin anew in each document; some keep a mask of that size.
    """
    import torch

    most: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if most is None or most >= config.micro_tokens:
        return None
    first, _ = _pair(rows, train)
    count = most // len(first) + 1
    documents = (len(first),) * count
    device = next(model.parameters()).device
    where = put(positions(documents), device)
    ids = put(np.tile(first, count)[None], device)
    try:
        with evaluating(model), isolated(documents):
            plain(model).base_model(input_ids=ids, position_ids=where, use_cache=False)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return most
    return None


def _allowed(model: Any) -> str:
    if _is_exact(model):
        return f"allowed {ROUNDING:.0e}"
    return "allowed 0, and more only where it has no gradient"


def _is_exact(model: Any) -> bool:
    """Whether rounding can be told from a leak: in coarse number formats it is as large."""
    import torch

    return all(weight.dtype == torch.float32 for weight in model.parameters())


def isolates(model: Any, rows: Rows, chosen: Ints, found: float | None = None) -> bool:
    """Whether a document in a packed row is blind to the one before it.

    `found` is what `leak` gave. Experts of a mixture take tokens of all documents together, and
    round otherwise for other neighbours: in float32 that is far below any leak, and in coarser
    formats the outputs of a document that is blind have no gradient at all at its neighbour.
    """
    if found is None:
        found = leak(model, rows, chosen)
    if found is None or found == 0:
        return found == 0
    if _is_exact(model):
        return found <= ROUNDING
    return math.isfinite(found) and not _has_gradient(model, _pair(rows, chosen))


def leak(model: Any, rows: Rows, chosen: Ints) -> float | None:
    """How much another document before one changes its outputs, as a share of the largest.

    Instead of a list of architectures, the model itself is asked, with beginnings of two of its
    rows: the first is given other ids. None for a model that takes no positions.
    """
    if "position_ids" not in inspect.signature(plain(model).forward).parameters:
        return None
    first, second = _pair(rows, chosen)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    with evaluating(model):
        outputs = [
            _second_of(model, before, second).float()
            for before in (first, (first + 1) % vocabulary)
        ]
    apart = float((outputs[0] - outputs[1]).abs().max())
    return apart / float(outputs[0].abs().max()) if apart else 0.0


def _pair(rows: Rows, chosen: Ints) -> tuple[Ints, Ints]:
    """Beginnings of two rows; of a single row twice the same."""
    pair = [rows.input_ids[rows.row(row)][:_TRIED] for row in chosen[:2].tolist()]
    return pair[0], pair[-1]


def _second_of(model: Any, first: Ints, second: Ints) -> Any:
    """The logits of the second of two documents in one row."""
    device = next(model.parameters()).device
    documents = (len(first), len(second))
    where = put(positions(documents), device)
    ids = put(np.concatenate([first, second])[None], device)
    with isolated(documents):
        logits = model(input_ids=ids, position_ids=where, use_cache=False).logits
    return logits[:, len(first) :]


def _has_gradient(model: Any, pair: tuple[Ints, Ints]) -> bool:
    """Whether outputs of the second document have any gradient at embeddings of the first."""
    import torch

    embedded: list[torch.Tensor] = []

    def cut_off(module: Any, given: Any, output: torch.Tensor) -> torch.Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    handle = model.get_input_embeddings().register_forward_hook(cut_off)
    try:
        with without_dropout(model), isolated((len(pair[0]), len(pair[1]))):
            outputs = _second_of(model, *pair).float().square().sum()
            (gradient,) = torch.autograd.grad(outputs, embedded[:1])
    finally:
        handle.remove()
    return bool(gradient[:, : len(pair[0])].any())
