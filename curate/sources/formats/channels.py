"""Exports of chats, taken apart into threads: Slack, Discord and Telegram."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from curate.sources.shared.convert import (
    Joined,
    Reject,
    Row,
    described,
    list_of,
    object_of,
    text_of,
)


class Post(NamedTuple):
    """One message of a channel; `text` is empty where nobody says anything."""

    id: str
    person: str
    names: tuple[str, ...]
    text: str
    when: str
    reply_to: str
    line: int = 0
    service: bool = False
    beside: Row | None = None  # its other fields that may hold words


# Fields of messages that say who reacted, was mentioned or wrote from where, and of files.
_ABOUT = frozenset((
    "team", "source_team", "user_team", "user_profile", "bot_profile", "reactions", "replies",
    "reply_users", "edited", "mentions", "roles", "photo", "file", "thumbnail", "media_type",
    "forwarded_from", "via_bot", "saved_from", "actor", "action", "date_unixtime",
))  # fmt: skip


# Fields that are read as lists or objects; any other one is read as text, and else as nothing.
_READ_INSIDE = ("author", "reference", "message_reference", "text", "guild", "channel", "messages")


def _beside(message: Row, *read: str) -> Row:
    """The fields of a message that may hold words, but for those that are read."""
    return {
        name: value
        for name, value in message.items()
        if value
        and isinstance(value, str | list | dict)
        and name not in _ABOUT
        and (name not in read or (name not in _READ_INSIDE and not isinstance(value, str)))
    }


SERVICE = "messages of the service, such as joins, are left out"
NOBODY = "messages without a sender, or with the id of an earlier one, are left out"
_NOBODY_SPEAKS = "empty_conversation: nobody says anything here"
EMPTY = "messages without words, such as pictures, are left out"


def _id(value: Any) -> str:
    """An id as text; what can be none is no id."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _names(*values: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))


def is_slack(row: Row) -> bool:
    """One message of a Slack export: `{type: message, user, text, ts, thread_ts?, subtype?}`."""
    return row.get("type") == "message" and isinstance(row.get("ts"), str) and _speaks(row)


def _speaks(row: Row) -> bool:
    return any(name in row for name in ("user", "bot_id", "username", "subtype"))


def gather_slack(rows: list[tuple[int, Row]]) -> Iterator[Joined]:
    """Each thread at its first message's line, and all that is in no thread as one conversation."""
    names = {person: name for person, name in (_slack_name(row) for _, row in rows) if name}
    posts = []
    for line, row in rows:
        try:
            posts.append(_slack(row, names)._replace(line=line))
        except Reject as reject:
            yield Joined(line, row, str(reject))
    yield from _conversations(posts, {"several_people": "slack"}, whole=False, rooted=True)


# What people say; every other subtype is the service's.
_SAID = (None, "", "bot_message", "me_message", "thread_broadcast", "reply_broadcast", "file_share")


def _slack_name(row: Row) -> tuple[str, str]:
    profile = row.get("user_profile")
    profile = profile if isinstance(profile, dict) else {}
    person = _id(row.get("user") or row.get("bot_id") or row.get("username"))
    given = _names(*(profile.get(name) for name in ("display_name", "real_name", "name")))
    return person, next(iter(given), "")


def _slack(row: Row, known: dict[str, str]) -> Post:
    person, name = _slack_name(row)
    profile = row.get("user_profile")
    more = profile.values() if isinstance(profile, dict) else ()
    names = _names(name, known.get(person), row.get("username"), *more)
    time, thread = text_of(row.get("ts"), "ts"), text_of(row.get("thread_ts"), "thread_ts")
    text = _slack_text(text_of(row.get("text"), "text"), known).strip()
    reply_to = "" if thread == time else thread
    service = row.get("subtype") not in _SAID or not person
    beside = _beside(row, *_SLACK_READ)
    return Post(time, person, names, text, time, reply_to, service=service, beside=beside)


_SLACK_READ = ("type", "subtype", "user", "bot_id", "username", "ts", "thread_ts", "text")


_MARKED = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")


def _slack_text(text: str, names: dict[str, str]) -> str:
    """Slack's marks for people, channels and links as Markdown, its entities as characters."""

    def plain(mark: re.Match[str]) -> str:
        target, label = mark[1], mark[2]
        if target.startswith("@"):
            return f"@{label or names.get(target[1:]) or target[1:]}"
        if target.startswith("#"):
            return f"#{label or target[1:]}"
        if target.startswith("!"):
            return label or f"@{target[1:]}"
        return f"[{label}]({target})" if label and label != target else target

    return html.unescape(_MARKED.sub(plain, text))


def is_slack_history(row: Row) -> bool:
    """`{ok, messages: [...]}`, as Slack's API gives the history of a channel or a thread."""
    messages = row.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    return isinstance(first, dict) and is_slack(first)


def gather_slack_history(rows: list[tuple[int, Row]]) -> Iterator[Joined]:
    """The threads of each answer of the API, at its line."""
    for line, row in rows:
        sound: list[tuple[int, Row]] = []
        for number, message in enumerate(row["messages"], 1):
            if isinstance(message, dict):
                sound.append((line, message))
            else:
                wrong = f"wrong_type: message {number} is {described(message)}; expected an object"
                yield Joined(line, {"messages": [message]}, wrong)
        yield from gather_slack(sound)


def is_discord(row: Row) -> bool:
    """`{guild, channel, messages: [{id, type, timestamp, content, author, reference}]}`."""
    return (
        isinstance(row.get("messages"), list)
        and isinstance(row.get("channel"), dict)
        and isinstance(row.get("guild"), dict)
    )


def gather_discord(rows: list[tuple[int, Row]]) -> Iterator[Joined]:
    """Messages that answer each other are a thread; a direct chat or a thread stays whole."""
    for line, row in rows:
        channel = row["channel"] if isinstance(row.get("channel"), dict) else {}
        about: dict[str, Any] = {"several_people": "discord", "channel": _id(channel.get("name"))}
        whole = any(kind in str(channel.get("type")) for kind in ("Thread", "Direct"))
        others = _beside(row, "guild", "channel", "messages")
        about |= {"export": others} if others else {}  # of their own: none of ours hides one
        yield from _taken_apart(line, row, _discord, about, whole=whole)


def is_discord_message(row: Row) -> bool:
    """One message of Discord's API: `{id, type, channel_id, timestamp, content, author}`."""
    return (
        "channel_id" in row
        and "timestamp" in row
        and "content" in row
        and isinstance(row.get("author"), dict)
    )


def gather_discord_messages(rows: list[tuple[int, Row]]) -> Iterator[Joined]:
    """The threads of each channel of a file."""
    channels: dict[str, list[Post]] = {}
    for line, row in rows:
        try:
            post = _discord(row)._replace(line=line)
        except Reject as reject:
            yield Joined(line, row, str(reject))
            continue
        channels.setdefault(_id(row.get("channel_id")), []).append(post)
    for channel, posts in channels.items():
        about = {"several_people": "discord", "channel": channel}
        yield from _conversations(posts, about, whole=False, rooted=False)


_DISCORD_SAID = ("Default", "Reply", "ChatInputCommand", "ContextMenuCommand", "0", "19", "20")
_DISCORD_NAMES = ("nickname", "global_name", "name", "username")


def _discord(message: Row) -> Post:
    author = object_of(message.get("author"), "author")
    names = _names(*(author.get(name) for name in _DISCORD_NAMES))
    reference = message.get("reference") or message.get("message_reference")
    reference = reference if isinstance(reference, dict) else {}
    reply_to = _id(reference.get("messageId") or reference.get("message_id"))
    when = text_of(message.get("timestamp"), "timestamp")
    text = text_of(message.get("content"), "content").strip()
    service = str(message.get("type", "Default")) not in _DISCORD_SAID
    person = _id(author.get("id")) or next(iter(names), "")
    beside = _beside(message, *_DISCORD_READ)
    post = Post(_id(message.get("id")), person, names, text, when, reply_to)
    return post._replace(service=service, beside=beside)


_DISCORD_READ = ("id", "type", "timestamp", "content", "author", "reference", "message_reference")


def is_telegram(row: Row) -> bool:
    """`{name, type, id, messages: [{id, type, date, from, from_id, text}]}`, or all chats."""
    if "chats" in row and "messages" not in row:
        chats = row["chats"]
        return isinstance(chats, dict) and isinstance(chats.get("list"), list)
    if not isinstance(row.get("type"), str) or not isinstance(row.get("messages"), list):
        return False
    return any(
        isinstance(message, dict)
        and message.get("type") in ("message", "service")
        and "date" in message
        for message in row["messages"]
    )


def gather_telegram(rows: list[tuple[int, Row]]) -> Iterator[Joined]:
    """Messages that answer each other are a thread; a personal chat stays whole."""
    for line, row in rows:
        chats = row["chats"]["list"] if is_all_chats(row) else [row]
        if not chats:
            yield Joined(line, row, _NOBODY_SPEAKS)
        for chat in chats:
            if not isinstance(chat, dict) or not isinstance(chat.get("messages"), list):
                yield Joined(line, row, f"wrong_type: a chat is {described(chat)} without messages")
                continue
            about = {"several_people": "telegram", "channel": _id(chat.get("name"))}
            personal = chat.get("type") in ("personal_chat", "bot_chat", "saved_messages")
            yield from _taken_apart(line, chat, _telegram, about, whole=personal)


def is_all_chats(row: Row) -> bool:
    """Whether a row is a whole account of Telegram, with its chats inside."""
    return not isinstance(row.get("messages"), list)


def _telegram(message: Row) -> Post:
    text = message.get("text")
    pieces = text if isinstance(text, list) else [text]
    texts = [piece.get("text") if isinstance(piece, dict) else piece for piece in pieces]
    said = "".join(text_of(each, "text") for each in texts).strip()
    names = _names(message.get("from"))
    person = _id(message.get("from_id")) or next(iter(names), "")
    when, reply_to = _id(message.get("date")), _id(message.get("reply_to_message_id"))
    service = message.get("type") != "message"
    beside = _beside(message, "id", "type", "date", "from", "from_id", "text")
    post = Post(_id(message.get("id")), person, names, said, when, reply_to)
    return post._replace(service=service, beside=beside)


def _taken_apart(
    line: int, row: Row, post: Callable[[Row], Post], about: Row, *, whole: bool
) -> Iterator[Joined]:
    posts, messages = [], list_of(row.get("messages"), "messages")
    for number, message in enumerate(messages, 1):
        try:
            posts.append(post(object_of(message, "it"))._replace(line=line))
        except Reject as reject:
            slug, wrong = str(reject).split(": ", 1)
            yield Joined(line, message, f"{slug}: message {number}: {wrong}")
    if not posts:  # what stands beside the messages would be in no conversation and in no reject
        yield Joined(line, row, _NOBODY_SPEAKS)
    yield from _conversations(posts, about, whole=whole, rooted=False)


def _conversations(
    posts: Sequence[Post], about: Row, *, whole: bool, rooted: bool
) -> Iterator[Joined]:
    """Rows for `people.people`. `rooted`: what answers a message that is not here is a reject."""
    ordered = _in_order(posts)
    said = [post for post in ordered if post.text and post.person and not post.service]
    if posts and not said:
        line = min(post.line for post in posts)
        row = {**about, "left_out": [_entry(post) for post in posts]}
        yield Joined(line, row, _NOBODY_SPEAKS)
        return
    notes = [SERVICE] if any(post.service for post in posts) else []
    notes += [EMPTY] if any(not post.text and not post.service for post in posts) else []
    there, firsts = {post.id for post in said}, set(map(id, ordered))
    out = [
        _entry(post)
        for post in posts
        if post.text and not post.service and (not post.person or id(post) not in firsts)
    ]
    notes += [NOBODY] if out else []
    for thread, group in [("", said)] if whole else _threads(said, posts, rooted=rooted):
        row = {**about, "said": [_entry(post) for post in group], "notes": notes}
        row |= ({"thread": thread} if thread else {}) | ({"left_out": out} if out else {})
        out = []  # with the first conversation, so that its words are counted once
        wrong = f"orphan: the first message of the thread {thread} is not in this file"
        lost = rooted and thread != "" and thread not in there
        yield Joined(min(post.line for post in group), row, wrong if lost else None)


def _entry(post: Post) -> Row:
    own = {"user_id": post.person, "user_names": list(post.names), "text": post.text}
    return {**(post.beside or {}), **own}


def _in_order(posts: Sequence[Post]) -> list[Post]:
    """By time if every message has one; of several with one id the first."""
    timed = all(post.when for post in posts)
    ordered = sorted(posts, key=lambda post: post.when) if timed else list(posts)
    seen: dict[Any, Post] = {}
    for number, post in enumerate(ordered):
        seen.setdefault(post.id or number, post)
    return list(seen.values())


def _threads(
    said: Sequence[Post], posts: Sequence[Post], *, rooted: bool
) -> list[tuple[str, list[Post]]]:
    """Messages that answer each other, by the id of the first; and all others, without an id."""
    above = {post.id: post.reply_to for post in posts if post.id and post.reply_to}
    roots: dict[str, str] = {}
    groups: dict[str, list[Post]] = {}
    for post in said:
        groups.setdefault(_root(post.id, above, roots), []).append(post)
    threads = [
        (root, group)
        for root, group in groups.items()
        if root and (len(group) > 1 or (rooted and group[0].reply_to))
    ]
    taken = {post.id for _, group in threads for post in group}
    alone = [post for post in said if post.id not in taken]
    return [*threads, ("", alone)] if alone else threads


def _root(post: str, above: dict[str, str], roots: dict[str, str]) -> str:
    """The message that a chain of replies begins with; those of a circle agree on one of them."""
    path: dict[str, None] = {}
    while post in above and post not in roots and post not in path:
        path[post] = None
        post = above[post]
    root = roots.get(post, post)
    roots.update(dict.fromkeys(path, root))
    return root
