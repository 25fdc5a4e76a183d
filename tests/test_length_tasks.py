from __future__ import annotations

import io
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.common.tasks import pool, task_groups, tasks

WRAPPER = (
    "Below is an instruction that describes a task. Write a response that appropriately"
    " completes the request. ### Instruction: "
)


def first_words(conversation: Any, *prompts: str) -> list[str]:
    return tasks(conversation(*((prompt, "x") for prompt in prompts)))["task"].to_list()


def asked(conversation: Any, *prompts: str) -> list[str]:
    return tasks(conversation(*((prompt, "x") for prompt in prompts)))["asks"].to_list()


def test_the_task_is_the_first_word_in_lower_case(conversation: Any) -> None:
    prompts = ("Write a poem", "  **Explain** this", "What's new?", "", "1. List", "Re-write it")
    expected = ["write", "explain", "what's", "", "1", "re-write"]
    assert first_words(conversation, *prompts) == expected


def test_polite_openers_are_passed_over(conversation: Any) -> None:
    prompts = (
        "Please write a poem", "Hello, can you please explain X?", "I'd like you to list",
        "Canada is big", "Help me to find it",
    )  # fmt: skip
    expected = ["write", "explain", "list", "canada", "find"]
    assert first_words(conversation, *prompts) == expected


def test_a_prompt_wrapper_is_no_part_of_the_task(conversation: Any) -> None:
    prompts = (WRAPPER + "Name a bird.", WRAPPER + "\nSort it.\n\n### Input:\n2 1\n\n### Response:")
    assert first_words(conversation, *prompts) == ["name", "sort"]
    found = tasks(conversation(*((prompt, "x") for prompt in prompts)))
    assert found["has_input"].to_list() == [False, True]


def test_without_spaces_two_characters_stand_for_the_word(conversation: Any) -> None:
    assert first_words(conversation, "写一首诗", "写一个故事", "翻译：你好") == [
        "写一",
        "写一",
        "翻译",
    ]


def test_text_after_the_first_line_is_input(conversation: Any) -> None:
    prompts = ("Sort it\n\n2 1", "Sort it", "Sort it\n", "\n\nSort it\n  ", "Sort\nthis")
    found = tasks(conversation(*((prompt, "x") for prompt in prompts)))
    assert found["has_input"].to_list() == [True, False, False, False, True]


@pytest.mark.parametrize(
    "prompt",
    [
        "Summarize it in 3 sentences.",
        "Write a 300-word article",
        "Answer in one word",
        "Describe love in no more than fifty words.",
        "Describe it using at most 2 to 3 sentences",
        "Write a story, 100 words or less",
        "Give a two-sentence answer",
        "Explain within 1,000 characters",
    ],
)
def test_a_counted_length_is_a_request(conversation: Any, prompt: str) -> None:
    assert asked(conversation, prompt) == ["count"]


def test_brief_and_long_are_requests_too(conversation: Any) -> None:
    prompts = (
        "Briefly explain rain", "Is it true or false?", "Give a one-word answer",
        "Explain rain in detail", "Write a comprehensive guide",
    )  # fmt: skip
    assert asked(conversation, *prompts) == ["brief", "brief", "count", "long", "long"]


def test_words_about_words_are_no_request(conversation: Any) -> None:
    prompts = (
        "Combine the two sentences.", "Find the missing word", "Edit this sentence",
        "Add a paragraph", "What is the longest word?", "Name five fruits", "Write a story",
    )  # fmt: skip
    assert asked(conversation, *prompts) == [""] * 7


def test_a_request_at_the_end_of_a_long_prompt_is_found(conversation: Any) -> None:
    middle = "Some context here. " * 200
    assert asked(conversation, f"Read this. {middle} Answer in two sentences.") == ["count"]
    assert asked(conversation, f"Read this. {middle} in two sentences {middle}") == [""]


def test_only_the_users_first_message_names_the_task(conversation: Any) -> None:
    messages = [
        {"role": "system", "content": "You answer in one word."},
        {"role": "user", "content": "Name a bird"},
        {"role": "assistant", "content": "Robin"},
        {"role": "user", "content": "Write about it in 3 sentences"},
    ]
    records = conversation(("x", "y"), messages=[messages])
    assert tasks(records).row(0) == ("name", False, "")


def test_a_first_word_is_told_apart_by_its_first_forty_characters(conversation: Any) -> None:
    word = "x" * 40
    records = conversation((word + "a", "y"), (word + "b", "y"), ("x" * 39 + "a", "y"))
    assert tasks(records)["task"].to_list() == [word, word, "x" * 39 + "a"]


def test_codes_are_the_same_names_in_whatever_order_they_were_seen(conversation: Any) -> None:
    prompts = ["Sort this", "List that", "Add one", "List them"]
    records = conversation(*((prompt, "x") for prompt in prompts))
    whole = tasks(records)
    parts = pl.concat([tasks(records[3:]), tasks(records[:3])])
    assert parts.equals(whole[[3, 0, 1, 2]])
    stored = io.BytesIO()
    parts.write_ipc(stored)
    stored.seek(0)
    assert pl.read_ipc(stored).equals(parts)
    assert whole["task"].sort().to_list() == ["add", "list", "list", "sort"]


def frame(*rows: tuple[str, bool, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["task", "has_input", "asks"], orient="row")


def test_kinds_of_request_with_enough_rows_are_told_apart() -> None:
    rows = [("write", False, "")] * 3 + [("write", True, "")] * 3 + [("write", False, "brief")] * 3
    groups = task_groups(frame(*rows), 3).to_list()
    assert groups == ["write"] * 3 + ["write+input"] * 3 + ["write:brief"] * 3


def test_rare_kinds_are_pooled_step_by_step() -> None:
    rows = [("write", False, "")] * 2 + [("write", True, "")]
    assert task_groups(frame(*rows), 3).to_list() == ["write*"] * 3
    rows = [("write", False, ""), ("write", True, ""), ("write", True, "long")]
    assert task_groups(frame(*rows), 3).to_list() == ["write*:*"] * 3
    rows = [("write", False, "brief"), ("name", False, "brief"), ("sort", True, "brief")]
    assert task_groups(frame(*rows), 3).to_list() == ["(other):brief"] * 3
    rows = [("write", False, "brief"), ("name", False, ""), ("sort", True, "long")]
    assert task_groups(frame(*rows), 3).to_list() == ["(rest)"] * 3


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.booleans(), st.sampled_from(["", "brief"])),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 6),
    st.randoms(use_true_random=False),
)
def test_dropping_rows_above_the_minimum_moves_no_row_to_another_group(
    rows: list[tuple[str, bool, str]], least: int, random: Any
) -> None:
    before = frame(*rows).with_columns(group=task_groups(frame(*rows), least))
    kept = []
    for _, group in before.with_row_index().group_by("group", maintain_order=True):
        members = group["index"].to_list()
        kept += random.sample(members, random.randint(min(least, len(members)), len(members)))
    after = before[sorted(kept)]
    assert task_groups(after, least).to_list() == after["group"].to_list()


def test_a_rest_may_be_smaller_than_the_minimum() -> None:
    assert pool([pl.Series(["a", "a", "b"])], 2).to_list() == ["a", "a", "(rest)"]
