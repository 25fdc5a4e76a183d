"""A question as the tokens that a local model reads, and its labels as the tokens that may follow.

What a row says is text: a control token that it spells ("<|im_end|>") does not become one, so that
no answer can end the judge's prompt and begin its reply.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from curate.base.errors import CurateError, some_of
from curate.base.sandbox.chat_text import ChatText
from filters.llm_judge.question import Question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WrittenAs = Literal["chat", "plain"]

# Labels are tried after the last characters of a prompt: what stands before cannot change how they
# are cut into tokens, and these are the same for all questions of a rubric.
TAIL = 64

MERGED_SYSTEM = "with the system text before the user's, for the template takes none"
CONTROL_TEXT = "with control tokens of the model in a row's text, which were read as text"


class Unreadable(Exception):
    """A question that this tokenizer's chat template does not take; the message says why."""


class Prompts:
    """Writes questions as one tokenizer, and its chat template or none (plain), want them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, chat: ChatText | None) -> None:
        self.counts: Counter[str] = (
            Counter()
        )  # questions, by what a reader of the scores should know
        self._tokenizer = tokenizer
        self._chat = chat
        self._start = [] if chat else _start(tokenizer)
        self._label_ids = lru_cache(maxsize=256)(self._ids_after)
        added = tokenizer.added_tokens_decoder.values()
        control = [re.escape(token.content) for token in added if token.special]
        self._control = re.compile("|".join(control) or r"(?!)")

    def encode(self, question: Question) -> tuple[list[int], tuple[int, ...]]:
        """The token ids of the prompt with the answer's lead, and that of each label after it.

        Raises `Unreadable` for a question that cannot be written, `CurateError` unless each label
        is one token in its place, no two the same.
        """
        spelled = self._control.search(question.system) or self._control.search(question.user)
        if spelled:
            self.counts[CONTROL_TEXT] += 1
        if self._chat is None:
            text = _plain(question)
            ids = [*self._start, *self._ids(text, as_text=True)]
        else:
            system, user, text = self._render(self._chat, question)
            text += question.lead
            parts = [part for part in (system, user) if part]
            ids = self._in_pieces(text, parts) if spelled else self._ids(text)
        return ids, self._labels(text, question) if question.labels else ()

    def _labels(self, text: str, question: Question) -> tuple[int, ...]:
        try:
            return self._label_ids(text[-TAIL:], question.labels)
        except CurateError:
            if self._chat:
                raise
            # Labels that would do on a line of their own: it is this row's last character.
            self._label_ids(f"\n{question.lead}", question.labels)
            raise Unreadable("its last character and a label are one token") from None

    def _render(self, chat: ChatText, question: Question) -> tuple[str, str, str]:
        """System and user text as the chat template writes them, and the whole prompt."""
        error: Exception | None = None
        for system, user in _turns(question):
            turns = [{"role": "system", "content": system}] if system else []
            try:
                text = chat.write([*turns, {"role": "user", "content": user}], prompt=True)
            except CurateError as refused:
                error = refused
                continue
            # Templates may trim; one that leaves out the system text has not written the question.
            if system.strip() in text and user.strip() in text:
                if question.system and not system:
                    self.counts[MERGED_SYSTEM] += 1
                return system.strip(), user.strip(), text
        if error is None:
            raise Unreadable("the chat template does not write the question as it is")
        raise Unreadable(f"the chat template raises an error: {str(error)[:160]}")

    def _in_pieces(self, text: str, contents: Sequence[str]) -> list[int]:
        """The ids of template text with its control tokens, of contents without any."""
        ids: list[int] = []
        end = len(text)
        for content in reversed(contents):  # the user's text is the last that stands there
            start = text.rindex(content, 0, end)
            rest = self._ids(text[start + len(content) : end])
            ids = [*self._ids(content, as_text=True), *rest, *ids]
            end = start
        return [*self._ids(text[:end]), *ids]

    def _ids(self, text: str, as_text: bool = False) -> list[int]:
        if not text:
            return []
        found = self._tokenizer(
            text, add_special_tokens=False, split_special_tokens=as_text, verbose=False
        )
        return list(found["input_ids"])

    def _ids_after(self, tail: str, labels: tuple[str, ...]) -> tuple[int, ...]:
        before = self._ids(tail, as_text=not self._chat)
        after = [self._ids(tail + label, as_text=not self._chat) for label in labels]
        odd = [
            repr(label)
            for label, ids in zip(labels, after, strict=True)
            if ids[:-1] != before or len(ids) != len(before) + 1
        ]
        if odd:
            raise CurateError(
                f"judge: {self._tokenizer.name_or_path}: after {tail[-20:]!r} not a single token:"
                f" {some_of(odd, 10)}; take a rubric whose labels are (1 to 5, or letters), or"
                " read: text"
            )
        found = tuple(ids[-1] for ids in after)
        if len(set(found)) < len(found):
            raise CurateError(
                f"judge: {self._tokenizer.name_or_path}: some labels are one and the same token:"
                f" {', '.join(map(repr, labels))}"
            )
        return found


def _turns(question: Question) -> list[tuple[str, str]]:
    """Ways to say system and user text: apart, or else together."""
    if not question.system:
        return [("", question.user)]
    return [(question.system, question.user), ("", f"{question.system}\n\n{question.user}")]


def _plain(question: Question) -> str:
    """System text, a blank line, user text; the answer begins on a line of its own, with its lead.

    A text that ends in white space ("Quality: ") says itself where the answer begins.
    """
    text = "\n\n".join(part for part in (question.system, question.user) if part)
    return text + ("" if text[-1:].isspace() else "\n") + question.lead


def _start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The start token, if the tokenizer itself begins texts with one."""
    ids = list(tokenizer("a")["input_ids"])
    return ids[:1] if ids and ids[0] == tokenizer.bos_token_id else []
