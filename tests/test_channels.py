"""Chats of several people: Slack, Discord, Telegram, and tickets of a help desk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.sources import FORMATS, Dump, ReadOptions, read, read_rows


def reading(rows: list[Any], answerer: str | None = None) -> Dump:
    return read_rows(rows, ReadOptions(answerer=answerer))


def said(dump: Dump, row: int = 0) -> list[tuple[str, str]]:
    assert dump.records.height > row, dump.rejects["reason"].to_list()
    return [(turn["role"], turn["content"]) for turn in dump.records["messages"][row]]


def reasons(dump: Dump) -> list[str]:
    return list(dump.rejects["reason"])


def slack(user: str, text: str, ts: str, thread: str | None = None, **more: Any) -> dict[str, Any]:
    threaded = {"thread_ts": thread} if thread else {}
    return {"type": "message", "user": user, "text": text, "ts": ts, **threaded, **more}


JOIN = slack("U03", "<@U03> has joined", "170.9", subtype="channel_join")
THREAD = [
    slack("U01", "Where is the key?", "170.1", "170.1", reply_count=2),
    slack("U02", "Behind the door.", "170.2", "170.1"),
    slack("U02", "On the left.", "170.3", "170.1"),
    JOIN,
]
KEY = [("user", "Where is the key?"), ("assistant", "Behind the door.\nOn the left.")]


def test_a_thread_of_slack_is_a_conversation_once_the_answerer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "2023-11-14.json"
    path.write_text(json.dumps(THREAD))
    dump = read([str(path)], ReadOptions(answerer="U02"))
    assert said(dump) == KEY
    assert (dump.records.height, dump.rejects.height) == (1, 0)
    assert dump.files[0].formats == {"several-people": 1}


def test_what_the_reader_adds_to_a_thread_is_not_left_over() -> None:
    dump = read_rows(THREAD, ReadOptions(answerer="U02"))
    assert dump.records.height == 1 and dump.files[0].leftovers == {}


def test_without_an_answerer_a_thread_is_a_reject_that_lists_the_people() -> None:
    (reason,) = reasons(reading(THREAD))
    assert reason == (
        "several_people: 2 people speak: U02 (2), U01 (1); who answers? --answerer U02"
    )


@pytest.mark.parametrize("answerer", ["U02", "u02", "Bea", "Bea Bell", "bea"])
def test_the_answerer_goes_by_id_or_by_any_name(answerer: str) -> None:
    profile = {"user_profile": {"display_name": "Bea", "real_name": "Bea Bell"}}
    rows = [THREAD[0], {**THREAD[1], **profile}, THREAD[2]]
    assert said(reading(rows, answerer)) == KEY


def test_a_name_that_two_people_have_does_not_tell_who_answers() -> None:
    bea = {"user_profile": {"display_name": "Bea"}}
    rows = [slack("U01", "Hi", "1.1", "1.1", **bea), slack("U02", "Hello", "1.2", "1.1", **bea)]
    assert reasons(reading(rows, "Bea")) == [
        "several_people: Bea is the name of 2 people: U01, U02"
    ]


def test_threads_and_the_rest_of_a_channel_are_conversations_of_their_own() -> None:
    rows = [
        slack("U01", "Anyone up?", "170.05"),
        *THREAD,
        slack("U02", "I am.", "170.4"),
        slack("U04", "Is it windy?", "171.1", "171.1"),
        slack("U05", "Very.", "171.2", "171.1"),
        slack("U02", "Lost.", "172.1", "100.1"),
    ]
    dump = reading(rows, "U02")
    assert [said(dump, row) for row in range(2)] == [
        KEY,
        [("user", "Anyone up?"), ("assistant", "I am.")],
    ]
    assert dump.records["line"].to_list() == [2, 1]
    assert [reason.split(";")[0] for reason in reasons(dump)] == [
        "no_answer: U02 does not speak here",
        "orphan: the first message of the thread 100.1 is not in this file",
    ]
    assert dump.rejects["line"].to_list() == [7, 9]


def test_marks_of_slack_become_plain_words() -> None:
    name = {"user_profile": {"real_name": "Ann"}}
    text = "<@U01> see <https://a.b|the list> &amp; <https://c.d> in <#C1|boats> &lt;!here&gt;"
    rows = [slack("U01", "Where?", "1.1", "1.1", **name), slack("U02", text, "1.2", "1.1")]
    answer = "@Ann see [the list](https://a.b) & https://c.d in #boats <!here>"
    assert said(reading(rows, "U02"))[1] == ("assistant", answer)


def test_a_bot_of_slack_may_be_the_answerer() -> None:
    bot = {"type": "message", "subtype": "bot_message", "bot_id": "B1", "username": "helper"}
    answer = {**bot, "text": "Low.", "ts": "1.2", "thread_ts": "1.1"}
    rows = [slack("U01", "Tide?", "1.1", "1.1"), answer]
    assert said(reading(rows, "helper")) == [("user", "Tide?"), ("assistant", "Low.")]


def test_where_several_ask_their_names_stand_before_their_words() -> None:
    rows = [
        slack("U01", "Is the shed open?", "1.1", "1.1"),
        slack("U03", "And the office?", "1.2", "1.1"),
        slack("U02", "Both.", "1.3", "1.1"),
        slack("U03", "Thanks!", "1.4", "1.1"),
    ]
    assert said(reading(rows, "U02")) == [
        ("user", "U01: Is the shed open?\nU03: And the office?"),
        ("assistant", "Both."),
    ]
    entries = [{"user_id": row["user"], "user_names": [], "text": row["text"]} for row in rows]
    threads = ReadOptions(answerer="U02").formats()["several-people"]
    (read_row,) = threads.convert({"several_people": "slack", "said": entries})
    assert read_row.notes == (
        "several people ask: their names stand before their words",
        "what is said after the last answer is left out",
    )


def test_a_history_of_slacks_api_is_taken_apart_too() -> None:
    dump = reading([{"ok": True, "messages": THREAD[::-1], "has_more": False}], "U02")
    assert said(dump) == KEY


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([JOIN], "empty_conversation: nobody says anything here"),
        ([slack("U01", "Hi", "1.1"), slack("U01", "Anyone?", "1.2")], "no_answer: only U01 speaks"),
        ([{**THREAD[0], "text": 3}, *THREAD[1:]], "wrong_type: text is the number 3"),
        ([{**THREAD[0], "thread_ts": [1]}], "wrong_type: thread_ts is a list"),
    ],
)
def test_odd_messages_of_slack_are_rejects(rows: list[Any], reason: str) -> None:
    assert reasons(reading(rows, "U02"))[0].startswith(reason)


def discord(number: int, author: str, content: str, to: int | None = None, **more: Any) -> Any:
    kind = {"type": "Reply", "reference": {"messageId": str(to)}} if to else {"type": "Default"}
    return {
        "id": str(number),
        "timestamp": f"2024-01-01T10:00:{number:02}+00:00",
        "content": content,
        "author": {"id": f"9{author}", "name": author, "nickname": f"{author} (mod)"},
        **kind,
        **more,
    }


def channel(*messages: Any, kind: str = "GuildTextChat") -> dict[str, Any]:
    about = {"id": "2", "type": kind, "name": "help"}
    return {
        "guild": {"id": "1"},
        "channel": about,
        "messages": list(messages),
        "messageCount": len(messages),
    }


HELP = [
    discord(1, "ann", "How do I tie a bowline?"),
    discord(2, "cid", "Nice weather."),
    discord(3, "bea", "Make a loop.", to=1),
    discord(4, "ann", "And then?", to=3),
    discord(5, "bea", "", to=4, attachments=[{"url": "x"}]),
    discord(6, "bea", "Pull.", to=4),
    discord(7, "dan", "Joined the server.", type="GuildMemberJoin"),
]


def test_replies_of_discord_are_threads_and_the_rest_is_one_conversation(tmp_path: Path) -> None:
    path = tmp_path / "help.json"
    path.write_text(json.dumps(channel(*HELP), indent=1))
    dump = read([str(path)], ReadOptions(answerer="bea"))
    assert said(dump) == [
        ("user", "How do I tie a bowline?"),
        ("assistant", "Make a loop."),
        ("user", "And then?"),
        ("assistant", "Pull."),
    ]
    assert reasons(dump) == ["no_answer: only cid (mod) speaks here"]
    assert json.loads(dump.records["meta"][0]) == {"channel": "help", "thread": "1"}


@pytest.mark.parametrize("kind", ["GuildPublicThread", "DirectTextChat"])
def test_a_thread_or_a_direct_chat_of_discord_stays_whole(kind: str) -> None:
    dump = reading([channel(*HELP, kind=kind)], "9bea")
    assert said(dump)[0] == (
        "user",
        "ann (mod): How do I tie a bowline?\ncid (mod): Nice weather.",
    )


def test_messages_of_discords_api_are_gathered_by_channel() -> None:
    def message(number: int, author: str, content: str, to: str | None = None) -> Any:
        return {
            "id": str(number),
            "type": 19 if to else 0,
            "channel_id": "5",
            "timestamp": f"2024-01-0{number}T10:00:00+00:00",
            "content": content,
            "author": {"id": author, "username": author, "global_name": author.title()},
            "message_reference": {"message_id": to} if to else None,
        }

    newest_first = [message(2, "bea", "Make a loop.", "1"), message(1, "ann", "A bowline?")]
    assert said(reading(newest_first, "Bea")) == [
        ("user", "A bowline?"),
        ("assistant", "Make a loop."),
    ]


def test_replies_that_run_in_a_circle_are_one_thread() -> None:
    circle = [discord(1, "ann", "Hi", to=2), discord(2, "bea", "Hello", to=1)]
    assert said(reading([channel(*circle)], "bea")) == [("user", "Hi"), ("assistant", "Hello")]


def test_odd_messages_of_discord_are_rejects_and_the_others_are_read() -> None:
    odd = ["x", {**HELP[0], "author": 3}, {**HELP[0], "id": "8", "content": [1]}]
    dump = reading([channel(*odd, HELP[0], HELP[2])], "bea")
    assert said(dump)[1] == ("assistant", "Make a loop.")
    assert reasons(dump) == [
        "wrong_type: message 1: it is the text 'x'; expected an object",
        "wrong_type: message 2: author is the number 3; expected an object",
        "wrong_type: message 3: content is a list; expected text",
    ]


def telegram(number: int, person: str, text: Any, to: int | None = None, **more: Any) -> Any:
    reply = {"reply_to_message_id": to} if to else {}
    return {
        "id": number,
        "type": "message",
        "date": f"2024-01-01T10:00:{number:02}",
        "from": person.title(),
        "from_id": f"user{person}",
        "text": text,
        **reply,
        **more,
    }


def chat(*messages: Any, kind: str = "private_supergroup") -> dict[str, Any]:
    return {"name": "Boats", "type": kind, "id": 7, "messages": list(messages)}


FERRY = [
    telegram(1, "ann", ["Is the ", {"type": "bold", "text": "ferry"}, " late?"]),
    telegram(2, "cid", "Good morning."),
    telegram(3, "bea", "By an hour.", to=1),
    {"id": 4, "type": "service", "date": "2024-01-01T10:01:00", "actor": "Dan", "text": ""},
]
LATE = [("user", "Is the ferry late?"), ("assistant", "By an hour.")]


@pytest.mark.parametrize("answerer", ["Bea", "userbea"])
def test_replies_of_telegram_are_threads(answerer: str) -> None:
    dump = reading([chat(*FERRY)], answerer)
    assert said(dump) == LATE
    assert reasons(dump) == ["no_answer: only Cid speaks here"]


def test_all_chats_of_telegram_are_read_and_a_personal_one_stays_whole() -> None:
    personal = chat(*FERRY[:1], telegram(5, "bea", "Yes."), kind="personal_chat")
    account = {"about": "x", "chats": {"about": "y", "list": [chat(*FERRY), personal, 3]}}
    dump = reading([account], "Bea")
    assert said(dump) == LATE
    assert said(dump, 1) == [LATE[0], ("assistant", "Yes.")]
    assert reasons(dump)[-1] == "wrong_type: a chat is the number 3 without messages"


def test_a_topic_of_telegram_hangs_on_the_message_that_opened_it() -> None:
    topic = {"id": 1, "type": "service", "action": "topic_created", "date": "2024-01-01T09:00:00"}
    asked = telegram(2, "ann", "Late?", to=1)
    dump = reading([chat(topic, asked, telegram(3, "bea", "Yes.", to=1))], "Bea")
    assert said(dump) == [("user", "Late?"), ("assistant", "Yes.")]


TICKET = {
    "id": 35,
    "subject": "Key lost",
    "description": "Where is the key?",
    "requester_id": 11,
    "comments": [
        {"author_id": 11, "body": "Where is the key?", "public": True},
        {"author_id": 22, "html_body": "<p>Ask <b>Bea</b>.</p>", "public": False},
        {"author_id": 22, "html_body": "<p>Behind the <b>door</b>.</p>", "public": True},
        {"author_id": 11, "body": "Thanks", "public": True},
    ],
}


def test_the_requester_of_a_ticket_asks_and_everybody_else_answers() -> None:
    expected = [("user", "Key lost\n\nWhere is the key?"), ("assistant", "Behind the **door**.")]
    assert said(reading([TICKET])) == expected
    other = {**TICKET, "description": "It is gone."}
    assert said(reading([other]))[0] == ("user", "Key lost\n\nIt is gone.\nWhere is the key?")


def test_a_ticket_may_stand_beside_its_comments() -> None:
    ticket = {key: TICKET[key] for key in TICKET if key != "comments"}
    row = {"ticket": ticket, "comments": TICKET["comments"]}
    assert said(reading([row])) == said(reading([TICKET]))


def test_a_named_answerer_is_the_only_one_of_a_ticket() -> None:
    comments = [*TICKET["comments"][:1], {"author_id": 33, "body": "Mine too."}]
    ticket = {**TICKET, "comments": [*comments, {"author_id": 22, "body": "Here."}]}
    assert said(reading([ticket]))[1] == ("assistant", "Mine too.\nHere.")
    assert said(reading([ticket], "22"))[0][1].endswith("33: Mine too.")
    unknown = {**ticket, "requester_id": None}
    assert reasons(reading([unknown]))[0].startswith("several_people: 3 people speak")


def test_notes_of_a_ticket_say_what_is_left_out() -> None:
    (read_row,) = FORMATS["zendesk"].convert(TICKET)
    assert read_row.notes == (
        "private notes of the staff are left out",
        "what is said after the last answer is left out",
    )


@pytest.mark.parametrize(
    ("comments", "reason"),
    [
        ([{"author_id": 11, "body": 3}], "wrong_type: comment 1 is the number 3"),
        ([{"author_id": [1], "body": "x"}], "wrong_type: comment 1 has no author_id"),
        ([{"author_id": 11, "body": "x"}, 3], "wrong_type: comment 2 is the number 3"),
        ([{"author_id": 11, "body": "x"}], "no_answer"),
    ],
)
def test_odd_tickets_are_rejects(comments: list[Any], reason: str) -> None:
    assert reasons(reading([{**TICKET, "comments": comments}]))[0].startswith(reason)


def test_admins_and_bots_answer_the_users_of_intercom() -> None:
    def part(kind: str, body: str, part_type: str = "comment") -> dict[str, Any]:
        return {"part_type": part_type, "body": body, "author": {"type": kind, "id": kind}}

    parts = [
        part("bot", "<p>One moment.</p>"),
        part("admin", "A customer of ours.", "note"),
        part("admin", "<p>Behind the door.</p>"),
    ]
    row = {
        "type": "conversation",
        "source": part("lead", "<p>Where is it?</p>"),
        "conversation_parts": {"conversation_parts": parts},
    }
    dump = reading([row])
    assert said(dump) == [
        ("user", "Where is it?"),
        ("assistant", "One moment.\nBehind the door."),
    ]


def test_words_beside_what_is_said_in_a_channel_are_counted() -> None:
    rows = [
        slack("U1", "Which fruit?", "170.1", attachments=[{"pretext": "It is a long story"}]),
        slack("U2", "An apple.", "170.2", team="T1", reactions=[{"name": "thumbsup"}]),
    ]
    dump = reading(rows, "U2")
    assert dump.records.height == 1
    [(path, left)] = dump.files[0].leftovers.items()
    assert (path, left.words) == ("said.attachments.pretext", 5)
    assert "It is a long story" in reading(rows).rejects["raw"][0]


def test_a_channel_in_which_nobody_is_named_keeps_its_words_as_a_reject() -> None:
    dump = reading([slack("", "Who says this?", "170.1") | {"user": []}])
    assert reasons(dump)[0].startswith("empty_conversation: nobody says anything")
    assert "Who says this?" in dump.rejects["raw"][0]


def test_a_message_with_the_id_of_an_earlier_one_is_counted() -> None:
    rows = [
        slack("U1", "Which fruit?", "170.1"),
        slack("U2", "An apple.", "170.2"),
        slack("U2", "Rather a pear.", "170.2"),
    ]
    dump = reading(rows, "U2")
    assert said(dump) == [("user", "Which fruit?"), ("assistant", "An apple.")]
    assert dump.files[0].leftovers["left_out.text"].words == 3
    assert any(note.startswith("messages without a sender") for note in dump.files[0].notes)


SILENT = "empty_conversation: nobody says anything here"
WITHOUT: dict[str, tuple[Any, str]] = {
    "discord": ({"guild": {}, "channel": {"name": "c"}, "messages": []}, SILENT),
    "telegram": ({"chats": {"list": []}}, SILENT),
    "slack": (
        {"ok": True, "messages": [*THREAD, "words beside"]},
        "wrong_type: message 5 is the text 'words beside'; expected an object",
    ),
}


@pytest.mark.parametrize("kind", WITHOUT)
def test_an_export_without_messages_is_a_reject_also_beside_other_rows(kind: str) -> None:
    row, reason = WITHOUT[kind]
    dump = reading([row, {"prompt": "Hi", "completion": "Ho"}], answerer="U02")
    assert reasons(dump) == [reason]
    assert ("user", "Hi") in [turn for at in range(dump.height) for turn in said(dump, at)]
