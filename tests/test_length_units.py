from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.base.schema import with_text
from curate.pipeline.judging import judge
from filters.length.filter import Length
from filters.mix.filter import Mix
from filters.selection.filter import Select


def lengths(records: pl.DataFrame, **settings: Any) -> list[int]:
    return Length(action="report", **settings).measure(records)["length"].to_list()


def finished(records: pl.DataFrame) -> list[bool]:
    return Length(action="report").measure(records)["finished"].to_list()


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """Every character is a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = {letter: number for number, letter in enumerate(" abcdefghijklmnopqrstuvwxyz")}
    made = Tokenizer(models.WordLevel(letters | {"?": 99}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.enable_truncation(4)
    made.enable_padding(length=50)
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def turns(*contents: str) -> list[dict[str, str]]:
    return [
        {"role": "user" if at % 2 == 0 else "assistant", "content": content}
        for at, content in enumerate(contents)
    ]


def test_words_are_what_white_space_separates(conversation: Any) -> None:
    records = conversation(("hi", "one two\n three"), ("hi", "- a - b"), ("hi", ""), ("hi", "  "))
    assert lengths(records) == [3, 4, 0, 0]


def test_a_chinese_character_is_a_word(conversation: Any) -> None:
    records = conversation(
        ("你好", "我很好，谢谢。"), ("hi", "准确性 (zhǔnquè xìng)."), ("hi", "カタカナ")
    )
    assert lengths(records) == [5, 5, 4]


def test_characters_are_counted_not_bytes(conversation: Any) -> None:
    assert lengths(conversation(("hi", "né 你")), unit="chars") == [4]


def test_tokens_include_one_end_token_per_answer(conversation: Any, tokenizer: Path) -> None:
    records = conversation(("hi", "abc"), ("hi", ""))
    assert lengths(records, unit="tokens", tokenizer=str(tokenizer)) == [4, 1]


def test_a_tokenizer_that_truncates_and_pads_is_used_without_either(
    conversation: Any, tokenizer: Path
) -> None:
    records = conversation(("hi", "abcdefghijkl"))
    file = str(tokenizer / "tokenizer.json")
    assert lengths(records, unit="tokens", tokenizer=file) == [13]


def test_the_length_of_a_turn_is_the_average_answer(conversation: Any, tokenizer: Path) -> None:
    records = conversation(("hi", "x"), messages=[turns("hi", "a b", "more", "c d e")])
    assert lengths(records) == [5]
    assert lengths(records, of="turn") == [3]
    of_tokens = {"unit": "tokens", "tokenizer": str(tokenizer)}
    assert lengths(records, **of_tokens) == [3 + 5 + 2 + 2]  # two characters join the answers
    assert lengths(records, **of_tokens, of="turn") == [6]


COUNTED = "tokens of an answer include its end token, one for each assistant turn"


def test_steps_that_count_tokens_of_answers_say_that_end_tokens_are_among_them(
    conversation: Any, tokenizer: Path
) -> None:
    records = conversation(("a", "xx"), ("b", "xyz"), ("c", "x"), score=[3.0, 2.0, 1.0])
    given = {"tokenizer": str(tokenizer)}
    spent = Select(budget=7, budget_in="tokens", **given)  # type: ignore[arg-type]
    # 2 + 1 and 3 + 1: without end tokens the last row would fit, too.
    assert judge(spent, records).verdicts["keep"].to_list() == [True, True, False]
    for step in (
        spent,
        Select(budget=2, **given),  # type: ignore[arg-type]
        Mix(unit="tokens", budget=9, **given),  # type: ignore[arg-type]
        Length(action="report", unit="tokens", **given),  # type: ignore[arg-type]
        Length(action="report", unit="tokens", of="turn", **given),  # type: ignore[arg-type]
    ):
        assert judge(step, records).findings.sentences[-1] == COUNTED, step


def test_where_no_end_token_is_counted_none_is_spoken_of(
    conversation: Any, tokenizer: Path
) -> None:
    records = conversation(("a", "xx"), ("b", "xyz"), score=[2.0, 1.0])
    for step in (
        Select(budget=3, budget_in="words"),
        Mix(unit="chars", budget=9),
        Mix(),
        Length(action="report"),
        Length(action="report", of="prompt", unit="tokens", tokenizer=str(tokenizer)),
    ):
        assert COUNTED not in judge(step, records).findings.sentences, step


def test_the_length_of_a_prompt_has_no_end_token(conversation: Any, tokenizer: Path) -> None:
    records = conversation(("two words", "one"))
    assert lengths(records, of="prompt") == [2]
    assert lengths(records, of="prompt", unit="tokens", tokenizer=str(tokenizer)) == [9]


def test_a_tool_call_is_an_answer_of_its_own_length(conversation: Any) -> None:
    call = [{"role": "user", "content": "weather?"}, {"role": "assistant", "content": None}]
    call[1]["tool_calls"] = '[{"name": "weather", "arguments": {"city": "Oslo"}}]'
    records = conversation(("hi", "x"), messages=[call])
    assert lengths(records) == [5]
    assert Length(min=1).judge(judge_frame(records)).verdicts["keep"].to_list() == [True]


def judge_frame(records: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([records.select("row", "id"), Length().measure(records)], how="horizontal")


def test_a_record_without_an_answer_has_length_zero(conversation: Any) -> None:
    records = with_text(conversation(("hi", "x"), messages=[turns("only a question")]))
    assert lengths(records) == [0]
    assert lengths(records, of="turn") == [0]


def test_an_answer_that_stops_in_mid_sentence_is_unfinished(conversation: Any) -> None:
    ends = [
        "It is done.",
        "It is",
        "```\ncode\n```",
        "(yes)",
        "完了。",
        "He said “go”\n",
        "and the",
        "",
    ]
    records = conversation(*(("hi", end) for end in ends))
    assert finished(records) == [True, False, True, True, True, True, False, True]


def test_only_the_last_answer_has_to_be_finished(conversation: Any) -> None:
    records = conversation(("hi", "x"), messages=[turns("hi", "well", "go on", "Done.")])
    assert finished(records) == [True]


def test_tokens_without_a_tokenizer_are_refused() -> None:
    with pytest.raises(CurateError, match=r"unit: tokens and a tokenizer .* go together"):
        Length(unit="tokens")


def test_a_tokenizer_without_unit_tokens_is_refused(tokenizer: Path) -> None:
    with pytest.raises(CurateError, match=r"unit: tokens and a tokenizer .* go together"):
        Length(tokenizer=str(tokenizer))


def test_a_missing_tokenizer_is_refused_when_the_recipe_is_read(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match=r"no tokenizer at .*tokenizer\.json"):
        Length(unit="tokens", tokenizer=str(tmp_path))


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CurateError, match="no readable tokenizer"):
        Length(unit="tokens", tokenizer=str(tmp_path))


def test_another_tokenizer_under_the_same_name_is_another_measure(tokenizer: Path) -> None:
    step = Length(unit="tokens", tokenizer=str(tokenizer))
    before = step.fingerprint
    file = tokenizer / "tokenizer.json"
    file.write_text(file.read_text() + " ")
    assert step.fingerprint != before


def test_a_real_tokenizer_counts_as_its_own_library_does(
    conversation: Any, test_data: Path
) -> None:
    from tokenizers import Tokenizer

    folder = test_data / "tokenizers" / "gpt-neox-olmo"
    text = "Byte-pair encoding splits unusual words: antidisestablishmentarianism."
    expected = len(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids) + 1
    assert lengths(conversation(("hi", text)), unit="tokens", tokenizer=str(folder)) == [expected]
