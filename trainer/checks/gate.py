"""Checks over the whole dataset before the first step: bad rows are refused, with a list."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.base.errors import CurateError, some_of
from trainer.config.reasons import LEFT_OUT, REASONS, Reason
from trainer.data.pairs import judged_both_ways, with_one_answer, with_other_prompts
from trainer.data.rows import IGNORED, Ints, Rows, count_by_row
from trainer.data.tokens import Decode, Limits, TokenId, Tokens

# For each reason that concerns any row, which rows.
Flags = dict[Reason, NDArray[np.bool_]]
# Decoding this many last tokens of a turn is enough to see a stop that is plain text.
_STOP_WINDOW = 32


@dataclasses.dataclass(frozen=True)
class Passed:
    """Row numbers that may be trained, and how many rows each allowed reason concerned."""

    usable: Ints
    allowed: Mapping[Reason, int]

    def both(self, other: Passed) -> Passed:
        """Of pairs, those of which both sides pass."""
        names = [name for name in REASONS if name in (*self.allowed, *other.allowed)]
        allowed = {name: self.allowed.get(name, 0) + other.allowed.get(name, 0) for name in names}
        return Passed(np.intersect1d(self.usable, other.usable), allowed)


def check(
    tokens: Tokens,
    limits: Limits,
    allow: tuple[Reason, ...],
    decode: Decode | None = None,
    token_id: TokenId | None = None,
    known: int | None = None,
    rejected: Rows | None = None,
    desirable: NDArray[np.bool_] | None = None,
) -> Passed:
    """Check every row; raise `CurateError` with a list unless each broken reason is allowed.

    `decode` turns ids into text; without it a stop that is no single token cannot be seen, and
    rows that end so are refused as `no-stop`. `token_id` gives the id of a special token in the
    model's tokenizer, or None; without it the tokenizers are not compared. `known` is how many
    tokens that tokenizer has. Of pairs `rejected` is the other side: both must begin alike, and
    must not be the same. Of answers that were judged alone `desirable` tells the kinds; not all of
    a kind may be of the other, too.
    """
    rows = tokens.rows
    if not len(rows):
        raise CurateError(f"{tokens.folder}: holds no rows, so there is nothing to train on")
    broken = _broken(tokens, limits, decode)
    if rejected is not None:
        broken |= _broken_pairs(rows, rejected)
    if desirable is not None:
        both = judged_both_ways(rows, desirable)
        if both[desirable].all() or both[~desirable].all():
            broken["same-answer"] = both
    strange = strange_tokens(tokens, token_id, known) if token_id is not None else []
    if strange:
        broken["tokenizer"] = np.ones(len(rows), dtype=np.bool_)
    refused = {name: found for name, found in broken.items() if name not in allow}
    if refused:
        raise CurateError(_refusal(tokens, limits, refused, strange))
    is_out = [found for name, found in broken.items() if name in LEFT_OUT]
    usable = np.flatnonzero(~np.any([np.zeros(len(rows), np.bool_), *is_out], axis=0))
    counts = {name: int(found.sum()) for name, found in broken.items()}
    if not len(usable):
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise CurateError(f"{tokens.folder}: no row is left to train on ({shown})")
    return Passed(usable, counts)


def _broken(tokens: Tokens, limits: Limits, decode: Decode | None) -> Flags:
    """For each reason that concerns any row, which rows."""
    rows = tokens.rows
    outside = (rows.input_ids < 0) | (rows.input_ids >= limits.vocabulary)
    differs = (rows.labels != IGNORED) & (rows.labels != rows.input_ids)
    found: Flags = {
        "vocabulary": count_by_row(outside, rows.offsets) > 0,
        "too-long": rows.lengths > (limits.positions or np.iinfo(np.int64).max),
        "labels-differ": count_by_row(differs, rows.offsets) > 0,
        "no-targets": rows.target_counts == 0,
        "no-stop": _without_stop(tokens, decode),
        "early-stop": _with_early_stop(tokens),
    }
    return {name: flags for name, flags in found.items() if flags.any()}


def _broken_pairs(rows: Rows, rejected: Rows) -> Flags:
    found: Flags = {
        "prompts-differ": with_other_prompts(rows, rejected),
        "same-answer": with_one_answer(rows, rejected),
    }
    return {name: flags for name, flags in found.items() if flags.any()}


def check_whole(tokens: Tokens) -> None:
    """Refuse pairs of which rendering cut some: which of two beginnings is better says nothing."""
    counts = tokens.manifest.get("counts") or {}
    if cut := int(counts.get("truncated") or 0):
        raise CurateError(
            f"{tokens.folder}: {cut:,} rows were cut when they were rendered, and of answers that "
            "are cut nobody said which is better; render the pairs again with --overlong refuse"
        )


def _without_stop(tokens: Tokens, decode: Decode | None) -> NDArray[np.bool_]:
    """Rows with a trained turn (a longest run of trained labels) that ends in no stop."""
    rows = tokens.rows
    is_end = (rows.labels != IGNORED) & ~_goes_on(rows)
    suspects = np.flatnonzero(is_end & ~_stops(tokens))
    row_of = np.searchsorted(rows.offsets, suspects, side="right") - 1
    if decode is not None and tokens.stop_strings:
        # Python loop: only decoding tells whether a turn ends with a stop spelt in many tokens.
        unstopped = [
            not _ends_with_stop(rows, int(row), int(end), tokens.stop_strings, decode)
            for row, end in zip(row_of, suspects, strict=True)
        ]
        row_of = row_of[np.array(unstopped, dtype=np.bool_)]
    flags = np.zeros(len(rows), dtype=np.bool_)
    flags[row_of] = True
    return flags


def _with_early_stop(tokens: Tokens) -> NDArray[np.bool_]:
    """Rows in which a trained stop is followed by another trained token."""
    early = _stops(tokens) & _goes_on(tokens.rows)
    return count_by_row(early, tokens.rows.offsets) > 0


def _stops(tokens: Tokens) -> NDArray[np.bool_]:
    stops: NDArray[np.bool_] = np.isin(
        tokens.rows.input_ids, np.array(tokens.stop_ids, dtype=np.int64)
    )
    return stops


def _goes_on(rows: Rows) -> NDArray[np.bool_]:
    """Trained tokens that another one of their row follows."""
    trained = rows.labels != IGNORED
    goes_on: NDArray[np.bool_] = np.zeros_like(trained)
    goes_on[:-1] = trained[:-1] & trained[1:]
    goes_on[rows.offsets[1:][rows.lengths > 0] - 1] = False
    return goes_on


def _ends_with_stop(
    rows: Rows, row: int, end: int, stop_strings: tuple[str, ...], decode: Decode
) -> bool:
    start = max(int(rows.offsets[row]), end + 1 - _STOP_WINDOW)
    untrained = np.flatnonzero(rows.labels[start : end + 1] == IGNORED)
    if len(untrained):
        start += int(untrained[-1]) + 1
    text = decode(rows.input_ids[start : end + 1].tolist()).rstrip()
    return any(text.endswith(stop.rstrip()) for stop in stop_strings)


def strange_tokens(tokens: Tokens, token_id: TokenId, known: int | None) -> list[str]:
    """What the rows' tokenizer has and the model's lacks, or has under another id."""
    named = tokens.manifest.get("tokenizer") or {}
    special = named.get("special")
    if special is None:
        return []
    found = {name: (text, token_id(text)) for name, text in sorted(special.items())}
    strange = [
        f"{name} {text!r} is no token of the model's"
        for name, (text, number) in found.items()
        if number is None
    ]
    text, number = found.get("eos_token", ("", None))
    ends = named.get("eos_ids", [])
    if number is not None and ends and number not in ends:
        strange.append(f"eos_token {text!r} is {number} in the model's, {ends} in the rows")
    theirs = named.get("vocabulary")
    if known is not None and isinstance(theirs, int) and theirs > known:
        strange.append(f"{theirs} tokens in the rows' vocabulary, {known} in the model's")
    return strange


def _refusal(tokens: Tokens, limits: Limits, refused: Flags, strange: list[str]) -> str:
    rows = tokens.rows
    total = int(np.logical_or.reduce(list(refused.values())).sum())
    lines = [
        f"{tokens.folder}: {total} of {len(rows)} rows did not pass the "
        "checks, so nothing was started:"
    ]
    for name, flags in refused.items():
        where = np.flatnonzero(flags)
        shown = some_of([f"row {row} ({rows.ids[row]})" for row in where.tolist()])
        detail = (
            f" ({'; '.join(strange)})" if name == "tokenizer" else _detail(name, tokens, limits)
        )
        lines.append(f"  {name}: {REASONS[name]}{detail}: {shown}")
    left_out = [name for name in refused if name in LEFT_OUT]
    effect = f" ({', '.join(left_out)}: those rows are then left out)" if left_out else ""
    lines.append(f"render the rows again, or allow by name: {', '.join(refused)}{effect}")
    return "\n".join(lines)


def _detail(name: Reason, tokens: Tokens, limits: Limits) -> str:
    """The numbers behind a refusal, where there are any."""
    rows = tokens.rows
    if name == "vocabulary":
        return (
            f" (largest id {int(rows.input_ids.max())}, model has {limits.vocabulary} ids; "
            "is it the model these rows were rendered for?)"
        )
    if name == "too-long":
        return f" (longest row {int(rows.lengths.max())}, model has {limits.positions} positions)"
    if name == "no-stop":
        stops = f"stop ids {list(tokens.stop_ids)}, strings {list(tokens.stop_strings)}"
        why = _stopless_by_choice(tokens.manifest)
        return f" ({stops}{f'; rendered with {why}, which leaves turns without' if why else ''})"
    return ""


def _stopless_by_choice(manifest: Mapping[str, Any]) -> str:
    """Choices of the rendering after which trained turns need not end in a stop, in words."""
    options = manifest.get("options") or {}
    roles = [role for role in options.get("roles", []) if role != "assistant"]
    found = [f"trained {' and '.join(roles)} turns"] if roles else []
    found += ["masks by the template's tags"] if options.get("mask") == "tag" else []
    # The option had another name in an earlier version.
    goes_on = options.get("continue_final_field") or options.get("open_field")
    found += ["answers that go on"] if goes_on else []
    return " and ".join(found)


# Counts in the manifest that a reader should see before training, as words.
_RENDERED = {
    "refused": "refused",
    "truncated": "cut",
    "split": "made by splitting conversations",
    "empty": "with an empty answer",
}


def rendered(manifest: Mapping[str, Any]) -> list[str]:
    """What rendering did to the rows, as a line; none for a manifest that does not say.

    Rendering has proven row by row that the trained text is the assistant's, that the prompt is
    the one at inference, and that no control token comes from content; rows that fail it refuses.
    """
    counts = manifest.get("counts") or {}
    if "trained_turns" not in counts:
        return []
    changes = [f"{int(counts.get(name, 0)):,} {words}" for name, words in _RENDERED.items()]
    return [
        f"rendered: {int(counts.get('examples', 0)):,} rows, {', '.join(changes)}; "
        f"{int(counts['trained_turns']):,} trained turns, "
        f"{int(counts.get('trained_stops', 0)):,} of them with their stop"
    ]
