"""Where trained texts start and end among the tokens of a whole text that was encoded at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from tokenizers import Encoding

from templates.spans import TrainedSpan, VerifiedRender
from templates.tokenizer.segments import ControlTokenSpan
from templates.tokenizer.tokenizer import Tokenizer


def control_tokens(
    verified: VerifiedRender, tokenizer: Tokenizer, allow: bool = False
) -> list[ControlTokenSpan]:
    """The control tokens that the template wrote: never those that data spells, even in part.

    With `allow` those that data spells too.
    """
    if allow:
        return list(tokenizer.search(verified.text))
    text, tokens, place = verified.text, list[ControlTokenSpan](), 0
    for span in verified.spans:
        if place < span.start:
            tokens += _moved(tokenizer.own(text[place : span.start]), place)
        place = span.stop
    return tokens + _moved(tokenizer.own(text[place:]), place)


def _moved(tokens: Sequence[ControlTokenSpan], by: int) -> list[ControlTokenSpan]:
    return [ControlTokenSpan(low + by, high + by, number) for low, high, number in tokens]


def control_places(tokenizer: Tokenizer, ids: Sequence[int]) -> list[int]:
    """Where control tokens stand among the ids."""
    return [place for place, number in enumerate(ids) if number in tokenizer.control_ids]


def other_controls(
    tokenizer: Tokenizer,
    encoding: Encoding | None,
    ids: Sequence[int],
    places: Sequence[int],
    own: Sequence[ControlTokenSpan],
) -> bool:
    """Whether the control tokens at `places` of the ids differ from `own`.

    The same are the same ids in the same order and, unless no two control tokens can overlap, at
    the same characters.
    """
    if [ids[place] for place in places] != [token.id for token in own]:
        return True
    if tokenizer.overlap_free or encoding is None:
        return False
    return [encoding.char_to_token(token.start) for token in own] != list(places)


def find_boundaries(
    tokenizer: Tokenizer,
    encoding: Encoding,
    verified: VerifiedRender,
    own: Sequence[ControlTokenSpan],
) -> tuple[list[tuple[int, int]], list[int]]:
    """The trained tokens `[start, end)` of each trained text, and boundaries inside a token.

    A text starts between two tokens if the prompt, encoded alone, gives the first of the ids.
    Only the prompt's words after its last control token are encoded, with that token before them.
    """
    ids, text = encoding.ids, verified.text
    places = control_places(tokenizer, ids)
    stops = [token.stop for token in own]
    spans: list[tuple[int, int]] = []
    crossed: list[int] = []
    for target in verified.trained:
        number = bisect_right(stops, target.start) - 1
        first = own[number].start if number >= 0 else 0
        low = places[number] if number >= 0 else 0
        alone = tokenizer.backend.encode(text[first : target.start], add_special_tokens=False).ids
        start = low + len(alone)
        if ids[low:start] != alone:
            crossed.append(target.start)
        end = (
            places[stops.index(target.end)] + 1
            if target.end in stops
            else tokens_up_to(encoding, target)
        )
        if end is None:
            crossed.append(target.end)
            end = start
        spans.append((start, end))
    return spans, crossed


def tokens_up_to(encoding: Encoding, target: TrainedSpan) -> int | None:
    """The number of tokens up to the end of a trained text; None if a token goes on after it."""
    last = encoding.char_to_token(target.end - 1)
    if last is None:
        return None
    while last + 1 < len(encoding) and _chars(encoding, last + 1)[0] < target.end:
        last += 1
    return None if _chars(encoding, last)[1] > target.end else last + 1


def _chars(encoding: Encoding, token: int) -> tuple[int, int]:
    chars: tuple[int, int] | None = encoding.token_to_chars(token)
    return chars or (0, 0)
