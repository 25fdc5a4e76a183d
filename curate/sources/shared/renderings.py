"""Texts that a chat template rendered, back as turns: ChatML, Llama, Gemma, Vicuna, Alpaca, ...

A text is taken apart only where all of it is such a rendering: it begins with the template's
mark, its turns fit, and no control token is left inside a turn. Any other text stays text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from curate.sources.shared.convert import Message, Reject, role_of, user


class Written(NamedTuple):
    """The turns of a text. `is_open`: it ends where the assistant is to speak."""

    messages: list[Message]
    is_open: bool = False
    notes: tuple[str, ...] = ()


class _Marked(NamedTuple):
    """A template that opens each turn with a mark; the first group of `mark` is the role."""

    name: str
    mark: re.Pattern[str]
    control: re.Pattern[str]  # tokens that end a turn, and may stand nowhere inside one


def _marked(name: str, mark: str, control: str) -> _Marked:
    return _Marked(name, re.compile(mark, re.IGNORECASE), re.compile(control, re.IGNORECASE))


_MARKED = (
    _marked(
        "ChatML",
        r"<\|im_start\|>[ \t]*([a-z_]+)[ \t]*(?:\n|<\|im_sep\|>\n?|\Z)",
        r"<\|im_(?:start|end|sep)\|>|<\|endoftext\|>",
    ),
    _marked(
        "Llama 3",
        r"<\|start_header_id\|>\s*([a-z_]+)\s*<\|end_header_id\|>\n{0,2}",
        r"<\|(?:start_header_id|end_header_id|eot_id|eom_id|end_of_text|python_tag)\|>",
    ),
    _marked(
        "Llama 4",
        r"<\|header_start\|>\s*([a-z_]+)\s*<\|header_end\|>\n{0,2}",
        r"<\|(?:header_start|header_end|eot|eom|end_of_text|python_start|python_end)\|>",
    ),
    _marked(
        "Gemma", r"<start_of_turn>[ \t]*([a-z_]+)[ \t]*(?:\n|\Z)", r"<(?:start|end)_of_turn>|<eos>"
    ),
    _marked(
        "Granite",
        r"<\|start_of_role\|>\s*([a-z_]+)\s*<\|end_of_role\|>",
        r"<\|(?:start_of_role|end_of_role|end_of_text)\|>",
    ),
    _marked(
        "Command R",
        r"<\|START_OF_TURN_TOKEN\|><\|(SYSTEM|USER|CHATBOT)_TOKEN\|>",
        r"<\|(?:START_OF_TURN|END_OF_TURN|SYSTEM|USER|CHATBOT)_TOKEN\|>",
    ),
    _marked(
        "DeepSeek",
        "<｜(User|Assistant)｜>",
        "<｜(?:User|Assistant|begin▁of▁sentence|end▁of▁sentence)｜>",
    ),
    _marked(
        "Zephyr",
        r"<\|(system|user|assistant|prompter|observation|tool)\|>[ \t]*\n?",
        r"<\|(?:system|user|assistant|prompter|observation|tool|end|endoftext)\|>|</s>",
    ),
)
_BEGIN = r"(?:<s>|<BOS_TOKEN>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|<\|endoftext\|>)"
_BEGINS = re.compile(rf"{_BEGIN}*\s*")
# Every rendering begins so: one look that most texts fail at once.
_OPENING = re.compile(
    rf"(?:{_BEGIN}*\s*(?:<\||<｜|<start_of_turn>|\[INST\]|<<SYS>>)"
    r"|A chat between |USER:|SYSTEM:|Below is an instruction that|#{2,3} ?Instruction:)",
    re.IGNORECASE,
)


def may_be_rendered(text: str) -> bool:
    """Whether a text begins as a rendering does: most texts do not."""
    return _OPENING.match(text.lstrip()) is not None


def rendering(text: str) -> Written | None:
    """The turns of a rendered text, or None where not all of it is a rendering.

    >>> rendering("<s>[INST] Hi [/INST] Hello </s>").messages[1]
    {'role': 'assistant', 'content': 'Hello'}
    """
    text = text.lstrip()
    if not may_be_rendered(text):
        return None
    body = text[_end(_BEGINS, text) :]
    for name, read in _READERS.items():
        turns = read(body)
        if turns:
            return _written(name, turns)
    return None


def _end(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return found.end() if found else 0


Turns = list[tuple[str, str]]


def _written(name: str, turns: Turns) -> Written | None:
    """The turns without an empty system prompt, and without the assistant's if it is to come."""
    is_open = turns[-1][0] == "assistant" and not turns[-1][1]
    turns = [turn for turn in (turns[:-1] if is_open else turns) if turn != ("system", "")]
    messages = [{"role": role, "content": content} for role, content in turns]
    note = f"a text rendered by a template ({name}) is read as turns, without the template's marks"
    return Written(messages, is_open, (note,)) if messages else None


def _by_marks(template: _Marked, text: str) -> Turns | None:
    if not template.mark.match(text):
        return None
    pieces = template.mark.split(text)
    turns = []
    for position, (role, content) in enumerate(zip(pieces[1::2], pieces[2::2], strict=True), 1):
        said = _without_end(template.control, content)
        if template.control.search(said):
            return None
        turns.append((role_of(role, position), said))
    return turns


def _without_end(control: re.Pattern[str], content: str) -> str:
    """The content up to the first control token, where nothing but such tokens follows."""
    found = control.search(content)
    if found and not control.sub("", content[found.start() :]).strip():
        content = content[: found.start()]
    return content.rstrip()


def _llama2(text: str) -> Turns | None:
    """`[INST] <<SYS>>...<</SYS>> question [/INST] answer </s>`, again and again."""
    before, *rounds = text.split("[INST]")
    if not rounds or before.strip():
        return None
    turns: Turns = []
    for one in rounds:
        asked, inside, answer = one.partition("[/INST]")
        if not inside or "[/INST]" in answer:
            return None
        system, closes, rest = asked.partition("<</SYS>>")
        if not turns and closes and system.lstrip().startswith("<<SYS>>"):
            turns.append(("system", system.strip().removeprefix("<<SYS>>").strip()))
            asked = rest
        turns += [("user", asked.strip()), ("assistant", _round(answer).strip())]
    return None if any("</s>" in content or "SYS>>" in content for _, content in turns) else turns


def _round(content: str, ends: tuple[str, ...] = ("</s>",)) -> str:
    """What was said, without the tokens that end a round and begin the next one."""
    content = content.rstrip().removesuffix("<s>").rstrip()
    return next((content.removesuffix(end) for end in ends if content.endswith(end)), content)


_VICUNA = re.compile(r"(?:\A|(?<=\s)|(?<=</s>))(SYSTEM|USER|ASSISTANT):[ \t]*")
_SPEAKERS = {"SYSTEM": "system", "USER": "user", "ASSISTANT": "assistant"}


def _vicuna(text: str) -> Turns | None:
    """`USER: ... ASSISTANT: ...</s>` in turn, after the sentences that open a chat."""
    before, *pieces = _VICUNA.split(text)
    spoken = [_round(content).strip() for content in pieces[1::2]]
    turns = list(zip((_SPEAKERS[name] for name in pieces[::2]), spoken, strict=True))
    if before.strip():
        if not before.startswith("A chat between "):
            return None
        turns.insert(0, ("system", before.strip()))
    roles = [role for role, _ in turns]
    first = 1 if roles[:1] == ["system"] else 0
    in_turn = all(role == ("user", "assistant")[at % 2] for at, role in enumerate(roles[first:]))
    whole = "assistant" in roles and not any("</s>" in content for content in spoken)
    return turns if in_turn and whole else None


_ALPACA = re.compile(r"^#{2,3} ?(Instruction|Input|Response):[ \t]*\n?", re.MULTILINE)
_ALPACA_OPENS = re.compile(r"(?:Below is an instruction that describes a task[^\n]*\n\s*)?(?=##)")
_ALPACA_ENDS = ("</s>", "<|endoftext|>", "<|EOT|>", "<eos>")


def _alpaca(text: str) -> Turns | None:
    """`### Instruction:`, `### Input:` and `### Response:` at line starts, in this order."""
    before, *pieces = _ALPACA.split(text[_end(_ALPACA_OPENS, text) :])
    if before.strip() or pieces[:1] != ["Instruction"]:
        return None
    turns: Turns = []
    last = "Response"
    for name, content in zip(pieces[::2], pieces[1::2], strict=True):
        if last not in _FOLLOWS[name]:
            return None
        said = _round(content, _ALPACA_ENDS).rstrip()
        said = said if name == "Response" else said.strip()
        if name == "Input" and said:
            turns[-1] = ("user", f"{turns[-1][1]}\n\n{said}".lstrip())
        elif name != "Input":
            turns.append(("user", said) if name == "Instruction" else ("assistant", said))
        last = name
    return turns


_FOLLOWS = {
    "Instruction": ("Response",),
    "Input": ("Instruction",),
    "Response": ("Instruction", "Input"),
}
_READERS: dict[str, Callable[[str], Turns | None]] = {
    **{template.name: partial(_by_marks, template) for template in _MARKED},
    "Llama 2": _llama2,
    "Vicuna": _vicuna,
    "Alpaca": _alpaca,
}

_NEMOTRON = re.compile(r"\n?<extra_id_1>(User|Assistant)[ \t]*\n?")


def after_first(text: str) -> Written:
    """HelpSteer's prompts: the user's words, and `<extra_id_1>` before each turn that follows.

    Raises `Reject` where the last turn is the assistant's.
    """
    first, *pieces = _NEMOTRON.split(text)
    if not pieces:
        return Written([user(text)])
    messages = [user(first.strip())] if first.strip() else []
    for name, content in zip(pieces[::2], pieces[1::2], strict=True):
        messages.append({"role": name.lower(), "content": content.strip()})
    is_open = messages[-1] == {"role": "assistant", "content": ""}
    messages = messages[:-1] if is_open else messages
    if not messages or messages[-1]["role"] != "user":
        raise Reject("wrong_type", "prompt ends with the assistant's turn; expected the user's")
    note = "`<extra_id_1>` in a prompt begins a turn"
    return Written(messages, is_open, (note,))
