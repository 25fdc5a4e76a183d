"""Answers judged one by one, desirable or not, and each prompt before the answer to another."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from curate.base.errors import CurateError
from trainer.data.batches import epoch_order
from trainer.data.pairs import Pairs
from trainer.data.rows import Ints, Rows, join, rows_of
from trainer.data.split import prompt_lengths
from trainer.data.tokens import Tokens, load_tokens

# Keeps who is read with whose prompt from being the order of steps.
_PARTNERS = 0x9A97


@dataclasses.dataclass(frozen=True)
class Judged:
    """Rows of both kinds in one folder's place, the desirable ones first."""

    tokens: Tokens
    desirable: NDArray[np.bool_]


def read_judged(tokens: Tokens, undesirable: str | None) -> Judged:
    """Both answers of pairs, or the rows of `tokens` and those of another folder.

    Raises `CurateError` where there are no undesirable answers, or two kinds of them, or rows that
    were rendered for another tokenizer.
    """
    if tokens.rows.weights is not None:
        raise CurateError(
            f"{tokens.folder}: has a column weights, and kto counts every trained token of an "
            "answer; remove it"
        )
    if tokens.rejected is not None:
        if undesirable is not None:
            raise CurateError(
                f"undesirable: the rows of {tokens.folder} are pairs, whose rejected answers are "
                "the undesirable ones; leave it out"
            )
        return _joined(tokens, tokens.rejected, tokens.sources)
    if undesirable is None:
        raise CurateError(
            f"{tokens.folder}: has no undesirable answers for kto; render pairs, or name a folder "
            "of such rows in undesirable (curate run --undesirable reads them with the score 0)"
        )
    other = load_tokens(undesirable)
    if other.rejected is not None:
        raise CurateError(f"undesirable: the rows of {undesirable} are pairs; name single answers")
    if other.rows.weights is not None:
        raise CurateError(f"undesirable: {undesirable} has a column weights; remove it")
    _check_alike(tokens, other)
    both = tokens.sources is not None and other.sources is not None
    sources = (*(tokens.sources or ()), *(other.sources or ())) if both else None
    joined = _joined(tokens, other.rows, None)
    digest = hashlib.sha256(f"{tokens.manifest_hash}{other.manifest_hash}".encode()).hexdigest()
    whole = dataclasses.replace(joined.tokens, sources=sources, manifest_hash=digest)
    return Judged(whole, joined.desirable)


def _check_alike(tokens: Tokens, other: Tokens) -> None:
    """Refuse rows of another tokenizer, template or stops: they would be told apart by that."""
    names = (
        ("stops", tokens.stop_ids, other.stop_ids),
        ("stops", tokens.stop_strings, other.stop_strings),
        *((name, _hash(tokens, name), _hash(other, name)) for name in ("tokenizer", "template")),
    )
    for name, ours, theirs in names:
        if ours != theirs:
            raise CurateError(
                f"undesirable: {other.folder} was rendered with another {name} than "
                f"{tokens.folder}, by which its answers could be told; render both alike"
            )


def _hash(tokens: Tokens, name: str) -> object:
    return (tokens.manifest.get(name) or {}).get("hash")


def _joined(tokens: Tokens, other: Rows, sources: tuple[str, ...] | None) -> Judged:
    desirable = np.arange(len(tokens.rows) + len(other)) < len(tokens.rows)
    whole = dataclasses.replace(
        tokens,
        rows=join(tokens.rows, other),
        rejected=None,
        sources=None if sources is None else (*sources, *sources),
    )
    return Judged(whole, desirable)


def with_partners(
    judged: Judged, parts: tuple[Ints, ...], seed: int, positions: int | None
) -> Pairs:
    """The rows, and beside each its prompt before the answer to another prompt.

    Partners are of the same one of the `parts` (trained or held out), and fixed for the run, so
    that what the reference makes of them is known before step 1. An answer that leaves no room is
    cut: nothing is learnt from it. Raises `CurateError` for rows whose prompts are all the same.
    """
    rows = judged.tokens.rows
    partner = np.arange(len(rows))
    prompts = prompt_lengths(rows)
    everything = np.concatenate(parts)
    for part in parts:
        _pair_off(rows, prompts, part, everything, seed, partner)
    pieces = [
        (_prompt(rows, row, prompts), rows.row(other), int(prompts[other]))
        for row, other in enumerate(partner.tolist())
    ]
    ids, labels, lengths = [], [], []
    # Python loop: prompts and answers differ in length.
    for place, answer, skipped in pieces:
        rest = slice(answer.start + skipped, answer.stop)
        made = np.concatenate([rows.input_ids[place], rows.input_ids[rest]])[:positions]
        said = np.concatenate([rows.labels[place], rows.labels[rest]])[:positions]
        ids.append(made)
        labels.append(said)
        lengths.append(len(made))
    mixed = rows_of(
        rows.ids, np.array(lengths, np.int64), np.concatenate(ids), np.concatenate(labels), None
    )
    return Pairs(rows, mixed, desirable=judged.desirable)


def _prompt(rows: Rows, row: int, prompts: Ints) -> slice:
    start = int(rows.offsets[row])
    return slice(start, start + int(prompts[row]))


def _pair_off(
    rows: Rows, prompts: Ints, part: Ints, everything: Ints, seed: int, partner: Ints
) -> None:
    """Give each row of a part the next one, in an order of their own, that has another prompt.

    Where a part has but one prompt, as a held-out row alone has, rows of all parts are taken.
    """

    def text(row: int) -> bytes:
        return rows.input_ids[_prompt(rows, row, prompts)].tobytes()

    order = part[epoch_order(len(part), seed ^ _PARTNERS, 0)].tolist()
    texts = [*map(text, order)]
    if len(set(texts)) < 2:
        order = [*order, *np.setdiff1d(everything, part).tolist()]
        texts = [*map(text, order)]
    if len(part) and len(set(texts)) < 2:
        raise CurateError(
            f"kto: all {len(order):,} rows have one prompt, and kto compares each prompt with the "
            "answer to another; give more rows"
        )
    count = len(order)
    for place, row in enumerate(order[: len(part)]):
        step = next(at for at in range(1, count) if texts[(place + at) % count] != texts[place])
        partner[row] = order[(place + step) % count]
