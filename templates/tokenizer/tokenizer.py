"""A tokenizer and what templates and masks must know about it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import tokenizers

from curate.base.errors import CurateError, shown
from templates.tokenizer.segments import Control, ControlTokenSpan, Segments
from templates.tokenizer.slow import SlowSegments, SlowTokenizer
from templates.tokenizer.token_bytes import TokenBytes

MOST_ADDED = 50_000
LONGEST_ADDED = 200  # characters; which of them overlap is looked at in all their parts


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer with what its folder says about it.

    `backend` is a `tokenizers.Tokenizer` that adds no special tokens, cuts and pads nothing, and
    reports offsets untrimmed; or a `templates.tokenizer.slow.SlowTokenizer`, which has no offsets.
    `special` maps `bos_token`, `eos_token`, ... to their texts, as templates see them.
    `origin` says where it came from, for the manifest. `functional` tokens (text and id) are
    vocabulary also where content spells them; those in `added` the model has no embedding for.
    `closing` were named like them, but a template ends answers with them: they are control tokens.
    """

    name: str
    backend: Any
    special: Mapping[str, str]
    eos_ids: tuple[int, ...]
    chat_templates: Mapping[str, str]
    adds_bos: bool
    hash: str
    origin: Mapping[str, str]
    functional: Mapping[str, int] = field(default_factory=dict)
    added: Mapping[str, int] = field(default_factory=dict)
    closing: Mapping[str, int] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, int]:
        """All tokens that were named as added, by id."""
        return dict(sorted({**self.functional, **self.closing}.items(), key=lambda item: item[1]))

    def with_controls(self, texts: Sequence[str]) -> Tokenizer:
        """The same tokenizer, in which these functional tokens are control tokens."""
        if not texts:
            return self
        closing = {text: self.functional[text] for text in texts}
        functional = {text: n for text, n in self.functional.items() if text not in closing}
        return dataclasses.replace(self, functional=functional, closing={**self.closing, **closing})

    @cached_property
    def controls(self) -> dict[str, Control]:
        """Added tokens by text; those of white space alone are vocabulary, not control."""
        added = self.backend.get_added_tokens_decoder()
        return {
            token.content: Control(
                token.content, number, token.lstrip, token.rstrip, token.single_word
            )
            for number, token in sorted(added.items())
            if token.content not in self.functional
            and (token.special or token.content.replace("▁", " ").strip())
        }

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """The ids of all control tokens."""
        return frozenset(control.id for control in self.controls.values())

    @cached_property
    def overlap_free(self) -> bool:
        """Whether no two control tokens can share characters of a text.

        Then each occurrence of one in a text is the token, and counting them is enough to know
        which they are.
        """
        texts = set(self.controls)
        starts = {text[:size] for text in texts for size in range(1, len(text))}
        ends = (text[size:] for text in texts for size in range(1, len(text)))
        inner = (
            text[low:high]
            for text in texts
            for low in range(len(text))
            for high in range(low + 1, len(text) + 1)
            if high - low < len(text)
        )
        plain = not any(control.single_word for control in self.controls.values())
        return plain and starts.isdisjoint(ends) and texts.isdisjoint(inner)

    @cached_property
    def segments(self) -> Segments:
        """The tokenizer taken apart, for texts that are encoded segment by segment."""
        kind = Segments if self.has_offsets else SlowSegments
        return kind(self.backend, self.controls)

    @cached_property
    def token_bytes(self) -> TokenBytes:
        """What its tokens decode to, as a table that grows with what is asked."""
        return TokenBytes(self.segments)

    @property
    def has_offsets(self) -> bool:
        """Whether it tells which characters a token stands for."""
        return not isinstance(self.backend, SlowTokenizer)

    def own(self, text: str) -> tuple[ControlTokenSpan, ...]:
        """The control tokens in a text that the template wrote, leftmost and longest first."""
        known = self._own_cache.get(text)
        if known is None:
            if len(self._own_cache) > 10_000:  # texts of a template are few; dates may vary
                self._own_cache.clear()
            known = self.search(text)
            self._own_cache[text] = known
        return known

    def search(self, text: str) -> tuple[ControlTokenSpan, ...]:
        """The control tokens in any text, whoever wrote it."""
        spans = (match.span() for match in self._control_pattern.finditer(text))
        return tuple(own for span in spans if (own := self._own(text, *span)) is not None)

    def _own(self, text: str, start: int, stop: int) -> ControlTokenSpan | None:
        control = self.controls[text[start:stop]]
        around = text[max(0, start - 1) : start] + text[stop : stop + 1]
        if control.single_word and re.search(r"\w", around):
            return None
        return ControlTokenSpan(start, stop, control.id)

    @cached_property
    def _own_cache(self) -> dict[str, tuple[ControlTokenSpan, ...]]:
        return {}

    @cached_property
    def _control_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.controls, key=lambda text: (-len(text), text))
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def with_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> Tokenizer:
    """The tokenizer with functional tokens; `added` says what a model's embeddings must gain.

    Raises `CurateError` for a slow tokenizer, and for texts with white space around them.
    """
    if not tokenizer.has_offsets:
        raise CurateError(
            f"tokenizer {tokenizer.name}: it is written in Python and takes no further tokens; "
            "give one with tokenizer.json"
        )
    for text in texts:
        if not text.strip() or text != text.strip():
            raise CurateError(
                f"added token {text!r}: expected some text without white space around it"
            )
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    before = backend.get_vocab_size(with_added_tokens=True)
    backend.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in texts])
    ids = {text: backend.token_to_id(text) for text in dict.fromkeys(texts)}
    functional = {text: number for text, number in ids.items() if number is not None}
    added = {text: number for text, number in functional.items() if number >= before}
    by_id = dict(sorted(functional.items(), key=lambda item: item[1]))
    digest = hashlib.sha256(f"{tokenizer.hash}{json.dumps(by_id)}".encode())
    return dataclasses.replace(
        tokenizer,
        backend=backend,
        hash=digest.hexdigest(),
        functional=functional,
        added=added,
    )


def make_tokenizer(
    backend: tokenizers.Tokenizer,
    special: Mapping[str, str],
    eos_ids: Sequence[int] = (),
    chat_templates: Mapping[str, str] | None = None,
    name: str = "given",
    raw: bytes | None = None,
    origin: Mapping[str, str] | None = None,
) -> Tokenizer:
    """A `Tokenizer` around one of the `tokenizers` library, which is changed in place.

    `eos_ids` are further ids at which generation stops. `raw` is the content of its
    `tokenizer.json`, which the hash is made of; without it the backend's own JSON is taken.
    """
    if raw is None:
        raw = backend.to_str().encode()
    _check_added(backend, name)
    backend.no_truncation()
    backend.no_padding()
    bos = backend.token_to_id(special.get("bos_token", ""))
    adds_bos = bos is not None and bos in backend.encode("a").ids
    backend.post_processor = None  # it would add tokens and trim offsets
    if getattr(backend.model, "dropout", None):
        backend.model.dropout = None  # the same text must give the same tokens
    eos = _eos_ids(backend, special, eos_ids)
    digest = hashlib.sha256(raw)
    digest.update(json.dumps([dict(special), eos], sort_keys=True).encode())
    about = (dict(special), eos, dict(chat_templates or {}), adds_bos, digest.hexdigest())
    return Tokenizer(name, backend, *about, dict(origin or {"given": name}))


def _check_added(backend: tokenizers.Tokenizer, name: str) -> None:
    """Raise `CurateError` for added tokens that no model has, and that take long to look for."""
    added = backend.get_added_tokens_decoder().values()
    if len(added) > MOST_ADDED:
        raise CurateError(
            f"tokenizer {name}: {len(added):,} added tokens; expected at most {MOST_ADDED:,}"
        )
    if long := [token.content for token in added if len(token.content) > LONGEST_ADDED]:
        raise CurateError(
            f"tokenizer {name}: the added token {shown(long[0], 40)} is longer than "
            f"{LONGEST_ADDED:,} characters"
        )


def make_slow_tokenizer(
    inner: Any,
    special: Mapping[str, str],
    eos_ids: Sequence[int] = (),
    chat_templates: Mapping[str, str] | None = None,
    name: str = "given",
    origin: Mapping[str, str] | None = None,
) -> Tokenizer:
    """A `Tokenizer` around one that is written in Python; the arguments as for a fast one."""
    backend = SlowTokenizer(inner)
    bos = backend.token_to_id(special.get("bos_token", ""))
    adds_bos = bos is not None and bos in inner("a")["input_ids"]
    eos = _eos_ids(backend, special, eos_ids)
    written = json.dumps([backend.to_str(), dict(special), eos], sort_keys=True)
    digest = hashlib.sha256(written.encode())
    about = (dict(special), eos, dict(chat_templates or {}), adds_bos, digest.hexdigest())
    return Tokenizer(name, backend, *about, dict(origin or {"given": name}))


def _eos_ids(backend: Any, special: Mapping[str, str], more: Sequence[int]) -> tuple[int, ...]:
    """The ids at which generation stops, in order."""
    known = {backend.token_to_id(special.get("eos_token", "")), *more}
    return tuple(sorted(number for number in known if number is not None and number >= 0))
