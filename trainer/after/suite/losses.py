"""Held-out loss of every row: nats of its answers and of their stops, and bytes of their text.

The bytes of an answer are counted without white space at its two ends, as whether that belongs to
the answer or to the prompt differs between templates and tokenizers. Its nats are those of all its
trained tokens but the stop.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.base.progress import quiet_transformers
from trainer.after.chat import Talker, no_numbers
from trainer.after.suite.progress import Counted, Log
from trainer.data.batches import batches, pad
from trainer.data.rows import IGNORED, Rows, make_rows
from trainer.loss import head_is_plain, target_nats
from trainer.models.modes import evaluating

POSITIONS = 4096  # that go through the model together
PIECE = 2000  # characters of plain text that are read as one row, at most


@dataclasses.dataclass(frozen=True)
class AnswerText:
    """A trained answer taken apart: its own tokens, its stop's, and its text without the stop.

    `first` is the place of its first token in the row.
    """

    first: int
    ids: tuple[int, ...]
    stop: tuple[int, ...]
    text: str

    @property
    def size(self) -> int:
        """Bytes of the text in UTF-8, without white space at its two ends."""
        return byte_count(self.text.strip())


@dataclasses.dataclass(frozen=True)
class RowLoss:
    """What a model gives one row: sums over its answers, in nats.

    `nats`, `tokens` and `size` (bytes) are of the answers without their stops, of which there are
    `stops`, of `stop_tokens` together. `unknown` of the tokens are the tokenizer's unknown one, of
    which nobody knows what text it stands for.
    """

    id: str
    nats: float
    tokens: int
    size: int
    stop_nats: float = 0.0
    stops: int = 0
    stop_tokens: int = 0
    unknown: int = 0


def byte_count(text: str) -> int:
    """Bytes of a text in UTF-8.

    >>> byte_count("né")
    3
    """
    return len(text.encode("utf-8", "replace"))


def answers_of(talker: Talker, rows: Rows, row: int) -> list[AnswerText]:
    """The trained answers of a row: each run of trained tokens, its stop apart."""
    ids, labels = rows.input_ids[rows.row(row)], rows.labels[rows.row(row)]
    trained = np.flatnonzero(labels != IGNORED)
    runs = np.split(trained, np.flatnonzero(np.diff(trained) > 1) + 1)
    return [_answer(talker, int(run[0]), ids[run].tolist()) for run in runs if len(run)]


def _answer(talker: Talker, first: int, ids: list[int]) -> AnswerText:
    end = len(ids)
    while end and ids[end - 1] in talker.stop_ids:
        end -= 1
    text = talker.decode(ids[:end]) if end else ""
    found = [stop for stop in talker.stop_strings if end == len(ids) and text.endswith(stop)]
    if found:
        stop = max(found, key=len)
        text = text.removesuffix(stop)
        end = _before(talker, ids, len(stop))
    return AnswerText(first, tuple(ids[:end]), tuple(ids[end:]), text)


def _before(talker: Talker, ids: list[int], length: int) -> int:
    """Where the last tokens begin that hold no more than a stop of so many characters."""
    end = len(ids)
    while end and len(talker.decode(ids[end - 1 :])) <= length:
        end -= 1
    return end


def row_losses(talker: Talker, rows: Rows, log: Log) -> list[RowLoss]:
    """The loss of every row.

    Each has a trained token that is not its first, and no more tokens than the model positions.
    """
    return [
        _sums(talker, rows, row, nats)
        for row, nats in enumerate(_nats(talker, rows, log, "rows scored"))
    ]


def _nats(talker: Talker, rows: Rows, log: Log, what: str) -> list[NDArray[np.float64]]:
    """-ln p of the targets of each row, in their order."""
    if not len(rows):
        return []
    chosen = np.arange(len(rows))
    found: list[Any] = [None] * len(rows)
    whole = not head_is_plain(talker.net, pad(rows, chosen[:1]))
    counted = Counted(log, what, len(rows), float(rows.lengths.sum()))
    with evaluating(talker.net):
        for batch in batches(rows, chosen, POSITIONS):
            nats = target_nats(talker.net, batch, whole=whole).double().cpu().numpy()
            if np.isnan(nats).any():
                raise no_numbers(talker)
            for place, row in enumerate(batch.rows.tolist()):
                found[row] = nats[batch.row_of == place]
            counted.add(len(batch.rows), float(rows.lengths[batch.rows].sum()))
    return found


def _sums(talker: Talker, rows: Rows, row: int, nats: NDArray[np.float64]) -> RowLoss:
    """A row's sums over its answers, from the nats of its targets."""
    by_place = np.zeros(int(rows.lengths[row]))
    by_place[np.flatnonzero(rows.targets[rows.row(row)] != IGNORED) + 1] = nats
    parts = answers_of(talker, rows, row)
    sums = dict.fromkeys(("nats", "stop_nats"), 0.0)
    tokens = 0
    for part in parts:
        # A row's first token follows nothing, so nobody can predict it.
        begin, middle = max(part.first, 1), part.first + len(part.ids)
        sums["nats"] += float(by_place[begin:middle].sum())
        sums["stop_nats"] += float(by_place[middle : middle + len(part.stop)].sum())
        tokens += max(0, middle - begin)
    return RowLoss(
        id=rows.ids[row],
        tokens=tokens,
        size=sum(part.size for part in parts),
        stops=sum(bool(part.stop) for part in parts),
        stop_tokens=sum(len(part.stop) for part in parts),
        unknown=sum(_unknown(talker, part.ids) for part in parts),
        **sums,
    )


def _unknown(talker: Talker, ids: Sequence[int]) -> int:
    """How many of the tokens are the unknown one, where it is not also a stop (as in GPT-2)."""
    number = talker.tokenizer.unk_token_id
    return 0 if number is None or number in talker.stop_ids else list(ids).count(number)


def pieces(text: str, longest: int = PIECE) -> list[str]:
    """A text in pieces of at most so many characters, cut after a line or a word where it can be.

    The pieces joined are the text.

    >>> pieces("one two\\nthree four", 12)
    ['one two\\n', 'three four']
    >>> pieces("abcdef", 4)
    ['abcd', 'ef']
    """
    found = []
    start = 0
    while len(text) - start > longest:
        end = start + longest
        places = (text.rfind(gap, start, end) + 1 for gap in ("\n", " "))
        cut = next((place for place in places if place > start + longest // 2), end)
        found.append(text[start:cut])
        start = cut
    return [*found, text[start:]] if start < len(text) else found


def text_losses(talker: Talker, text: str, log: Log) -> tuple[list[RowLoss], int]:
    """The loss of a plain text, piece by piece, and how many bytes nobody predicts.

    Each piece stands behind the tokenizer's token for the start of a text, or else its end. Where
    it has neither, the first token of a piece is context, and its bytes are not counted. A piece
    that is longer than the model has positions is halved.
    """
    start = [talker.tokenizer.bos_token_id, talker.tokenizer.eos_token_id]
    begins = [each for each in start if each is not None][:1]
    with quiet_transformers():  # which warns of a text that is longer than the model's positions
        fitting = _fitting(talker, pieces(text), begins)
    made = [(f"characters {at} to {at + len(part)}", part, ids) for at, part, ids in fitting]
    rows = make_rows(
        [name for name, _, _ in made],
        [ids for _, _, ids in made],
        [[IGNORED, *ids[1:]] for _, _, ids in made],
    )
    lost = [0 if begins else byte_count(talker.decode(ids[:1])) for _, _, ids in made]
    nats = _nats(talker, rows, log, "pieces of text scored")
    losses = [
        RowLoss(
            name,
            float(each.sum()),
            len(each),
            byte_count(part) - less,
            unknown=_unknown(talker, ids[1:]),
        )
        for (name, part, ids), each, less in zip(made, nats, lost, strict=True)
    ]
    return losses, sum(lost)


def _fitting(
    talker: Talker, parts: Sequence[str], begins: Sequence[int]
) -> list[tuple[int, str, list[int]]]:
    """Pieces with their ids and places; those that are too long in halves, and so on."""
    found: list[tuple[int, str, list[int]]] = []
    at, left = 0, list(parts)
    while left:
        part = left.pop(0)
        ids = [*begins, *talker.tokenizer(part, add_special_tokens=False)["input_ids"]]
        if talker.positions is not None and len(ids) > talker.positions and len(part) > 1:
            left = [*pieces(part, (len(part) + 1) // 2), *left]
            continue
        if len(ids) > 1:
            found.append((at, part, ids))
        at += len(part)
    return found
