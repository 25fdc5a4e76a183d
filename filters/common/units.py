"""How long a text is: in words, characters, or tokens of a given tokenizer."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl

from curate.base.contract import Filter
from curate.base.errors import CurateError
from curate.base.models import read_backend

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Unit = Literal["words", "chars", "tokens"]
Of = Literal["response", "turn", "prompt"]

END_TOKENS = "tokens of an answer include its end token, one for each assistant turn"

# Chinese characters and kana are a word each; elsewhere a word ends at white space.
_IDEOGRAPHS = r"\p{Han}\p{Hiragana}\p{Katakana}"
_WORD = rf"[{_IDEOGRAPHS}]|[^\s{_IDEOGRAPHS}\x{{3000}}-\x{{303F}}\x{{FF00}}-\x{{FF0F}}]+"
# Ends of a finished answer: closing punctuation, a closed bracket, quote, fence, tag or emphasis.
_FINISHED = r"(?:^|[.!?…。！？؟।:;\"'”’»)\]}>*_`|~])\s*$"


def lengths(records: pl.DataFrame, unit: Unit, of: Of, tokenizer: str | None) -> pl.Series:
    """Length of each record's response, average assistant turn, or prompt (u32).

    Tool calls count as the text of the answer they are. Tokens include one end token per
    assistant turn and no other special token. `tokenizer` is a `tokenizer.json` or its folder.
    """
    texts = records["prompt"] if of == "prompt" else _answers(records)
    turns = records.select(_assistant(pl.element().struct.field("role")).list.len()).to_series()
    if unit == "words":
        counts = texts.str.count_matches(_WORD)
    elif unit == "chars":
        counts = texts.str.len_chars()
    else:
        assert tokenizer is not None, "checked when the filter was made"
        counts = _tokens(texts, load_tokenizer(tokenizer))
        counts = counts if of == "prompt" else counts + turns
    if of == "turn":
        counts = (counts / turns.clip(lower_bound=1)).ceil()
    return counts.cast(pl.UInt32).alias("length")


def finished(records: pl.DataFrame) -> pl.Series:
    """False where the last answer stops in mid-sentence: the mark of a cut-off at a limit."""
    last = _assistant(pl.element().struct.field("content")).list.last().fill_null("")
    # The end alone decides; a pattern over megabytes of text would cost as much as counting.
    return records.select(finished=last.str.tail(40).str.contains(_FINISHED)).to_series()


class CountsTokens(Filter):
    """A filter that may count in tokens: it has a setting `tokenizer`, and `unit` says in what."""

    # The name of the setting that says `tokens`.
    unit_setting: ClassVar[str] = "unit"
    tokenizer: str | None

    def __post_init__(self) -> None:
        """Raise `CurateError` unless tokens, and only tokens, come with a tokenizer that loads."""
        super().__post_init__()
        if (self.unit == "tokens") != (self.tokenizer is not None):
            raise CurateError(
                f"{self.name}: {self.unit_setting}: tokens and a tokenizer (a tokenizer.json) go"
                " together; give both or neither"
            )
        if self.tokenizer is not None:
            try:
                load_tokenizer(self.tokenizer)
            except CurateError as error:
                raise CurateError(f"{self.name}: {error}") from error

    @property
    @abstractmethod
    def unit(self) -> str:
        """What lengths are in."""

    @property
    def counted(self) -> tuple[str, ...]:
        """What findings say of the unit, where a reader would count otherwise."""
        return (END_TOKENS,) if self.unit == "tokens" else ()

    @property
    def cached(self) -> bool:
        """Counting words costs no more than looking them up; tokens do."""
        return self.unit == "tokens"

    @property
    def fingerprint(self) -> tuple[int, int] | None:
        """Size and time of the tokenizer's file: another tokenizer, another measure."""
        return None if self.tokenizer is None else file_state(tokenizer_file(self.tokenizer))


def load_tokenizer(path: str) -> Tokenizer:
    """The tokenizer of a `tokenizer.json` or of a folder that holds one, without truncation.

    Raises `CurateError` when there is none or it cannot be read.
    """
    file = tokenizer_file(path)
    return _loaded(str(file), file_state(file))


def tokenizer_file(path: str) -> Path:
    """The file itself, or `tokenizer.json` of a folder; `CurateError` when there is none."""
    file = Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise CurateError(f"no tokenizer at {file}; expected a tokenizer.json")
    return file


def file_state(file: Path) -> tuple[int, int]:
    """Size and time of the last change."""
    return file.stat().st_size, file.stat().st_mtime_ns


@lru_cache(maxsize=2)
def _loaded(file: str, state: tuple[int, int]) -> Tokenizer:
    tokenizer = read_backend(Path(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _tokens(texts: pl.Series, tokenizer: Tokenizer) -> pl.Series:
    batches = (texts[start : start + 4096].to_list() for start in range(0, len(texts), 4096))
    encoded = (tokenizer.encode_batch_fast(part, add_special_tokens=False) for part in batches)
    counts = [len(item) for part in encoded for item in part]
    return pl.Series(counts, dtype=pl.UInt32)


def _assistant(field: pl.Expr) -> pl.Expr:
    is_assistant = pl.element().struct.field("role") == "assistant"
    return pl.col("messages").list.eval(field.filter(is_assistant))


def _answers(records: pl.DataFrame) -> pl.Series:
    calls = _assistant(pl.element().struct.field("tool_calls"))
    joined = calls.list.join("\n", ignore_nulls=True).fill_null("")
    text = pl.col("response")
    both = pl.when(joined == "").then(text).otherwise(text + "\n" + joined)
    return records.select(both.alias("text")).to_series()
