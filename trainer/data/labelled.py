"""Rows that are to be classified: prompts, what each class would be after them, and the truth."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from curate.base.errors import CurateError, some_of
from trainer.data import classes
from trainer.data.rows import IGNORED, Ints
from trainer.data.tokens import Decode, Tokens

Ids = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A row that is not classified, and why: its number in the data, and a slug as `reason`."""

    row: int
    id: str
    reason: str
    message: str


@dataclasses.dataclass(frozen=True)
class LabelledRows:
    """Rows with a prompt and a class. `labels` [rows][classes] are ids, with the stop.

    `truth` [rows] are numbers of `classes`, `numbers` [rows] those of the rows in the data. Rows of
    one label list share it. `left_out` are the rows that could not be used.
    """

    classes: tuple[str, ...]
    numbers: Ints
    ids: tuple[str, ...]
    prompts: tuple[Ids, ...]
    labels: tuple[tuple[Ids, ...], ...]
    truth: Ints
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def fitting(self, positions: int | None) -> LabelledRows:
        """The rows that have so many positions with their longest label; others are left out."""
        if positions is None:
            return self
        left_out = []
        given = zip(self.numbers.tolist(), self.ids, self.prompts, self.labels, strict=True)
        for number, row, prompt, labels in given:
            length = len(prompt) + max(map(len, labels))
            if length > positions:
                why = f"has {length:,} tokens with its longest label, the model {positions:,}"
                left_out.append(LeftOut(number, row, "too_long", f"{why} positions"))
        return self.without(left_out) if left_out else self

    def why_left_out(self) -> str:
        """How many rows were left out, for what, and the first of the commonest."""
        reasons = Counter(one.reason for one in self.left_out)
        if not reasons:
            return "no row was left out"
        shown = ", ".join(f"{count:,} {name}" for name, count in reasons.most_common())
        [(most, _)] = reasons.most_common(1)
        one = next(each for each in self.left_out if each.reason == most)
        return (
            f"{len(self.left_out):,} rows left out ({shown}), such as row {one.row}: {one.message}"
        )

    def without(self, left_out: Sequence[LeftOut]) -> LabelledRows:
        """The rows but for those, which are left out too."""
        gone = {one.row for one in left_out}
        kept = [place for place, row in enumerate(self.numbers.tolist()) if row not in gone]
        return dataclasses.replace(
            self,
            numbers=self.numbers[kept],
            ids=tuple(self.ids[place] for place in kept),
            prompts=tuple(self.prompts[place] for place in kept),
            labels=tuple(self.labels[place] for place in kept),
            truth=self.truth[kept],
            left_out=(*self.left_out, *left_out),
        )


def check_labels(names: Sequence[str], labels: Sequence[Ids], has_stop: bool) -> None:
    """Raise `CurateError` for labels that no score can tell apart."""
    places: dict[Ids, str] = {}
    for name, ids in zip(names, labels, strict=True):
        if not ids:
            raise CurateError(f"label {name!r} has no token, so it has no score; name another text")
        if ids in places:
            raise CurateError(
                f"labels {places[ids]!r} and {name!r} are the same tokens, so no model can tell "
                "them apart; change one of them"
            )
        places[ids] = name
    if has_stop:
        return
    for name, ids in zip(names, labels, strict=True):
        shorter = [places[ids[:end]] for end in range(1, len(ids)) if ids[:end] in places]
        if shorter:
            raise CurateError(
                f"no stop is known, and label {shorter[0]!r} begins {name!r}, so the shorter one "
                "would always win; render the rows with a stop (--append-eos, --stop)"
            )


def from_tokens(
    tokens: Tokens,
    chosen: Ints,
    decode: Decode,
    tokenizer: Any,
    names: Sequence[str] | None,
    where: str = "labels",
    seen: Ints | None = None,
) -> LabelledRows:
    """Token rows whose last trained answer is their class; `chosen` are row numbers.

    `names` are the classes; None for the answers that the rows `seen` have (those chosen, if it
    is not given), sorted. Raises `CurateError` where these are no classes, and for a class that
    none of them has and whose tokens are not known.
    """
    known = chosen if seen is None else seen
    rows = {row: _Answer(tokens, row, decode) for row in known.tolist()}
    if names is None:
        counted = Counter(row.text for row in rows.values() if row.text.strip())
        names = classes.distinct(counted, len(rows), where)
    by_class = _known_labels(list(rows.values()), names, tokenizer, where)
    labels = tuple(by_class[name] for name in names)
    check_labels(
        names, labels, has_stop=all(row.tail for row in rows.values() if row.text in names)
    )
    return _labelled([rows[row] for row in chosen.tolist()], tuple(names), labels)


class _Answer:
    """A row's prompt, its last trained answer, and what ends it."""

    def __init__(self, tokens: Tokens, row: int, decode: Decode) -> None:
        rows = tokens.rows
        place = rows.row(row)
        trained = np.flatnonzero(rows.labels[place] != IGNORED)
        gaps = np.flatnonzero(np.diff(trained) > 1)
        last = trained[gaps[-1] + 1 :] if len(gaps) else trained
        ids = rows.input_ids[place].tolist()
        self.row, self.id = row, rows.ids[row]
        self.prompt: Ids = tuple(ids[: int(last[0])] if len(last) else ids)
        self.label: Ids = tuple(ids[number] for number in last.tolist())
        self.text, self.tail = _text_and_stop(self.label, tokens, decode)


def _text_and_stop(label: Ids, tokens: Tokens, decode: Decode) -> tuple[str, Ids]:
    """The label's words, and the ids of the stop after them; none where it has no stop."""
    if label and label[-1] in tokens.stop_ids:
        return decode(list(label[:-1])), label[-1:]
    for end in range(len(label)):
        rest = decode(list(label[end:]))
        if any(rest.rstrip() == stop.rstrip() for stop in tokens.stop_strings):
            return decode(list(label[:end])), label[end:]
    return decode(list(label)), ()


def _known_labels(
    rows: Sequence[_Answer], names: Sequence[str], tokenizer: Any, where: str
) -> dict[str, Ids]:
    """The tokens of each class: the commonest that rows have, or those it would have."""
    often: dict[str, Counter[Ids]] = {}
    for row in rows:
        often.setdefault(row.text, Counter())[row.label] += 1
    # The commonest; of equally common ones the first by its ids, so the order of rows is nothing.
    seen = {name: min(found, key=lambda ids: (-found[ids], ids)) for name, found in often.items()}
    tails = {row.tail for row in rows if row.text in names}
    known = {name: seen[name] for name in names if name in seen}
    unseen = [name for name in names if name not in seen]
    if not unseen:
        return known
    if not known:
        found = some_of([repr(text) for text in sorted(often)])
        raise CurateError(
            f"{where}: no row has one of these classes as its answer; rows have {found}"
        )
    if tokenizer is None or len(tails) != 1 or not _is_regular(known, tokenizer, *tails):
        raise CurateError(
            f"{where}: no row has the class {unseen[0]!r}, and its tokens after these prompts "
            "cannot be known; leave it out, or evaluate the rows before they are rendered"
        )
    [tail] = tails
    return known | {name: (*_encoded(tokenizer, name), *tail) for name in unseen}


def _is_regular(known: dict[str, Ids], tokenizer: Any, tail: Ids) -> bool:
    """Whether labels that are known are what the tokenizer makes of them alone, and the stop."""
    return all((*_encoded(tokenizer, name), *tail) == ids for name, ids in known.items())


def _encoded(tokenizer: Any, text: str) -> Ids:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def _labelled(
    rows: Sequence[_Answer], names: tuple[str, ...], labels: tuple[Ids, ...]
) -> LabelledRows:
    number = {name: place for place, name in enumerate(names)}
    used: list[_Answer] = []
    left_out: list[LeftOut] = []
    for row in rows:
        reason = _unusable(row, number, labels)
        if reason is None:
            used.append(row)
        else:
            left_out.append(LeftOut(row.row, row.id, *reason))
    return LabelledRows(
        classes=names,
        numbers=np.array([row.row for row in used], dtype=np.int64),
        ids=tuple(row.id for row in used),
        prompts=tuple(row.prompt for row in used),
        labels=(labels,) * len(used),
        truth=np.array([number[row.text] for row in used], dtype=np.int64),
        left_out=tuple(left_out),
    )


def _unusable(
    row: _Answer, number: dict[str, int], labels: tuple[Ids, ...]
) -> tuple[str, str] | None:
    """Why a row cannot be classified, as a slug and a sentence; None for one that can be."""
    if not row.text.strip():
        return "no_label", "the trained answer is empty"
    if row.text not in number:
        return "other_label", other_label(row.text, list(number))
    if row.label != labels[number[row.text]]:
        return "other_tokens", f"label {row.text!r} has other tokens here than in most rows"
    if not row.prompt:
        return "no_prompt", "nothing comes before the answer"
    return None


def other_label(text: str, names: Sequence[str]) -> str:
    """What is wrong with a label that is no class, with the class that was probably meant."""
    same = [name for name in names if name.strip().casefold() == text.strip().casefold()]
    meant = f"; {same[0]!r} differs in case or spaces" if same else ""
    shown = text if len(text) <= 60 else f"{text[:60]}..."
    return f"label {shown!r} is none of the classes{meant}"
