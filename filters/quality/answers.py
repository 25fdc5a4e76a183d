"""The quality rules that compare messages or count in them: is there an answer, and is it whole?"""

from __future__ import annotations

import polars as pl

from filters.quality.fences import left_open
from filters.quality.orders import ASKS, ORDERS_TEXT, PLAIN_QUESTION
from filters.quality.turns import BLANK, Hits, Turns, faults

CUT_OFF_MIN_WORDS = 20  # shorter answers often are phrases

# What a generator leaves behind: <nooutput>, "Your answer here". Never an answer.
_DEBRIS = (
    r"(?i)\A[\s\"'*]*<\s*no[ _-]?(?:output|input)\b[^\n]{0,100}\z"
    r"|\A[\s\"'*]*no(?:output|input)[\s\"'*.!]*\z"
    r"|\A[\s\[(<\"'*]*(?:(?:your|insert|add) (?:\w+ )?(?:answer|response|output|text)(?: here)?"
    r"|insert [\w ]{1,40} here)[\s\])>\"'*.!]*\z"
)
# Stand-ins that may be an answer: a value that is not given, what a program prints, a short form,
# Morse code. So they count only where a text was ordered, or under a plain question.
_STAND_IN = (
    r"(?i)\A[\s\[(<\"'*]*(?:n/a|n\.a\.?|no[ _](?:output|input|response|answer)|not applicable"
    r"|to be (?:filled|added|determined)|tbd|todo"
    r"|lorem ipsum[^\n]*|\.{2,}|…|-{1,3}|\?{1,3})[\s\])>\"'*.!]*\z"
    r"|\A\s*[\[(]no ?output\b[^\n]{0,100}\z"
)
_MAY_BE_NONE = r"(?i)\b(?:any|if|whether|nothing|outputs?|prints?|printed|returns?)\b"
_ANY_THERE = r"(?i)\b(?:describe|explain|summari[sz]e|discuss|outline)\b[^.\n]{0,20}\bany\b"
# Marks alone, a short form and filler text answer questions about them.
_OF_FEW_LETTERS = r"(?i)\A[^\pL]*\z|lorem|tbd|todo|n/a"
_ON_SHORT_FORMS = (
    r"(?i)\b(?:to be|to do|abbreviat\w*|acronym\w*|initials|short(?:ened)? form|lorem|placeholder"
    r"|dummy|filler|sample text|morse|ellips\w*|dash\w*|dots?|punctuat\w*|symbols?|marks?|signs?"
    r"|characters?|operators?|emoticons?|silen\w*)\b"
)
_MAY_ECHO = (
    r"(?i)\b(?:correct\w*|original|repeat|echo|copy|copies|same|unchanged|as it is|translat\w*"
    r"|rewrite|convert\w*|spell\w*|grammar|spacing|punctuat\w*|normali[sz]\w*|transform\w*|output)\b"
)
# Left over from a table export, where a text was ordered: elsewhere they are values of programs, or
# say that there is none.
_EXPORT = r"\A\s*(NaN|nan|null|NULL|None|none|undefined|<NA>)\s*\z"

# "Answer N/A if it is not given", "Reply only with ..."
_ORDERS_WORDS = (
    r"\b(?:answer|reply|respond|write|say|type|return|print|output|put|use|acknowledge)\b"
)
_QUOTES = "[“”‘’'`]"
_OF_A_TERMINAL = (
    r"\b(?:act|behave|respond|simulate|pretend|you are|be)\b[^.\n]{0,60}"
    r"\b(?:terminal|console|shell|bash|interpreter|command line|repl)\b"
)

_FENCE = r"(?m:^[ \t]*(?:>[ \t]?)*(?:[-*+][ \t]+)?(?:`{3}|~{3}))"

# A sentence does not end in one of these words, in half a word, or in "the G". Words that do end
# clauses ("as high as you can") are left out, and so are commas: some answers end in one with
# nothing missing.
_DANGLING = (
    r"(?:(?i:[a-z][,.:;]? (?:and|or|but|the|an|of|with|which|such as|including|because|their|its"
    r"|your|our|my|was|were|has))|[a-z]-| the [A-Z])\s*\z"
)


def no_user_turn(turns: Turns) -> Hits:
    """Records without a user message that says something."""
    asked = turns.asked.filter(~pl.col("text").str.contains(BLANK))
    everyone = pl.select(index=pl.int_range(turns.height, dtype=pl.UInt32))
    silent = everyone.join(asked.select("index"), on="index", how="anti", maintain_order="left")
    return Hits(silent, pl.lit("no user message with text"))


def no_answer(turns: Turns) -> Hits:
    """Records that end without the assistant."""
    last = turns.messages.filter(pl.col("last") & (pl.col("role").ne_missing("assistant")))
    role = pl.col("role").fill_null("none, there are no messages")
    return Hits(last, pl.format("last message: {}", role))


def empty_response(turns: Turns) -> Hits:
    """Records with an assistant message that has neither text nor tool calls."""
    empty = turns.responses.filter(~pl.col("called"), pl.col("text").str.contains(BLANK))
    return Hits(empty, pl.lit("empty assistant message"))


def placeholder_response(turns: Turns) -> Hits:
    """Records answered by what stands for a missing answer."""
    short = turns.responses.filter(pl.col("text").str.len_bytes() < 120)
    debris = short.filter(pl.col("text").str.contains(_DEBRIS)).select("index", "text")
    hits = pl.concat([debris, _stand_ins(turns, short)]).unique("index", keep="first")
    if hits.height:
        hits = _unasked(turns, hits)
    return Hits(hits.sort("index"), pl.col("text").str.strip_chars())


def _stand_ins(turns: Turns, short: pl.DataFrame) -> pl.DataFrame:
    """`index`, `text` of the short answers that stand for one where some answer must be there."""
    text, asked = pl.col("text"), pl.col("asked")
    likely = short.filter(text.str.contains(rf"{_STAND_IN}|{_EXPORT}"))
    likely = likely.with_columns(asked=turns.before(likely))
    ordered = asked.str.contains(ORDERS_TEXT) & ~asked.str.contains(_ANY_THERE)
    plain = asked.str.contains(PLAIN_QUESTION) & ~asked.str.contains(_MAY_BE_NONE)
    on_it = text.str.contains(_OF_FEW_LETTERS) & asked.str.contains(_ON_SHORT_FORMS)
    stands_in = text.str.contains(_STAND_IN) & (ordered | plain) & ~on_it
    # "Write a function that returns null", "If there is none, write none"
    word = text.str.extract(_EXPORT, 1).str.to_lowercase()
    on_word = asked.str.to_lowercase().str.contains(word, literal=True)
    return likely.filter(stands_in | (ordered & ~on_word).fill_null(False)).select("index", "text")


def _unasked(turns: Turns, never: pl.DataFrame) -> pl.DataFrame:
    """Those of these answers that no prompt orders to the letter, and no terminal prints."""
    asked = turns.prompts_of(never["index"]).group_by("index")
    joined = never.join(asked.agg(asked=pl.col("text").str.join("\n")), on="index", how="left")
    text = pl.col("asked").str.to_lowercase().str.replace_all("…", "...", literal=True)
    word = pl.col("text").str.to_lowercase().str.replace_all("…", "...", literal=True)
    bare = word.str.strip_chars(" \n\t\"'.!()[]<>")
    quoted = pl.concat_str(pl.lit('"'), word.str.strip_chars(" \n\t\"'"), pl.lit('"'))
    ordered = text.str.replace_all(_QUOTES, '"').str.contains(quoted, literal=True) | (
        (bare != "") & text.str.contains(bare, literal=True) & text.str.contains(_ORDERS_WORDS)
    )
    printed = word.str.contains("output") & text.str.contains(_OF_A_TERMINAL)
    return joined.filter(~(ordered | printed).fill_null(False))


def repeats_prompt(turns: Turns) -> Hits:
    """Records whose answer is the question or order before it, but for case and white space.

    A bare text may be its own answer: names that are in order, a sentence that is simple already.
    """
    pairs = turns.messages.with_columns(
        text=pl.col("text").str.strip_chars(), before=pl.col("text").shift(1).str.strip_chars()
    )
    # Equal texts have equal lengths, so case is folded on few rows.
    alike = pairs.filter(
        pl.col("role") == "assistant",
        pl.col("previous") == "user",
        pl.col("text").str.len_bytes() == pl.col("before").str.len_bytes(),
    )
    same = alike.filter(pl.col("text").str.to_lowercase() == pl.col("before").str.to_lowercase())
    # "Hello!" is answered by "Hello!"
    same = same.filter(pl.col("text").str.count_matches(r"\S+") > 2)
    same = same.filter(pl.col("before").str.contains(ASKS))
    # What a system prompt sets may leave a text as it is: "return it if it is correct".
    tasks = turns.prompts_of(same["index"]).filter(
        pl.col("role") == "system", pl.col("text").str.contains(_MAY_ECHO)
    )
    return Hits(same.filter(~pl.col("index").is_in(tasks["index"].implode())), pl.col("text"))


def unpaired_think(turns: Turns) -> Hits:
    """Records whose answer opens a reasoning block without closing it, or the reverse."""
    marked = turns.responses.filter(pl.col("plain").str.contains(r"</?think>"))
    opened, closed = (
        pl.col("plain").str.count_matches(tag, literal=True) for tag in ("<think>", "</think>")
    )
    return Hits(
        marked.filter(opened != closed), pl.format("{} <think>, {} </think>", opened, closed)
    )


def unclosed_fence(turns: Turns) -> Hits:
    """Records whose answer ends inside a fenced code block, however its fences are read.

    Answers with three backticks inside a line are left out: some dumps quote every word of code
    in them, or close a block at the end of its last line.
    """
    fences, all_ticks = (pl.col("text").str.count_matches(p) for p in (_FENCE, r"`{3,}|~{3,}"))
    fenced = turns.responses.filter(pl.col("text").str.contains(_FENCE))
    fenced = fenced.filter(fences == all_ticks)
    # Whether a fence line opens or closes depends on those before it; few rows have any.
    return faults(fenced, left_open, "text")


def cut_off(turns: Turns) -> Hits:
    """Records whose answer of 20 words or more stops in the middle of a sentence."""
    return long_ends(turns, pl.col("text").str.contains(_DANGLING))


def long_ends(turns: Turns, odd: pl.Expr) -> Hits:
    """Records whose last answer, of 20 words or more and without a call, is `odd`: its end."""
    found = turns.responses.filter(pl.col("last"), ~pl.col("called"), odd)
    long = found.filter(pl.col("text").str.count_matches(r"\S+") >= CUT_OFF_MIN_WORDS)
    return Hits(long, pl.col("text").str.strip_chars_end().str.tail(40))


def not_alternating(turns: Turns) -> Hits:
    """Records with two user messages or two plain assistant messages in a row."""
    twice = turns.messages.filter(
        pl.col("role") == pl.col("previous"), pl.col("role").is_in(["user", "assistant"])
    )
    return Hits(twice, pl.format("two {} messages in a row", pl.col("role")))
