"""How long a text is: in words, characters, or tokens of a given tokenizer."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl

from curate.base.errors import CurateError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Unit = Literal["words", "chars", "tokens"]
Of = Literal["response", "turn", "prompt"]

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


def check_tokenizer(step: str, setting: str, unit: str, tokenizer: str | None) -> None:
    """Raise `CurateError` unless tokens, and only tokens, come with a tokenizer that loads.

    `setting` is what the step calls its unit.
    """
    if unit == "tokens" and tokenizer is None:
        raise CurateError(f"{step}: {setting} tokens needs a tokenizer (a tokenizer.json)")
    if unit != "tokens" and tokenizer is not None:
        raise CurateError(f"{step}: a tokenizer is for {setting} tokens, and {setting} is {unit}")
    if tokenizer is not None:
        try:
            load_tokenizer(tokenizer)
        except CurateError as error:
            raise CurateError(f"{step}: {error}") from error


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


def tokenizer_state(tokenizer: str | None) -> tuple[int, int] | None:
    """Size and time of a tokenizer's file, None without one: another tokenizer, another measure."""
    return None if tokenizer is None else file_state(tokenizer_file(tokenizer))


def file_state(file: Path) -> tuple[int, int]:
    """Size and time of the last change."""
    return file.stat().st_size, file.stat().st_mtime_ns


def model_state(folder: str | None) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of a model's files, none without one: another model, other scores."""
    if folder is None:
        return ()
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    return tuple((file.name, *file_state(file)) for file in files)


@lru_cache(maxsize=2)
def _loaded(file: str, state: tuple[int, int]) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(file)
    except Exception as error:  # the library raises bare Exception for a malformed file
        raise CurateError(f"{file} is no tokenizer file ({error})") from error
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
