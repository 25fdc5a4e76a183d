"""The rules for web pages decide as datatrove does, on the same text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.base.schema import with_text
from curate.pipeline.judging import judge
from filters.quality import web_rules
from filters.quality.filter import Quality
from filters.quality.rules import RULES

spacy = pytest.importorskip("spacy", reason="the rules for web pages need the extra `web`")

PAGE = (
    "The town lies on the river and the people of the town have to cross it every day. "
    "They go to work with the early boat, and most of them come home when it is dark. "
    "In the winter the river is frozen, so that they walk on the ice to the other side. "
    "Nobody remembers that the ice has ever broken under those who crossed it there. "
    "Still the children are told to stay with the others and never to go out alone."
)


def pages(*sets: str) -> dict[str, web_rules.PageRule]:
    """The rules of these sets, or of all."""
    return {
        slug: rule.page
        for slug, rule in RULES.items()
        if rule.page is not None and (not sets or rule.rule_set in sets)
    }


def fired(text: str, *sets: str) -> dict[str, str | None]:
    found = web_rules.page_rules(pl.Series([text]), pages(*sets))
    return {slug: column.item() for slug, column in found.items()}


def test_a_page_of_plain_sentences_passes_all_sets() -> None:
    assert set(fired(PAGE).values()) == {None}


@pytest.mark.parametrize(
    ("slug", "rule", "text"),
    [
        ("gopher_quality", "gopher_short_doc", "Paris is the capital."),
        ("gopher_quality", "gopher_too_many_hashes", PAGE + " #" * 20),
        ("gopher_quality", "gopher_too_many_ellipsis", PAGE.replace(".", "... ...")),
        ("gopher_quality", "gopher_too_many_bullets", "- " + PAGE.replace(". ", ".\n- ")),
        ("gopher_quality", "gopher_below_alpha_threshold", PAGE + " 12345" * 40),
        ("gopher_quality", "gopher_enough_stop_words", "large cities grow quickly " * 15),
        ("gopher_repetition", "empty", ""),
        ("gopher_repetition", "dup_line_frac", "one line\n" * 3 + PAGE),
        ("gopher_repetition", "dup_para_frac", "one line\n\n" * 3 + PAGE),
        ("gopher_repetition", "top_2_gram", "very good " * 8),
        ("c4", "too_few_sentences", "One sentence is here. Two are here."),
        ("c4", "curly_bracket", PAGE + " It is {so}."),
        ("c4", "lorem_ipsum", PAGE + " Lorem ipsum is here."),
        ("fineweb", "empty", " \n"),
        ("fineweb", "line_punct_ratio", "a list\nof things\nthat end in nothing"),
        ("fineweb", "short_line_ratio", "Short.\nLines.\nAll of them."),
        ("fineweb", "char_dup_ratio", f"{PAGE}\n{PAGE}"),
        ("fineweb", "list_ratio", "abcdefghijklmnopqrstuvwxyzabcde.\n" + "\n" * 9),
    ],
)
def test_each_rule_is_named_as_in_datatrove(slug: str, rule: str, text: str) -> None:
    found = fired(text)[slug]
    assert found is not None
    assert found.split(":")[0] == rule


def test_the_sets_are_off_unless_named(conversation: Any) -> None:
    rows = conversation(("Name a town.", "Paris."))
    assert Quality().judge(Quality().measure(rows)).verdicts["keep"].item()
    named = Quality(rules=("gopher",))
    judged = judge(named, rows).verdicts
    assert judged["reason"].item() == "gopher_quality"
    assert judged["evidence"].item() == "gopher_short_doc: 1 words, at least 50"


def test_a_set_can_be_told_to_report_only(conversation: Any) -> None:
    named = Quality(rules=("gopher",), report=("gopher_quality",), off=("gopher_repetition",))
    judged = judge(named, conversation(("Name a town.", "Paris."))).verdicts
    assert judged["keep"].item()
    assert judged["evidence"].item().startswith("gopher_quality: gopher_short_doc")


def test_a_misspelt_set_names_the_known_ones() -> None:
    with pytest.raises(CurateError, match="did you mean 'gopher'"):
        Quality(rules=("goofer",))


def test_dropping_by_a_set_that_is_not_measured_is_an_error() -> None:
    with pytest.raises(CurateError, match=r"only measured with rules: \[c4\]"):
        Quality(drop=("c4",))


def test_without_the_splitter_the_recipe_says_how_to_get_it(monkeypatch: Any) -> None:
    import importlib.util
    import sys

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "spacy", None)
    web_rules._english.cache_clear()
    with pytest.raises(CurateError, match=r'pip install "curate-sft\[web\]"'):
        Quality(rules=("c4",))
    web_rules._english.cache_clear()


@pytest.fixture(scope="module")
def theirs() -> dict[str, Callable[[str], str | None]]:
    filters = pytest.importorskip(
        "datatrove.pipeline.filters", reason="datatrove is not installed: nothing to compare with"
    )
    from contextlib import nullcontext

    from datatrove.data import Document
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    # It forgets all words after each text, to save memory; not here, to save minutes.
    load_word_tokenizer("eng").tokenizer.memory_zone = nullcontext

    def decision(judge: Any) -> Callable[[str], str | None]:
        def of(text: str) -> str | None:
            found = judge.filter(Document(text=text, id="0"))
            return None if found is True else str(found[1])

        return of

    return {
        "gopher_quality": decision(filters.GopherQualityFilter()),
        "gopher_repetition": decision(filters.GopherRepetitionFilter()),
        "c4": decision(filters.C4QualityFilter()),
        "fineweb": decision(filters.FineWebQualityFilter()),
    }


def same(texts: list[str], theirs: dict[str, Callable[[str], str | None]]) -> None:
    ours = web_rules.page_rules(pl.Series(texts), pages())
    # Text by text, as datatrove remembers the words of the last few texts only.
    for place, text in enumerate(texts):
        for slug, decide in theirs.items():
            found = ours[slug][place]
            assert (found and found.split(":")[0]) == decide(text), (slug, text[:80])


def test_the_lists_of_marks_are_datatroves(theirs: Any) -> None:
    from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION

    assert set(web_rules.TERMINAL) == TERMINAL_PUNCTUATION
    assert web_rules.PUNCTUATION == PUNCTUATION_SET


def test_odd_texts_are_decided_as_datatrove_does(theirs: Any) -> None:
    same(
        [
            "",
            " ",
            "\n\n\n",
            "...",
            "a" * 1200 + " is long.",
            "你好。" * 40,
            PAGE + "\u2028" + PAGE,
            PAGE.replace(" ", "\t"),
            "- a\r\n- b\r\n" * 30,
            PAGE + " [edit]\n[1] See our cookie policy here.",
            "don't can't U.S.A. e.g. https://a.b/c :-) 5km $3.50 " * 9,
        ],
        theirs,
    )


def test_two_thousand_real_answers_are_decided_as_datatrove_does(
    theirs: Any, test_data: Path
) -> None:
    from curate.sources import read

    texts: list[str] = []
    for name, rows in (
        ("alpaca_random_9k.json", 1700),
        ("code_alpaca_2k.json", 240),
        ("lima_1k.json", 20),
        ("alpaca_zh_demo.json", 40),
    ):
        records = with_text(read([str(test_data / "raw" / name)]).records)
        texts += records["response"].sample(rows, seed=0).to_list()
    assert len(texts) == 2000
    same(texts, theirs)
