"""Encoding by pretokens: a whole batch of texts at once, for byte-level tokenizers.

Such a tokenizer cuts text into words (pretokens) with a regular expression and makes tokens of each
alone. Here the words of a batch are cut in columns, and a word that was met before costs a
look-up: about a tenth of the time of the library, which does every text anew. What cannot be
shown to give the library's own ids is left to the library, text by text:

- only expressions in `EXPRESSIONS`, for which leaving the lookahead out is proven below;
- only characters for which both engines are seen to agree;
- only texts in which no added token stands but the template's own, nothing to normalise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import tokenizers
from numpy.typing import NDArray

from templates.tokenizer.segments import ControlTokenSpan, component_state
from templates.tokenizer.token_bytes import Ints, Ragged
from templates.tokenizer.tokenizer import Tokenizer

# Characters of private use stand for what is no word: the first for a cut, the others for the
# template's control tokens. Texts that hold such characters themselves are left to the library.
CUT, MARKS = "\ue000", range(0xE001, 0xF900)
PRIVATE = r"\x{E000}-\x{F8FF}"
MAX_WORDS = 500_000  # different words that are remembered

_ENDINGS = "'s|'t|'re|'ve|'m|'ll|'d"
_SPACES = r"\s+(?!\S)|\s+"
_LINES = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
_SLASHES = _LINES.replace(r"\n]*", r"\n/]*", 1)
_CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    rf"(?i:{_ENDINGS})?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    rf"(?i:{_ENDINGS})?|"
)
GPT2 = rf"{_ENDINGS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|{_SPACES}"
_ANY_CASE = rf"(?i:{_ENDINGS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|"

# Expressions, and the white space before which a run of it is always cut if text follows. None
# looks behind, so words depend on nothing before a cut. Of a run of white space of which two or
# more are left, `\s+(?!\S)` takes all but the last; where only one is left a word has just ended
# (in a line break, or after one). So there is a cut before the last one, and with it made
# beforehand `\s+` finds the same words without looking ahead. Only where words may end in line
# breaks is a run that ends in one taken whole instead.
EXPRESSIONS = {
    GPT2: r"\s",
    rf"{_ANY_CASE}\p{{N}}{{1,3}}|{_LINES}{_SPACES}": r"[^\S\r\n]",  # Llama 3, GPT-4
    rf"{_ANY_CASE}\p{{N}}|{_LINES}{_SPACES}": r"[^\S\r\n]",  # Qwen 2 and 3
    rf"{_CASED}\p{{N}}{{1,3}}|{_SLASHES}{_SPACES}": r"[^\S\r\n]",  # GPT-4o, gpt-oss
}


class PretokenCache:
    """One tokenizer's way to encode by pretokens. Not to be shared between threads."""

    def __init__(self, tokenizer: Tokenizer, expression: str) -> None:
        self._backend = tokenizer.backend
        self._normal = tokenizer.backend.normalizer is None
        ahead = expression.replace("[^", rf"[^{PRIVATE}").replace(r"\s+(?!\S)|", "")
        self._pretokens = rf"[\x{{E001}}-\x{{F8FF}}]|{ahead}"
        self._runs = rf"(\s)({EXPRESSIONS[expression]}[^\s{PRIVATE}])"
        added = tokenizer.backend.get_added_tokens_decoder()
        self._added = {number: token.content for number, token in sorted(added.items())}
        self._all = list(self._added.values())
        self._vocabulary = [text for text in self._all if text not in tokenizer.controls]
        self._moving = {
            c.id for c in tokenizer.controls.values() if c.lstrip or c.rstrip or c.single_word
        }
        self._marks: dict[int, str | None] = {}
        self._marked: dict[str, int] = {}
        self._model = tokenizers.Tokenizer(tokenizer.backend.model)
        self._model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=False
        )
        self._met: set[str] = set()
        self._odd: set[str] = set()
        self._compare(list(map(chr, range(128))))
        self._forget()

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> PretokenCache | None:
        """The cache of a tokenizer; None if it makes its tokens in another way."""
        expression = _expression(tokenizer.backend)
        return cls(tokenizer, expression) if expression in EXPRESSIONS else None

    def coded(self, text: str, own: Sequence[ControlTokenSpan], cuts: Sequence[int] = ()) -> str:
        """The text with one character for each of its control tokens, and cuts marked.

        Empty if one of the tokens acts on the text around it.
        """
        marks = [(token.start, token.stop, self._mark(token.id)) for token in own]
        marks = sorted([*marks, *((place, place, CUT) for place in cuts)]) if cuts else marks
        parts: list[str] = []
        done = 0
        for start, stop, mark in marks:
            if mark is None:
                return ""
            parts += (text[done:start], mark)
            done = stop
        return "".join([*parts, text[done:]])

    def _mark(self, number: int) -> str | None:
        """The character for a control token; None if others can share its place in a text."""
        if number not in self._marks:
            text = self._added[number]
            shared = any(_touch(text, other) for n, other in self._added.items() if n != number)
            own = any(text.endswith(text[:size]) for size in range(1, len(text)))
            free = not (shared or own or number in self._moving or len(self._marks) >= len(MARKS))
            mark = chr(MARKS[len(self._marks)]) if free else None
            self._marks[number] = mark
            self._marked |= {mark: number} if mark else {}
        return self._marks[number]

    def encode(
        self,
        texts: Sequence[str],
        coded: Sequence[str] | None = None,
        marks: Sequence[int] | None = None,
        plain: bool = False,
    ) -> list[NDArray[np.int32] | None]:
        """The ids of each text, or None where the library must be asked.

        `coded` are the texts as `coded` makes them, `marks` the number of marks and cuts in each.
        With `plain` what spells a control token is plain text.
        """
        column = pl.Series("text", texts if coded is None else coded, dtype=pl.String)
        wanted = pl.Series(marks or [0] * len(texts), dtype=pl.UInt32)
        sure = self._sure(texts, column, wanted, self._vocabulary if plain else self._all)
        if not sure.any():
            return [None] * len(texts)
        words = (
            column.filter(sure)
            .str.replace_all(self._runs, "${1}" + CUT + "${2}")
            .str.extract_all(self._pretokens)
        )
        numbers = self._numbers(words.explode())
        ids, ends = self._table.gather(numbers)
        bounds = np.concatenate([[0], ends])[np.concatenate([[0], words.list.len().cum_sum()])]
        rows = iter(np.split(ids, bounds[1:-1]))
        return [next(rows) if is_sure else None for is_sure in sure.to_list()]

    def _sure(
        self, texts: Sequence[str], column: pl.Series, marks: pl.Series, without: list[str]
    ) -> pl.Series:
        """Which texts hold nothing that could make the library's words differ."""
        new = set().union(*(text for text in texts if not text.isascii())) - self._met
        if new:
            self._compare(sorted(new))
        sure = (column.str.count_matches(f"[{PRIVATE}]") == marks) & (column.str.len_bytes() > 0)
        if without:
            sure &= ~column.str.contains_any(without)
        if self._odd:
            sure &= ~column.str.contains_any(sorted(self._odd))
        return sure if self._normal else sure & (column == column.str.normalize("NFC"))

    def _compare(self, chars: Sequence[str]) -> None:
        """See for new characters whether both engines take them for the same."""
        # Beside each neighbour, a letter, a number, a space and a sign cut another way.
        probes = [f"a{c}1{c}!{c}A{c}a'{c}" for c in chars]
        column = pl.Series(probes, dtype=pl.String)
        cut = column.str.replace_all(self._runs, "${1}" + CUT + "${2}")
        mine = cut.str.extract_all(self._pretokens).to_list()
        pre_tokenizer = self._backend.pre_tokenizer
        for char, probe, words in zip(chars, probes, mine, strict=True):
            spans = (span for _, span in pre_tokenizer.pre_tokenize_str(probe))
            if [probe[low:high] for low, high in spans] != words:
                self._odd.add(char)
        self._met.update(chars)

    def _numbers(self, pretokens: pl.Series) -> Ints:
        """The number of each word in the table, where those not met before are entered."""
        if len(self._known) > MAX_WORDS:
            self._forget()
        kind = pl.Categorical(pl.Categories.random())
        codes: Ints = pretokens.cast(kind).to_physical().to_numpy()
        place = np.zeros(int(codes.max()) + 1, np.int64)
        place[codes] = np.arange(len(codes))  # any place of each word
        words = pretokens.gather(place).to_list()
        new = [word for word in words if word not in self._known]
        first = len(self._known)
        self._known |= {word: first + place for place, word in enumerate(new)}
        batch = self._model.encode_batch_fast(new, add_special_tokens=False)
        ids = [
            encoding.ids if (mark := self._marked.get(word)) is None else [mark]
            for word, encoding in zip(new, batch, strict=True)
        ]
        self._table.put(np.arange(first, len(self._known)), ids)
        numbers: Ints = np.array([self._known[word] for word in words], np.int64)
        return numbers[codes]

    def _forget(self) -> None:
        self._known: dict[str, int] = {}
        self._table = Ragged(np.int32)


def _expression(backend: tokenizers.Tokenizer) -> str | None:
    """The regular expression that cuts words, if nothing else than it and NFC acts on a text."""
    state = component_state(backend.pre_tokenizer)
    normalizer = component_state(backend.normalizer)
    if state is None or normalizer not in (None, {"type": "NFC"}):
        return None
    parts = state["pretokenizers"] if state["type"] == "Sequence" else [state]
    last = parts[-1]
    if last["type"] != "ByteLevel" or last["add_prefix_space"]:
        return None
    if len(parts) == 1:
        return GPT2 if last["use_regex"] else None
    first = parts[0]
    plain = len(parts) == 2 and not last["use_regex"] and first["type"] == "Split"
    if not plain or first["behavior"] != "Isolated" or first["invert"]:
        return None
    expression: str | None = first["pattern"].get("Regex")
    return expression


def _touch(one: str, other: str) -> bool:
    """Whether two texts can share characters of a third."""
    sizes = range(1, min(len(one), len(other)))
    ends = any(one.endswith(other[:n]) or other.endswith(one[:n]) for n in sizes)
    return ends or one in other or other in one
