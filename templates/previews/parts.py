"""Rendered rows as the parts of a preview: from ids and labels, or from texts."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

from templates.encoding.encode import IGNORED
from templates.previews.view import Part
from templates.spans import VerifiedRender
from templates.tokenizer.segments import Segments

MARKS = 12  # characters of JSON between two words of it
PENDING = "‥"  # a token that is the first bytes of a character, which the next one shows


def from_text(verified: VerifiedRender) -> list[Part]:
    """The parts of a proven text, without tokens."""
    cuts = {0, len(verified.text)}
    for span in verified.spans:
        cuts |= {span.start, span.stop}
    for target in verified.trained:
        cuts |= {target.start, target.stop_start, target.end}
    places = sorted(cuts)
    parts = []
    for start, stop in pairwise(places):
        kind, message = _source(verified, start, stop)
        parts.append(Part(verified.text[start:stop], kind, None, message))
    return _whole(parts)


def from_tokens(
    ids: Sequence[int],
    labels: Sequence[int],
    segments: Segments,
    stop_ids: Sequence[int],
    stop_strings: Sequence[str],
) -> list[Part]:
    """The parts of a written row: what its ids and labels hold, and nothing else."""
    kinds = ["masked" if label == IGNORED else "answer" for label in labels]
    texts = segments.token_texts(ids)
    for start, end in trained_runs(labels):
        for place in range(_stop_start(ids, texts, start, end, stop_ids, stop_strings), end):
            kinds[place] = "stop"
    columns = zip(map(_text, texts), kinds, ids, _glyphs(texts), strict=True)
    return [Part(text, kind, number, glyphs=glyphs) for text, kind, number, glyphs in columns]


def annotate(
    parts: Sequence[Part], verified: VerifiedRender, offsets: Sequence[tuple[int, int]]
) -> list[Part]:
    """The same parts with template text apart from context, and each part's source message."""
    named = []
    for part, (start, stop) in zip(parts, offsets, strict=True):
        kind, message = _source(verified, start, max(stop, start + 1))
        named.append(replace(part, kind=part.kind if part.trained else kind, message=message))
    return _whole(named)


def _whole(parts: list[Part]) -> list[Part]:
    """The same parts, marks between words of tools and documents (`": "`) with those words."""
    runs = [list(run) for _, run in groupby(parts, key=lambda part: (part.kind, part.message))]
    data = [run[0].kind == "context" and run[0].message is None for run in runs]
    found: list[Part] = []
    for place, run in enumerate(runs):
        between = 0 < place < len(runs) - 1 and data[place - 1] and data[place + 1]
        text = "".join(part.text for part in run)
        marks = between and len(text) <= MARKS and "\n" not in text
        found += [replace(part, kind="context") for part in run] if marks else run
    return found


def with_turns(parts: list[Part], turns: Sequence[int]) -> list[Part]:
    """The parts of a written row with the message of each trained run, if they are known."""
    runs = _runs(part.trained for part in parts)
    if len(runs) != len(turns):
        return parts
    owned = zip(runs, turns, strict=True)
    messages = {place: turn for (start, end), turn in owned for place in range(start, end)}
    return [replace(part, message=messages.get(place)) for place, part in enumerate(parts)]


def trained_runs(labels: Sequence[int]) -> list[tuple[int, int]]:
    """Where labels are trained: `[start, end)` of each run."""
    return _runs(label != IGNORED for label in labels)


def _runs(trained: Iterable[bool]) -> list[tuple[int, int]]:
    runs, place = [], 0
    for on, run in groupby(trained):
        length = len(list(run))
        if on:
            runs.append((place, place + length))
        place += length
    return runs


def _stop_start(
    ids: Sequence[int],
    texts: Sequence[bytes],
    start: int,
    end: int,
    stop_ids: Sequence[int],
    stop_strings: Sequence[str],
) -> int:
    """The first token of the stop that ends a trained run; `end` if there is none."""
    if ids[end - 1] in stop_ids:
        return end - 1
    for stop in stop_strings:
        if b"".join(texts[start:end]).endswith(stop.encode()):
            place, length = end, 0
            while length < len(stop.encode()):
                place -= 1
                length += len(texts[place])
            return place
    return end


def _source(verified: VerifiedRender, start: int, stop: int) -> tuple[str, int | None]:
    """The kind of these characters, and the message that they come from."""
    message, kind = None, "template"
    for span in verified.spans:
        if span.start < stop and start < span.stop:  # tools and documents are of no message
            message, kind = (span.source.message if span.source.message >= 0 else None), "context"
            break
    for target in verified.trained:
        if target.start < stop and start < target.end:
            return ("stop" if start >= target.stop_start else "answer"), target.turn
    return kind, message


def _text(token: bytes) -> str:
    """A token as text; a part of a character as its bytes, `\\xf0\\x9f`."""
    return token.decode(errors="backslashreplace")


def _glyphs(texts: Sequence[bytes]) -> list[str]:
    """Tokens as they are read: a character stands in the token that completes it."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    last = len(texts) - 1
    read = (decoder.decode(token, final=place == last) for place, token in enumerate(texts))
    return [text or (PENDING if token else "") for text, token in zip(read, texts, strict=True)]
