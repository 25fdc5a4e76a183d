"""What each fix changes, what it leaves alone, and that every edit is named."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.base.contract import Fix
from curate.base.errors import CurateError
from curate.base.schema import MESSAGE_FIELDS, RECORDS
from filters.fixes.pii import MaskPII
from filters.fixes.rewrite import RepairEncoding, StripEndToken, UnwrapPrompt
from filters.fixes.thoughts import InlineThink

FIXES = (UnwrapPrompt(), StripEndToken(), RepairEncoding(), InlineThink(), MaskPII())
PREAMBLE = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
)
PREAMBLE_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request."
)


def fixed(fix: Fix, rows: pl.DataFrame) -> tuple[list[str], str | None]:
    """The contents of the first row's messages after the fix, and its reason."""
    frame = fix.fix(rows)
    return [message["content"] for message in frame["messages"][0]], frame["edited"][0]


WRAPPED = [
    (f"{PREAMBLE}\n\n### Instruction:\nName a river.\n\n### Response:", "Name a river."),
    (f"{PREAMBLE} ### Instruction: Name a river.", "Name a river."),
    (
        f"{PREAMBLE_INPUT}\n\n### Instruction:\nSum.\n\n### Input:\n1 2\n\n### Response:\n",
        "Sum.\n\n1 2",
    ),
    (f"{PREAMBLE_INPUT} ### Instruction: Sum. ### Input: 1 2", "Sum.\n\n1 2"),
    ("### Instruction:\nName a river.\n### Response:", "Name a river."),
    (f"{PREAMBLE} ### Instruction: Sum. ### Input: ### Response:", "Sum."),
    ("[INST] Name a river. [/INST]", "Name a river."),
    ("<s>[INST] Name a river. [/INST]", "Name a river."),
    ("<|im_start|>user\nName a river.<|im_end|>\n<|im_start|>assistant\n", "Name a river."),
    ("Human: Name a river.\n\nAssistant:", "Name a river."),
    ("### Human: Name a river.### Assistant:", "Name a river."),
]


@pytest.mark.parametrize(("wrapped", "inner"), WRAPPED)
def test_a_wrapped_prompt_is_unwrapped(conversation: Any, wrapped: str, inner: str) -> None:
    contents, edited = fixed(UnwrapPrompt(), conversation((wrapped, "Rhine.")))
    assert contents == [inner, "Rhine."]
    assert edited in UnwrapPrompt.reasons


@pytest.mark.parametrize(
    "prompt",
    [
        "Name a river.",
        "Explain what '### Instruction:' means.",
        f"{PREAMBLE} ### Instruction: A ### Response: B ### Instruction: C ### Response:",
        "[INST] Hi [/INST] Hello [INST] Bye [/INST]",
        "Human: Hi\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant:",
        f"{PREAMBLE} ### Instruction: ### Response:",
    ],
)
def test_other_prompts_stay_as_they_are(conversation: Any, prompt: str) -> None:
    contents, edited = fixed(UnwrapPrompt(), conversation((prompt, "Rhine.")))
    assert contents == [prompt, "Rhine."]
    assert edited is None


def test_only_the_user_is_unwrapped(conversation: Any) -> None:
    text = "### Instruction:\nName a river.\n### Response:"
    contents, edited = fixed(UnwrapPrompt(), conversation(("Show the template.", text)))
    assert contents[1] == text
    assert edited is None


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Rhine.<|endoftext|>", "Rhine."),
        ("Rhine. </s>", "Rhine."),
        ("Rhine.\n<|im_end|>\n", "Rhine."),
        ("Rhine.<|eot_id|><|end_of_text|>", "Rhine."),
        ("Rhine.<end_of_turn>\n", "Rhine."),
        ("<|endoftext|>", ""),
    ],
)
def test_a_trailing_end_token_is_cut(conversation: Any, text: str, clean: str) -> None:
    contents, edited = fixed(StripEndToken(), conversation(("Name a river.", text)))
    assert contents == ["Name a river.", clean]
    assert edited == "end_token"


@pytest.mark.parametrize(
    "text",
    ["Rhine.", "The token <|endoftext|> ends it.", "It cost <s>5</s>", "Rhine. \n", "Use `</s>`"],
)
def test_text_that_does_not_end_in_a_token_is_left(conversation: Any, text: str) -> None:
    contents, edited = fixed(StripEndToken(), conversation(("Name a river.", text)))
    assert contents[1] == text
    assert edited is None


def test_own_end_tokens_are_cut_literally(conversation: Any) -> None:
    contents, edited = fixed(
        StripEndToken(tokens=("[EOS]", "(*)")), conversation(("a", "b (*)[EOS]"))
    )
    assert (contents[1], edited) == ("b", "end_token")


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("cafÃ© au lait", "café au lait"),
        ("Itâ€™s fine", "It’s fine"),
        ("ðŸ˜€ hi", "😀 hi"),
        ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "привет"),
    ],
)
def test_mojibake_is_repaired(conversation: Any, broken: str, whole: str) -> None:
    contents, edited = fixed(RepairEncoding(), conversation(("Say it.", broken)))
    assert contents == ["Say it.", whole]
    assert edited == "repaired_encoding"


@pytest.mark.parametrize(
    "text", ["café “quoted” — 5 £", "l’été à Paris", "Ångström…", "&amp; ﬁne", "привет", "你好"]
)
def test_sound_text_is_not_repaired(conversation: Any, text: str) -> None:
    contents, edited = fixed(RepairEncoding(), conversation((text, text)))
    assert contents == [text, text]
    assert edited is None


@pytest.mark.parametrize(
    ("text", "masked", "reason"),
    [
        ("Write to jo.doe@mail.org.", "Write to [EMAIL].", "masked_email"),
        ("Call (212) 736-5000 now", "Call [PHONE] now", "masked_phone"),
        ("Call 212-736-5000.", "Call [PHONE].", "masked_phone"),
        ("Call +44 20 7946 0958", "Call [PHONE]", "masked_phone"),
        ("Call 030 2270 4815", "Call [PHONE]", "masked_phone"),
        ("Host 93.184.216.34 is up", "Host [IP] is up", "masked_ip"),
        ("Host 2606:2800:220:1:248:1893:25c8:1946", "Host [IP]", "masked_ip"),
        ("Pay with 4111 1111 1111 1111", "Pay with [CARD]", "masked_card"),
        ("Pay with 5500-0000-0000-0004.", "Pay with [CARD].", "masked_card"),
        ("Mail a@b.io or call 212-736-5000", "Mail [EMAIL] or call [PHONE]", "masked_several"),
    ],
)
def test_personal_data_is_masked(conversation: Any, text: str, masked: str, reason: str) -> None:
    contents, edited = fixed(MaskPII(), conversation((text, "Done.")))
    assert contents == [masked, "Done."]
    assert edited == reason


@pytest.mark.parametrize(
    "text",
    [
        "Write to user@example.com or git@github.com:a/b",
        "Call 555-0123 or (212) 555-0199 or 123-456-7890",
        "Use 127.0.0.1, 192.168.0.1, 10.0.0.7 or 203.0.113.9",
        "Use the resolver 8.8.8.8",
        "Version 1.7.7.3 and section 15.12.2.7",
        "At 10:20:30 it was 2020-10-12",
        "The number 4111 1111 1111 1112 has no valid check digit",
        "212-736-5000 = -5524",
        "It costs $4111111111111111",
        "```\ncall('212-736-5000')  # 93.184.216.34\n```",
        "3.14159265358979 and 1234567890123456",
        "std::vector<a::b> x; @decorator",
        "ISBN 978-3-16-148410-0",
    ],
)
def test_what_is_no_personal_data_is_left(conversation: Any, text: str) -> None:
    contents, edited = fixed(MaskPII(), conversation((text, text)))
    assert contents == [text, text]
    assert edited is None


def test_only_the_kinds_asked_for_are_masked(conversation: Any) -> None:
    rows = conversation(("Mail a@b.io or call 212-736-5000", "Done."))
    contents, edited = fixed(MaskPII(kinds=("phone",)), rows)
    assert contents[0] == "Mail a@b.io or call [PHONE]"
    assert edited == "masked_phone"


def test_a_tool_call_is_masked_like_the_text_it_repeats(conversation: Any) -> None:
    call = json.dumps([{"name": "mail", "arguments": {"to": ["a@b.io"], "n": 4111111111111111}}])
    rows = with_turns(
        conversation,
        {"role": "user", "content": "Mail a@b.io"},
        {"role": "assistant", "content": "", "tool_calls": call},
    )
    frame = MaskPII().fix(rows)
    assert json.loads(frame["messages"][0][1]["tool_calls"]) == [
        {"name": "mail", "arguments": {"to": ["[EMAIL]"], "n": 4111111111111111}}
    ]
    assert frame["edited"].to_list() == ["masked_email"]


def with_turns(conversation: Any, *turns: dict[str, Any], rejected: Any = None) -> pl.DataFrame:
    rows: pl.DataFrame = conversation(("a", "b"))
    full = [dict.fromkeys(MESSAGE_FIELDS) | turn for turn in turns]
    return rows.with_columns(
        messages=pl.Series([full], dtype=RECORDS["messages"]),
        rejected=pl.Series([rejected], dtype=RECORDS["rejected"]),
    )


def test_all_other_fields_of_a_message_survive_an_edit(conversation: Any) -> None:
    turn = {
        "role": "assistant",
        "content": "Rhine.</s>",
        "reasoning": "rivers",
        "name": "bot",
        "tool_calls": "[]",
        "tool_call_id": "c1",
        "weight": 0.5,
    }
    rows = with_turns(conversation, {"role": "user", "content": "Hi"}, turn)
    frame = StripEndToken().fix(rows)
    assert frame["messages"][0][1] == turn | {"content": "Rhine."}
    assert frame["messages"][0][0]["content"] == "Hi"


def test_the_losing_answer_of_a_pair_is_fixed_too(conversation: Any) -> None:
    losing = [{"role": "assistant", "content": "Seine.</s>"}]
    rows = with_turns(conversation, {"role": "user", "content": "Hi"}, rejected=losing)
    frame = StripEndToken().fix(rows)
    assert frame["rejected"][0][0]["content"] == "Seine."
    assert frame["edited"].to_list() == ["end_token"]


@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: fix.name)
def test_rows_without_anything_to_fix_come_back_as_they_were(conversation: Any, fix: Fix) -> None:
    rows = conversation(("Name a river.", "Rhine."), ("Sum 1 2", "3"), ("", ""))
    frame = fix.fix(rows)
    assert frame.drop("edited").equals(rows)
    assert frame["edited"].is_null().all()


@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: fix.name)
def test_a_fix_of_no_rows_gives_no_rows(conversation: Any, fix: Fix) -> None:
    frame = fix.fix(conversation())
    assert frame.height == 0
    assert frame.schema["edited"] == pl.String


@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: fix.name)
def test_edited_rows_are_found_among_others_and_a_second_pass_changes_nothing(
    conversation: Any, fix: Fix
) -> None:
    rows = conversation(
        ("Hi", "Hello."),
        ("[INST] Hi [/INST]", "<think>Hm.</think>Hello, cafÃ© a@b.io</s>"),
        ("Bye", "Bye."),
    )
    once = fix.fix(rows)
    assert once["edited"].is_not_null().to_list() == [False, True, False]
    assert once.drop("edited", "messages").equals(rows.drop("messages"))
    twice = fix.fix(once.drop("edited"))
    assert twice["edited"].is_null().all()
    assert twice.drop("edited").equals(once.drop("edited"))


def test_every_reason_given_is_a_known_one(conversation: Any) -> None:
    rows = conversation(*((wrapped, "Rhine.") for wrapped, _ in WRAPPED))
    assert set(UnwrapPrompt().fix(rows)["edited"]) == set(UnwrapPrompt.reasons)


def test_an_unknown_kind_of_personal_data_is_an_error() -> None:
    with pytest.raises(CurateError, match=r"one of email, phone, ip, card; did you mean 'email'"):
        MaskPII(kinds=("mail",))
    with pytest.raises(CurateError, match="kinds is empty"):
        MaskPII(kinds=())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(alphabet="a1@.[]{}<s>/ |#:+-5\n", max_size=40), min_size=1, max_size=5))
def test_no_text_breaks_a_fix(texts: list[str]) -> None:
    turns = [dict.fromkeys(MESSAGE_FIELDS) | {"role": "user", "content": text} for text in texts]
    empty = {name: [None] for name in RECORDS if name != "messages"}
    rows = pl.DataFrame({"messages": [turns], **empty}, schema_overrides=dict(RECORDS))
    for fix in FIXES:
        frame = fix.fix(rows)
        assert [message["role"] for message in frame["messages"][0]] == ["user"] * len(texts)
