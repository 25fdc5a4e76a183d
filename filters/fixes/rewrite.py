"""The steps that rewrite text: never more than they name, and every edited row is on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.base.contract import Fix
from curate.base.schema import MESSAGE
from curate.base.settings import setting

# An edit: messages in, the same messages out with a column `edited` (reason slug or null).
Edit = Callable[[pl.DataFrame], pl.DataFrame]


def rewrite(records: pl.DataFrame, edit: Edit) -> pl.DataFrame:
    """Apply `edit` to every message of `messages` and `rejected`; only edited rows are rebuilt.

    `edit` sees one line per message with the fields of a message. Returns the records with a
    column `edited`: the slug of the first edited message of each row.
    """
    slugs = []
    for column in ("messages", "rejected"):
        records, slug = _rewrite(records, column, edit)
        slugs.append(slug)
    return records.with_columns(edited=pl.coalesce(*slugs))


def _rewrite(records: pl.DataFrame, column: str, edit: Edit) -> tuple[pl.DataFrame, pl.Series]:
    index = pl.int_range(pl.len(), dtype=pl.UInt32).alias("index")
    messages = (
        records.select(index, pl.col(column))
        .filter(pl.col(column).list.len() > 0)
        .explode(column, empty_as_null=True)
        .unnest(column)
    )
    edited = edit(messages)
    slugs = pl.Series([None], dtype=pl.String).new_from_index(0, records.height)
    first = edited.filter(pl.col("edited").is_not_null()).unique(
        "index", keep="first", maintain_order=True
    )
    if not first.height:
        return records, slugs
    rows = edited.join(first.select("index"), on="index", how="semi", maintain_order="left")
    message = pl.struct([pl.col(name).cast(kind) for name, kind in MESSAGE.to_schema().items()])
    lists = rows.group_by("index", maintain_order=True).agg(rebuilt=message)
    records = (
        records.with_columns(index)
        .join(lists, on="index", how="left", maintain_order="left")
        .with_columns(pl.coalesce("rebuilt", column).alias(column))
        .drop("index", "rebuilt")
    )
    return records, slugs.scatter(first["index"], first["edited"])


# Each pattern captures the wrapped text, and for some a second part that follows it.
_INSTRUCTION = r"#{2,3} ?Instruction:"
WRAPPERS: Mapping[str, str] = {
    "unwrapped_alpaca": (
        r"(?s)\A\s*(?:Below is an instruction that describes a task(?:, paired with an input that"
        r" provides further context)?\. Write a response that appropriately completes the"
        rf" request\.\s*)?{_INSTRUCTION}\s*(.*?)(?:\s*#{{2,3}} ?Input:\s*(.*?))?"
        r"(?:\s*#{2,3} ?Response:)?\s*\z"
    ),
    "unwrapped_llama2": r"(?s)\A\s*(?:<s>)?\s*\[INST\]\s*(.*?)\s*\[/INST\]\s*\z()",
    "unwrapped_chatml": (
        r"(?s)\A\s*<\|im_start\|>user\n(.*?)(?:<\|im_end\|>\s*(?:<\|im_start\|>assistant)?)\s*\z()"
    ),
    "unwrapped_dialogue": (
        r"(?s)\A\s*(?:#{2,3} )?(?:Human|USER|User): ?(.*?)\s*(?:#{2,3} )?"
        r"(?:Assistant|ASSISTANT):\s*\z()"
    ),
}
# What each of them holds somewhere: a cheap look before the patterns above.
_SIGN = r"# ?Instruction:|\[INST\]|<\|im_start\|>|(?:Assistant|ASSISTANT):\s*\z"
# A wrapper within a wrapper is a whole conversation in one message: not ours to take apart.
_NESTED = (
    r"#{2,3} ?(?:Instruction|Input|Response|Human|Assistant):|\[/?INST\]|<</?SYS>>"
    r"|<\|[a-z_]+\|>|(?m:^(?:Human|Assistant|USER|ASSISTANT):)"
)


@dataclass(frozen=True)
class UnwrapPrompt(Fix):
    """Take the prompt out of a known template that was rendered into the user's message.

    Dumps converted for one trainer hold "Below is an instruction ... ### Instruction: ...", with
    or without line breaks; the next trainer would wrap that once more. Instruction and input are
    joined by a blank line, as they are on reading. Messages that hold several turns are left.
    """

    name: ClassVar[str] = "unwrap_prompt"
    reads_texts: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {
        "unwrapped_alpaca": "The prompt was wrapped in Alpaca's `### Instruction:` template.",
        "unwrapped_llama2": "The prompt was wrapped in `[INST]` and `[/INST]`.",
        "unwrapped_chatml": "The prompt was wrapped in `<|im_start|>user` and `<|im_end|>`.",
        "unwrapped_dialogue": "The prompt was wrapped in `Human:` and `Assistant:`.",
    }

    def fix(self, records: pl.DataFrame) -> pl.DataFrame:
        """Records with the prompts unwrapped and a column `edited`."""
        return rewrite(records, _unwrap)


def _unwrap(messages: pl.DataFrame) -> pl.DataFrame:
    wrapped = (pl.col("role") == "user") & pl.col("content").str.contains(_SIGN)
    places = messages.select(wrapped.fill_null(False)).to_series().arg_true()
    likely = pl.DataFrame({"content": messages["content"].gather(places)})
    inner = likely.select(_inner(pattern).alias(slug) for slug, pattern in WRAPPERS.items())
    fits = inner.with_columns(
        pl.when((pl.all() != "") & ~pl.all().str.contains(_NESTED)).then(pl.all())
    )
    best = fits.select(
        content=pl.coalesce(*WRAPPERS, likely["content"]),
        edited=pl.coalesce(
            pl.when(pl.col(slug).is_not_null()).then(pl.lit(slug)) for slug in WRAPPERS
        ),
    )
    edited = pl.Series([None], dtype=pl.String).new_from_index(0, messages.height)
    return messages.with_columns(
        content=messages["content"].scatter(places, best["content"]),
        edited=edited.scatter(places, best["edited"]),
    )


def _inner(pattern: str) -> pl.Expr:
    """What one wrapper held, null where it does not fit."""
    body, rest = (pl.col("content").str.extract(pattern, group) for group in (1, 2))
    both = pl.concat_str(body, pl.lit("\n\n"), rest)
    return pl.when(rest.fill_null("") == "").then(body).otherwise(both)


_END_TOKENS = (
    r"<\|(?:endoftext|im_end|eot_id|eom_id|end_of_text|end_of_turn|end|EOT)\|>|<end_of_turn>"
    r"|<eos>|<｜end▁of▁sentence｜>|</s>"
)
# <s>struck out</s> is HTML; only at the start of a message is <s> a token.
_STRUCK_OUT = r"[^\s]\s*<s>"


@dataclass(frozen=True)
class StripEndToken(Fix):
    """Cut end-of-text tokens that were written out as text at the end of messages.

    A model that trains on a literal `</s>` learns to print it. White space before the token goes
    with it.
    """

    name: ClassVar[str] = "strip_end_token"
    reads_texts: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {
        "end_token": "The message ended in a literal end token such as `<|endoftext|>`."
    }

    tokens: tuple[str, ...] = setting((), "further spellings to cut, besides the known ones")

    def fix(self, records: pl.DataFrame) -> pl.DataFrame:
        """Records without trailing end tokens and a column `edited`."""
        return rewrite(records, self._strip)

    def _strip(self, messages: pl.DataFrame) -> pl.DataFrame:
        content = pl.col("content")
        own = pl.Series(self.tokens, dtype=pl.String).str.escape_regex()
        trailing = rf"(?:\s*(?:{'|'.join([*own, _END_TOKENS])}))+\s*\z"
        html = content.str.ends_with("</s>") & content.str.contains(_STRUCK_OUT)
        ends = content.str.contains(trailing) & ~html
        return messages.with_columns(
            content=pl.when(ends).then(content.str.replace(trailing, "")).otherwise(content),
            edited=pl.when(ends).then(pl.lit("end_token")),
        )


# UTF-8 read as a one-byte encoding leaves a letter with an accent before a symbol.
_MOJIBAKE = r"[\x{80}-\x{9F}]|[À-ÿĂăŒœŠšŽžŸƒ][\x{A0}-\x{BF}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"


@dataclass(frozen=True)
class RepairEncoding(Fix):
    """Undo text that was decoded with the wrong encoding: `cafÃ©` becomes `café`.

    By ftfy's `fix_encoding`, which changes a text only when the result is less odd than the
    original. Quotes, ligatures and entities stay as they are.
    """

    name: ClassVar[str] = "repair_encoding"
    reads_texts: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {
        "repaired_encoding": "Text decoded with the wrong encoding was decoded again."
    }

    def fix(self, records: pl.DataFrame) -> pl.DataFrame:
        """Records with mojibake undone and a column `edited`."""
        return rewrite(records, lambda messages: edit_texts(messages, _MOJIBAKE, _repaired))


def _repaired(text: str) -> tuple[str, str | None]:
    import ftfy

    fixed = ftfy.fix_encoding(text)
    return fixed, None if fixed == text else "repaired_encoding"


def edit_texts(
    messages: pl.DataFrame,
    likely: str,
    change: Callable[[str], tuple[str, str | None]],
    fields: tuple[str, ...] = ("content", "reasoning"),
) -> pl.DataFrame:
    """Run `change` on the texts that match the pattern `likely`; it returns text and slug.

    A loop, because each text has its own changes; the pattern leaves few texts to it.
    """
    edited = pl.Series([None], dtype=pl.String).new_from_index(0, messages.height)
    for field in fields:
        places = messages[field].str.contains(likely).fill_null(False).arg_true()
        if not len(places):
            continue
        changes = [change(text) for text in messages[field].gather(places)]
        texts = pl.Series([text for text, _ in changes], dtype=pl.String)
        slugs = pl.Series([slug for _, slug in changes], dtype=pl.String)
        messages = messages.with_columns(messages[field].scatter(places, texts))
        is_edited = slugs.is_not_null()
        edited = edited.scatter(places.filter(is_edited), slugs.filter(is_edited))
    return messages.with_columns(edited.alias("edited"))
