"""What people export from their accounts of ChatGPT and Claude."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.sources import FORMATS, read, read_rows


def reading(row: Any) -> list[dict[str, Any]]:
    """The messages of a row, without what they do not have."""
    dump = read_rows([row])
    assert dump.rejects.height == 0, dump.rejects["reason"].to_list()
    messages = dump.records["messages"][0].to_list()
    return [{key: turn[key] for key in turn if turn[key] is not None} for turn in messages]


def said(row: Any) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in reading(row)]


def refused(row: Any) -> str:
    dump = read_rows([row, {"prompt": "a", "completion": "b"}])
    assert dump.rejects["line"].to_list() == [1]
    return str(dump.rejects["reason"][0])


def notes(name: str, row: Any) -> str:
    return "; ".join(FORMATS[name].convert(row)[0].notes)


def text(*parts: Any) -> dict[str, Any]:
    return {"content_type": "text", "parts": list(parts)}


def message(role: str, content: Any, name: str | None = None, **more: Any) -> dict[str, Any]:
    author = {"role": role, "name": name, "metadata": {}}
    return {"author": author, "content": content, "recipient": "all", "weight": 1.0, **more}


ROOT = {"id": "root", "message": None, "parent": None, "children": ["m0"]}
EMPTY = message("system", text(""), metadata={"is_visually_hidden_from_conversation": True})
ASKED = message("user", text("High water?"), create_time=2.0)
ANSWER = message("assistant", text("At six."), create_time=3.0)
TALK = [("user", "High water?"), ("assistant", "At six.")]


def chain(*messages: Any, **more: Any) -> dict[str, Any]:
    """A conversation without branches."""
    names = ["root", *(f"m{number}" for number in range(len(messages)))]
    nodes = {
        name: {"id": name, "message": each, "parent": above, "children": []}
        for above, name, each in zip(names, names[1:], messages, strict=False)
    }
    return {"title": "Tides", "mapping": {"root": ROOT, **nodes}, "current_node": names[-1], **more}


def test_an_export_of_chatgpt_is_an_array_of_conversations(tmp_path: Path) -> None:
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([chain(EMPTY, ASKED, ANSWER), chain(ASKED, ANSWER, id="2")]))
    dump = read([str(path)])
    assert dump.files[0].formats == {"chatgpt-export": 2}
    for row, rest in enumerate([{"title": "Tides"}, {"title": "Tides", "id": "2"}]):
        turns = dump.records["messages"][row].to_list()
        assert [(turn["role"], turn["content"]) for turn in turns] == TALK
        assert json.loads(dump.records["meta"][row]) == rest


def test_only_the_branch_that_ends_in_the_current_node_is_read() -> None:
    row = chain(ASKED, ANSWER)
    other = message("assistant", text("At nine."), create_time=9.0)
    row["mapping"]["x"] = {"message": other, "parent": "m0", "children": []}
    assert said(row) == TALK
    assert said({**row, "current_node": "x"})[1] == ("assistant", "At nine.")
    for missing in (None, "gone"):
        unnamed = {**row, "current_node": missing}
        assert said(unnamed)[1] == ("assistant", "At nine.")
        assert "its latest branch is taken" in notes("chatgpt-export", unnamed)


def test_code_for_a_tool_is_a_call_and_its_output_a_result() -> None:
    thought = {"content_type": "thoughts", "thoughts": [{"summary": "Sum", "content": "Add them."}]}
    recap = {"content_type": "reasoning_recap", "content": "Thought for 2 seconds"}
    code = {"content_type": "code", "language": "unknown", "text": "print(1 + 2)"}
    output = {"content_type": "execution_output", "text": "3"}
    row = chain(
        message("user", text("1 + 2?")),
        message("assistant", thought),
        message("assistant", text("Let me see."), weight=1.0),
        message("assistant", code, recipient="python"),
        message("tool", output, "python"),
        message("assistant", recap),
        message("assistant", text("Three."), weight=0),
    )
    assert reading(row)[1:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "reasoning": "Add them.",
            "tool_calls": '[{"name":"python","arguments":{"code":"print(1 + 2)"}}]',
        },
        {"role": "tool", "content": "3", "name": "python"},
        {"role": "assistant", "content": "Three.", "weight": 0.0},
    ]


def test_json_for_a_tool_is_its_arguments() -> None:
    code = {"content_type": "code", "text": '{"query": "tide"}'}
    quote = {"content_type": "tether_quote", "text": "06:10", "url": "x"}
    row = chain(
        ASKED,
        message("assistant", code, recipient="browser.search"),
        message("tool", quote, "browser"),
        ANSWER,
    )
    calls = '[{"name":"browser.search","arguments":{"query":"tide"}}]'
    assert reading(row)[1]["tool_calls"] == calls
    assert reading(row)[2] == {"role": "tool", "content": "06:10", "name": "browser"}


def test_custom_instructions_are_the_system_prompt_and_hidden_messages_none() -> None:
    context = {
        "content_type": "user_editable_context",
        "user_profile": "I sail.",
        "user_instructions": "Be brief.",
    }
    hidden = {"metadata": {"is_visually_hidden_from_conversation": True}}
    row = chain(
        EMPTY,
        message("user", context, **hidden),
        ASKED,
        message("tool", text("x"), **hidden),
        ANSWER,
    )
    assert said(row) == [("system", "I sail.\n\nBe brief."), *TALK]
    assert notes("chatgpt-export", row) == (
        "custom instructions are the system prompt; messages that are hidden or empty are left out"
    )


def test_a_spoken_question_is_read_by_its_transcription() -> None:
    sound = {"content_type": "audio_asset_pointer", "asset_pointer": "x"}
    words = {"content_type": "audio_transcription", "text": "High water?"}
    spoken = {"content_type": "multimodal_text", "parts": [words, sound]}
    assert said(chain(message("user", spoken), ANSWER)) == TALK


def test_an_answer_that_was_interrupted_is_said_to_break_off() -> None:
    cut = {**ANSWER, "metadata": {"finish_details": {"type": "interrupted"}}}
    assert "breaks off (interrupted)" in notes("chatgpt-export", chain(ASKED, cut))


def odd_parent(parent: Any) -> dict[str, Any]:
    row = chain(ASKED, ANSWER)
    row["mapping"]["m0"]["parent"] = parent
    return row


IMAGE = {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}]}
FILE = {"metadata": {"attachments": [{"name": "tides.pdf"}]}}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (odd_parent("m1"), "orphan: the branch that ends in message m1 runs in a circle"),
        (odd_parent("gone"), "orphan: the branch that ends in message m1 lacks its message gone"),
        (odd_parent([1]), "wrong_type: the parent of message m0 is a list"),
        (chain(message("user", IMAGE), ANSWER), "part 1 of type 'image_asset_pointer'"),
        (chain({**ASKED, **FILE}, ANSWER), "message 2 has the file 'tides.pdf'"),
        (chain(message("user", {"content_type": "app_pairing"}), ANSWER), "type 'app_pairing'"),
        (chain(message("user", text(3)), ANSWER), "part 1 of type the number 3"),
        (chain({**ASKED, "author": "me"}, ANSWER), "message 2 author is the text 'me'"),
        (chain(3, ANSWER), "message 2 is the number 3"),
        (chain(ASKED), "no_answer"),
        (chain(EMPTY), "empty_conversation"),
    ],
)
def test_odd_conversations_of_chatgpt_are_rejects(row: Any, reason: str) -> None:
    assert reason in refused(row)


def claude(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"uuid": "c", "name": "Tides", "chat_messages": list(messages), **more}


def human(words: str, **more: Any) -> dict[str, Any]:
    block = {"type": "text", "text": words}
    return {"sender": "human", "text": words, "content": [block], **more}


def answer(*blocks: Any, **more: Any) -> dict[str, Any]:
    return {"sender": "assistant", "text": "(cut short)", "content": list(blocks), **more}


SIX = {"type": "text", "text": "At six."}


@pytest.mark.parametrize("several", [True, False])
def test_an_export_of_claude_is_one_conversation_or_an_array(tmp_path: Path, several: bool) -> None:
    row = claude(human("High water?"), answer(SIX))
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([row, row] if several else row, indent=2))
    dump = read([str(path)])
    assert dump.files[0].formats == {"claude-export": 2 if several else 1}
    turns = dump.records["messages"][0].to_list()
    assert [(turn["role"], turn["content"]) for turn in turns] == TALK


def test_blocks_of_claude_become_reasoning_calls_and_results() -> None:
    page = {"type": "knowledge", "title": "Tides", "url": "https://t.example", "text": "06:10"}
    row = claude(
        human("High water?", weight=0),
        answer(
            {"type": "thinking", "thinking": "Look it up."},
            {"type": "tool_use", "name": "web_search", "input": {"query": "tide"}},
            {"type": "tool_result", "name": "web_search", "content": [page]},
            {"type": "token_budget"},
            SIX,
        ),
    )
    assert reading(row) == [
        {"role": "user", "content": "High water?", "weight": 0.0},
        {
            "role": "assistant",
            "content": "",
            "reasoning": "Look it up.",
            "tool_calls": '[{"name":"web_search","arguments":{"query":"tide"}}]',
        },
        {
            "role": "tool",
            "content": "Tides\nhttps://t.example\n06:10",
            "name": "web_search",
        },
        {"role": "assistant", "content": "At six."},
    ]


def test_the_text_of_an_attached_file_stands_before_the_question() -> None:
    attached = [{"file_name": "tides.txt", "extracted_content": "06:10 high"}]
    asks = human("High water?", attachments=attached, files=[{"file_name": "tides.txt"}])
    row = claude(asks, answer(SIX))
    assert said(row)[0] == ("user", "tides.txt\n\n06:10 high\n\nHigh water?")
    assert "attached files" in notes("claude-export", row)


def test_old_exports_of_claude_have_a_text_alone() -> None:
    old = [{"sender": "human", "text": "High water?"}, {"sender": "assistant", "text": "At six."}]
    assert said(claude(*old)) == TALK


def test_of_two_answers_to_one_question_the_one_of_the_current_leaf_is_taken() -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    first = human("High water?", uuid="1", parent_message_uuid=nobody)
    six = answer(SIX, uuid="2", parent_message_uuid="1", created_at="2024-01-01")
    nine = {"type": "text", "text": "At nine."}
    again = answer(nine, uuid="3", parent_message_uuid="1", created_at="2024-01-02")
    row = claude(first, six, again)
    assert said({**row, "current_leaf_message_uuid": "2"}) == TALK
    assert said(row)[1] == ("assistant", "At nine.")
    assert "latest branch" in notes("claude-export", row)
    assert notes("claude-export", claude(first, six)) == ""


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (claude(human("Hi", files=[{"file_name": "a.png"}]), answer(SIX)), "has the file 'a.png'"),
        (claude(human("Hi", attachments=[{"file_name": "b"}]), answer(SIX)), "has the file 'b'"),
        (claude(human("Hi", attachments=3), answer(SIX)), "message 1 attachments is the number 3"),
        (claude(human("Hi"), answer({"type": "image"})), "message 2 has a part 1 of type 'image'"),
        (claude(human("Hi"), 3), "message 2 is the number 3"),
        (claude({**human("Hi"), "sender": "Ann"}, answer(SIX)), "message 1 has role 'Ann'"),
        (
            claude(
                human("Hi", uuid="1", parent_message_uuid="2"),
                answer(SIX, uuid="2", parent_message_uuid="1"),
            ),
            "orphan: the branch that ends in message 2 lacks its beginning",
        ),
    ],
)
def test_odd_conversations_of_claude_are_rejects(row: Any, reason: str) -> None:
    assert reason in refused(row)
