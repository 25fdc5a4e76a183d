"""Thoughts in an answer's own text, moved to where the template writes reasoning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from curate.base.spelling import option
from curate.base.thoughts import opens_thoughts, split_thoughts
from templates.messages import Chat, Message
from templates.options import RenderOptions
from templates.refusals import EmptyAnswer, OpenThoughts
from templates.spans import VerifiedRender

Prove = Callable[[Chat], list[VerifiedRender]]


def moving(prove: Prove, reasoning: str, options: RenderOptions) -> Prove:
    """Proves conversations with their inline thoughts moved, and counts the messages changed.

    `reasoning` is what the template's card says of it: without a place to move them to, thoughts
    stay where they are. The count stands in the first verified text of a conversation.
    """
    if options.inline_think != "move" or reasoning != "written":
        return prove

    def proven(chat: Chat) -> list[VerifiedRender]:
        messages, moved = moved_thoughts(chat)
        if not moved:
            return prove(chat)
        first, *others = prove(dataclasses.replace(chat, messages=messages))
        return [dataclasses.replace(first, moved=moved), *others]

    return proven


def moved_thoughts(chat: Chat) -> tuple[list[Message], int]:
    """The messages with each answer's inline thoughts as its reasoning, and how many changed.

    Raises `EmptyAnswer` for a trained answer of which nothing is left, and `OpenThoughts` for one
    that was cut off in its thoughts: as words they would be trained where none are expected.
    """
    messages, moved = list[Message](), 0
    for turn, message in enumerate(chat.messages):
        parts = None
        if message["role"] == "assistant" and not message.get("reasoning_content"):
            parts = split_thoughts(message.get("content") or "")
            goes_on = chat.open and turn == len(chat.messages) - 1
            if (
                turn in chat.trained
                and not goes_on
                and opens_thoughts(message.get("content") or "")
            ):
                raise OpenThoughts(
                    f"message {turn}: the answer opens thoughts and does not end them "
                    f"({option('inline_think', 'keep')} trains them as its words)",
                    turn,
                )
        is_empty = parts is not None and not (parts.content.strip() or message.get("tool_calls"))
        if is_empty and turn in chat.trained:
            raise EmptyAnswer(
                f"message {turn}: the answer is empty: nothing follows the thoughts in it, which "
                f"are moved out ({option('inline_think', 'keep')} leaves them)",
                turn,
            )
        if parts is None or is_empty:
            messages.append(message)
            continue
        moved += 1
        named = ("reasoning_content", "thinking") if parts.reasoning else ()
        messages.append({**message, "content": parts.content, **dict.fromkeys(named, parts[0])})
    return messages, moved
