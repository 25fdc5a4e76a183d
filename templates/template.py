"""Chat templates: the bundled ones, a file, or a tokenizer's own; and rendering with one."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError, nearest
from templates.messages import Chat, Message
from templates.options import clock
from templates.provenance import Origins, TracedStr
from templates.sandbox import programs
from templates.sandbox.contained import ContainedPrograms
from templates.sandbox.programs import LocalPrograms, Programs, Runner
from templates.sandbox.tagging import HAS_TAG, Tag, read_marks
from templates.spans import Span, TracedText
from templates.tokenizer.tokenizer import Tokenizer

# Bundled templates: name, and one line that says what it looks like.
TEMPLATES: dict[str, str] = {
    "alpaca": "### Instruction: / ### Response: with a preamble; stops at eos",
    "chatml": "<|im_start|>role ... <|im_end|>, as Qwen and many others",
    "command-r": "<|START_OF_TURN_TOKEN|><|USER_TOKEN|> ..., as Command R and Aya",
    "deepseek": "<｜User｜> ... <｜Assistant｜> ..., tools included, as DeepSeek V3; stops at eos",
    "gemma": "<start_of_turn>user ... <end_of_turn>, as Gemma 1 and 2; no system message",
    "gpt-oss": "<|start|>role<|channel|>...<|message|> ..., Harmony, tools and reasoning included",
    "llama3": "<|start_header_id|>role<|end_header_id|> ... <|eot_id|>, as Llama 3",
    "mistral": "[INST] ... [/INST] answer, tools included, as Mistral v3; stops at eos",
    "mistral-v1": "[INST] ... [/INST] answer, as Mistral v1; stops at eos",
    "mistral-v2": "[INST] ... [/INST] answer, tools included, as Mistral v2; stops at eos",
    "phi": "<|user|> ... <|end|>, as Phi-3",
    "qwen": "ChatML with tools, as Qwen3 Instruct, without thinking",
    "qwen-thinking": "ChatML with tools and <think> blocks, as the hybrid Qwen3",
    "simple": "Human: ... / Assistant: ...; stops at eos",
    "vicuna": "USER: ... ASSISTANT: ... with a preamble, as Vicuna 1.1; stops at eos",
    "zephyr": "<|user|> / <|assistant|> on lines of their own, as Zephyr; stops at eos",
}
# Where generation ends, for those whose probes do not tell: an end that only the last turn or only
# a tool call has, or an eos after the end of the conversation.
STOPS: dict[str, tuple[str, ...]] = {
    "gpt-oss": ("<|return|>", "<|call|>"),
    "phi": ("<|end|>",),
}
THINKING = "enable_thinking"  # what hybrid templates ask: Qwen3, GLM, SmolLM3
BUNDLED = "bundled"  # the origin of templates that are not a stranger's
OWN = "tokenizer"  # the name of a tokenizer's own template
TOOL_USE = "tool_use"  # the one of several that transformers uses for conversations with tools
_NO_DEFAULT = (
    "{{ raise_exception('the tokenizer has a template for conversations with tools alone, and this "
    "one has none') }}"
)


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja chat template. `tool_use` takes its place for rows with tools, where there is one.

    `origin` is "bundled", a file, or the tokenizer it came with. `stops` are ends of turns that
    its probes do not tell.
    """

    name: str
    source: str
    origin: str
    tool_use: ChatTemplate | None = None
    stops: tuple[str, ...] = ()

    @cached_property
    def programs(self) -> Programs:
        """What renders it: those of strangers run in a process of their own."""
        kind = LocalPrograms if self.origin == BUNDLED else ContainedPrograms
        return kind(self.source, self.name)

    @cached_property
    def plain(self) -> Runner:
        """The program that renders a conversation."""
        return Runner(self.programs, programs.plain)

    @cached_property
    def tagging(self) -> Runner | None:
        """The program that marks what the generation tags enclose; None without tags."""
        return Runner(self.programs, programs.tagged) if HAS_TAG.search(self.source) else None

    @property
    def reads(self) -> frozenset[str]:
        """The variables that the template reads."""
        return self.programs.reads

    def allowance(self) -> AbstractContextManager[None]:
        """Renderings inside may take together what one may take, else they raise `TooCostly`."""
        return programs.allowance()

    def search(self) -> AbstractContextManager[None]:
        """Renderings inside of a stranger's template end with `SearchEnded` after some seconds."""
        return nullcontext() if self.origin == BUNDLED else programs.search()

    @property
    def hash(self) -> str:
        """SHA-256 of the source, in hexadecimal."""
        return hashlib.sha256(self.source.encode()).hexdigest()


@dataclass(frozen=True)
class Renderer:
    """A template with everything but the conversation: special tokens, clock, arguments.

    `data` names the variables that are data of one row, such as documents.
    """

    template: ChatTemplate
    variables: Mapping[str, Any]
    data: tuple[str, ...] = ()

    def with_data(self, given: Mapping[str, Any]) -> Renderer:
        """The renderer of a row that gives the template documents or arguments of its own."""
        variables = {**self.variables, **given}
        return Renderer(self.template, variables, tuple(given)) if given else self

    def of(self, message: Message) -> Renderer:
        """The renderer of a turn: a template that asks learns whether this turn has reasoning.

        Then an empty block of thoughts that it writes for answers without any is in the prompt,
        as at inference, and not trained.
        """
        return self._thinking[bool(message.get("reasoning_content"))]

    @cached_property
    def _thinking(self) -> tuple[Renderer, Renderer]:
        """The renderer of turns without reasoning, and of turns with it."""
        if THINKING not in self.template.reads or THINKING in self.variables:
            return self, self
        without, thinking = (
            dataclasses.replace(self, variables={**self.variables, THINKING: asked})
            for asked in (False, True)
        )
        return without, thinking

    def text(self, messages: list[Message], tools: list[Any] | None, prompt: bool = False) -> str:
        """The rendered text; `prompt` asks for the template text that opens an answer to come.

        Raises `TemplateFailed` where the template does.
        """
        return self.template.plain.run(self.given(messages, tools, prompt))

    def given(
        self, messages: Sequence[Message], tools: list[Any] | None, prompt: bool
    ) -> dict[str, Any]:
        """All variables that the template is given."""
        return {
            **self.variables,
            "messages": messages,
            "tools": tools,
            "add_generation_prompt": prompt,
        }

    def tags(self, messages: list[Message], tools: list[Any] | None, text: str) -> list[Tag] | None:
        """What the generation tags enclose in a rendered text; None if that is not known."""
        program = self.template.tagging
        if program is None:
            return []
        return read_marks(program.run(self.given(messages, tools, False)), text)

    def origins(
        self, chat: Chat, text: str, prompt: bool = False
    ) -> tuple[list[Span], list[TracedText]] | str:
        """Which characters of a rendered text are whose data, and all data of the conversation.

        Returns the other text if tracing the data gives another one than `text`.
        """
        traced, origins = self.traced(chat, prompt)
        if traced != text:
            return str.__str__(traced)
        return origins.spans(traced), origins.sources

    def traced(self, chat: Chat, prompt: bool) -> tuple[TracedStr, Origins]:
        """The rendered text with the origin of each character. Raises `TemplateFailed`."""
        given, origins = self.traceable(chat, prompt)
        return with_origins(*self.template.programs.do(programs.traced, given)), origins

    def traceable(self, chat: Chat, prompt: bool) -> tuple[dict[str, Any], Origins]:
        """All variables that the template is given, every text of the data traced."""
        messages, tools, origins = chat.traced()
        given = self.given(messages, tools, prompt)
        given |= {name: origins.trace_all(given[name], -1, name, False) for name in self.data}
        return given, origins


def with_origins(text: str, runs: Sequence[int]) -> TracedStr:
    """What the job `traced` gives, as a text that knows its origins."""
    return TracedStr(text, tuple(zip(runs[::2], runs[1::2], strict=True)))


def bind(
    template: ChatTemplate,
    tokenizer: Tokenizer | None,
    date: str,
    arguments: Mapping[str, Any] | None = None,
) -> Renderer:
    """A template ready to render: the tokenizer's special tokens, a frozen day, `arguments`.

    Raises `CurateError` for an argument that the template does not read.
    """
    unread = sorted(set(arguments or {}) - template.reads)
    if unread:
        raise CurateError(f"template {template.name}: it does not read the argument {unread[0]!r}")
    if tokenizer is None and "eos_token" in template.reads:
        raise CurateError(
            f"template {template.name}: it writes the tokenizer's eos_token; "
            "name a tokenizer with --tokenizer"
        )
    special = tokenizer.special if tokenizer else {}
    given = {"documents": None, **special, "strftime_now": clock(date), **(arguments or {})}
    return Renderer(template, given)


def load_template(name: str | None, tokenizer: Tokenizer | None) -> ChatTemplate:
    """A bundled template by name, a `.jinja` file by path, or the tokenizer's own.

    `None` and "tokenizer" mean the tokenizer's own; "tokenizer:NAME" one of several it has.
    Raises `CurateError` for an unknown name, a file that cannot be read, a template that Jinja
    cannot parse, and a tokenizer that has no chat template. Of two templates one that cannot be
    parsed refuses the rows that need it.
    """
    template = _find(name or OWN, tokenizer)
    if template.tool_use is None:
        template.programs.compile()  # a syntax error is raised now, not on a row
    return template


def _find(name: str, tokenizer: Tokenizer | None) -> ChatTemplate:
    kind, _, variant = name.partition(":")
    if kind == OWN:
        return _own(variant or None, tokenizer)
    if name in TEMPLATES:
        source = importlib.resources.files("templates") / "chat" / f"{name}.jinja"
        return ChatTemplate(name, source.read_text("utf-8"), BUNDLED, stops=STOPS.get(name, ()))
    path = Path(name).expanduser()
    if path.is_file():
        return ChatTemplate(path.stem, _read(path), name)
    if path.suffix == ".jinja" or "/" in name:
        raise CurateError(f"template {name}: there is no such file")
    known = ", ".join([*TEMPLATES, OWN])
    hint = nearest(name, [*TEMPLATES, OWN])
    raise CurateError(f"template {name!r} is unknown{hint}; known: {known}, or a .jinja file")


def _own(variant: str | None, tokenizer: Tokenizer | None) -> ChatTemplate:
    """The tokenizer's template; with several, "tool_use" stands in for rows with tools."""
    if tokenizer is None:
        raise CurateError(
            "the tokenizer's own template is wanted, but no tokenizer is given: name one with"
            " --tokenizer, or another --template"
        )
    known = tokenizer.chat_templates
    if not known:
        raise CurateError(
            f"tokenizer {tokenizer.name} has no chat template; "
            f"choose one with --template: {', '.join(TEMPLATES)}, or a .jinja file"
        )
    origin = f"tokenizer {tokenizer.name}"
    tool_use = None
    if variant is None and TOOL_USE in known:
        tool_use = ChatTemplate(f"{OWN}:{TOOL_USE}", known[TOOL_USE], origin)
    chosen = variant or "default"
    if chosen not in known and tool_use is not None:
        # Rows with tools have theirs; others are refused by name, as transformers does.
        return ChatTemplate(OWN, _NO_DEFAULT, origin, tool_use)
    if chosen not in known:
        names = ", ".join(f"{OWN}:{name}" for name in known)
        raise CurateError(
            f"tokenizer {tokenizer.name} has no chat template {chosen!r}; use {names}"
        )
    return ChatTemplate(f"{OWN}:{variant}" if variant else OWN, known[chosen], origin, tool_use)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CurateError(f"template {path}: cannot be read as text: {error}") from error


def describe() -> list[tuple[str, str]]:
    """Every bundled template and the tokenizer's own: name, and one line about it."""
    return [*TEMPLATES.items(), (OWN, "the chat template that the tokenizer came with")]
