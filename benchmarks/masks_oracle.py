"""What must be trained of a conversation, found without the code that is judged by it.

It knows transformers' `apply_chat_template`, a tokenizer, and the stops that a checkpoint will
have. Each prompt is rendered by itself, each answer is what the turn's own text has after it, and
both are compared with the rendered rows by token ids.

Where data stands in a rendered text is found by marks: private characters are put into the data,
the conversation is rendered once more, and counts only if nothing else changed. Control tokens that
data spells are marked likewise, so that they are encoded as text.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import tokenizers
from transformers.utils import chat_template_utils

Message = dict[str, Any]

START, END, OTHER = "\ue001", "\ue002", "\ue003"  # around own words, and beside those of others
_MARKS = re.compile("[\ue001-\ue003]")
_SPELT = 0xE100  # from here on: the first characters of control tokens that data spells
IGNORED = -100
REASONING = ("reasoning", "reasoning_content", "thinking")


class Fault(Exception):
    """Something that was rendered as it must not be; `expected` and `got` are shown."""

    def __init__(self, kind: str, turn: int | None, expected: str = "", got: str = "") -> None:
        super().__init__(kind)
        self.kind, self.turn, self.expected, self.got = kind, turn, expected, got


class Cannot(Exception):
    """The template does not render a conversation."""


class Stop(NamedTuple):
    text: str
    id: int | None


class Expected(NamedTuple):
    """The prompt of a turn and what must be generated after it, with control tokens marked."""

    prompt: str
    answer: str
    stop: Stop
    how: str  # own, borrowed, continued, eos or raw


@dataclass(frozen=True)
class Options:
    """The options of rendering that change what is right."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    append_eos: bool = False
    completion: str = "template"


class Ids:
    """A tokenizer by ids: control tokens that a template writes, and everything else as text."""

    def __init__(self, tokenizer: Any) -> None:
        whole = json.loads(tokenizer.backend_tokenizer.to_str())
        self.controls = {token["content"]: token["id"] for token in whole["added_tokens"]}
        self.special = {token["content"] for token in whole["added_tokens"] if token["special"]}
        self.whole = tokenizers.Tokenizer.from_str(json.dumps({**whole, "post_processor": None}))
        bare = {**whole, "post_processor": None, "added_tokens": []}
        self.first = tokenizers.Tokenizer.from_str(json.dumps(bare))
        # Some tokenizers put a space before the start of a text, and nowhere else.
        if (before := bare["pre_tokenizer"])["type"] == "Metaspace":
            bare["pre_tokenizer"] = {**before, "prepend_scheme": "never"}
        self.later = tokenizers.Tokenizer.from_str(json.dumps(bare))
        longest = sorted(self.controls, key=lambda text: (-len(text), text))
        self.pattern = re.compile("|".join(map(re.escape, longest)) or "(?!)")
        self.firsts = sorted({text[0] for text in self.controls})
        self._known: dict[tuple[str, bool], list[int]] = {}

    def hide(self, text: str, only: str | None = None) -> str:
        """The text with the first character of each control token that it spells marked."""

        def hidden(match: re.Match[str]) -> str:
            if only is not None and match[0] != only:
                return match[0]
            return chr(_SPELT + self.firsts.index(match[0][0])) + match[0][1:]

        return self.pattern.sub(hidden, text)

    def shown(self, text: str) -> str:
        """The text without such marks; it is as long as before."""
        return "".join(
            self.firsts[ord(char) - _SPELT] if _SPELT <= ord(char) < _SPELT + 64 else char
            for char in text
        )

    def encode(self, text: str, cuts: Sequence[int] = ()) -> list[int]:
        """The ids of a text, marked ones as text; cut where a token may not lie across."""
        edges = [0, *sorted(set(cuts)), len(text)]
        parts = [(text[low:high], low) for low, high in itertools.pairwise(edges)]
        return [number for part, low in parts for number in self._part(part, low)]

    def encode_after(self, text: str) -> list[int]:
        """The ids of a text that goes on after a cut."""
        return self.encode(f"a{text}", (1,))[len(self.encode("a")) :]

    def _part(self, text: str, low: int) -> list[int]:
        ids, place = [], 0
        for match in self.pattern.finditer(text):
            ids += self._text(text[place : match.start()], low + place == 0)
            ids.append(self.controls[match[0]])
            place = match.end()
        ids += self._text(text[place:], low + place == 0)
        if self.shown(text) == text and low == 0:
            plain = self.whole.encode(text, add_special_tokens=False).ids
            assert plain == ids, "the oracle's own encoding"
        return ids

    def _text(self, text: str, is_first: bool) -> list[int]:
        if (text, is_first) not in self._known:
            encoder = self.first if is_first else self.later
            ids = encoder.encode(self.shown(text), add_special_tokens=False).ids
            self._known[text, is_first] = ids
        return self._known[text, is_first]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.whole.decode(list(ids), skip_special_tokens=False))


class Renders:
    """Plain texts by transformers, each rendered once.

    `source` is a template, or several by name, of which transformers chooses.
    """

    def __init__(self, tokenizer: Any, source: str | Mapping[str, str]) -> None:
        self.tokenizer, self.template = tokenizer, source
        self.source = source if isinstance(source, str) else "\n".join(source.values())
        tokenizer.chat_template = source
        self.asks = self.reads("enable_thinking")
        self._known: dict[str, str | Cannot] = {}

    def reads(self, name: str) -> bool:
        return re.search(rf"\b{name}\b", self.source) is not None

    def text(
        self,
        messages: Sequence[Message],
        row: Mapping[str, Any],
        prompt: bool = False,
        **arguments: Any,
    ) -> str:
        """One rendered text. Raises `Cannot`."""
        given = {"tools": row.get("tools"), "add_generation_prompt": prompt, **arguments}
        if self.reads("documents"):
            given["documents"] = row.get("documents")
        key = json.dumps([messages, given])
        if key not in self._known:
            try:
                self._known[key] = self._rendered(messages, given)
            except Exception as error:  # a template may fail in any way
                self._known[key] = Cannot(f"{type(error).__name__}: {error}")
        known = self._known[key]
        if isinstance(known, Cannot):
            raise known
        return known

    def writes_reasoning(self, row: Mapping[str, Any]) -> bool:
        """Whether the template has a place for the reasoning of the last answer."""
        thought = "Quinces were thought of"
        answer = {"role": "assistant", "content": "Yes.", "reasoning": thought}
        given = {"enable_thinking": True} if self.asks else {}
        try:
            return thought in self.text([{"role": "user", "content": "Hm?"}, answer], row, **given)
        except Cannot:
            return False

    def _rendered(self, messages: Sequence[Message], given: Mapping[str, Any]) -> str:
        if messages:
            return str(self.tokenizer.apply_chat_template(list(messages), tokenize=False, **given))
        # Nothing stands before an answer that is first; transformers asks for a message.
        source = self.tokenizer.get_chat_template(tools=given["tools"])
        compiled = chat_template_utils._compile_jinja_template(source)
        named = self.tokenizer.special_tokens_map
        return str(compiled.render(messages=[], **{"documents": None, **named, **given}))


def plain(message: Mapping[str, Any]) -> Message:
    """A message as transformers is given it: arguments as objects, no weight."""
    given = {key: value for key, value in message.items() if key != "weight"}
    if given.get("tool_calls"):
        given["tool_calls"] = [_call(call) for call in given["tool_calls"]]
    return given


def _call(call: Mapping[str, Any]) -> Message:
    function = dict(call["function"])
    if isinstance(function["arguments"], str):
        function["arguments"] = json.loads(function["arguments"])
    return {**call, "function": function}


def moved(messages: Sequence[Message]) -> list[Message] | None:
    """The messages with thoughts at the start of answers as their reasoning; None without any."""
    made = [_moved(message) for message in messages]
    return made if made != list(messages) else None


def _moved(message: Message) -> Message:
    content = message.get("content") or ""
    is_answer = message["role"] == "assistant" and not any(message.get(n) for n in REASONING)
    match = re.fullmatch(r"\s*(?:<think>)?(.*?)</think>(.*)", content, re.DOTALL)
    if not is_answer or match is None or "think>" in match[1] + match[2]:
        return message
    reasoning, rest = match[1].strip("\n"), match[2].lstrip("\n")
    if not rest.strip() and not message.get("tool_calls"):
        return message
    given = {"reasoning": reasoning} if reasoning.strip() else {}
    return {**message, "content": rest, **given}


Change = Callable[[str], str]
# What is marked of a message, from all to little: templates compare names and ids.
_ALL = ("content", "reasoning", "name", "arguments", "keys", "ids")
_LESS = ("content", "reasoning", "name", "arguments", "keys")
_LEVELS = (_ALL, _LESS, ("content", "reasoning", "arguments"), ("content", "reasoning"))


def changed(message: Message, change: Change, fields: Sequence[str]) -> Message:
    """A message with its texts changed."""
    made = dict(message)
    for key in ("content", *REASONING):
        if isinstance(made.get(key), str) and (key if key == "content" else "reasoning") in fields:
            made[key] = change(made[key])
    for key in ("name", "tool_call_id"):
        if isinstance(made.get(key), str) and "ids" in fields:
            made[key] = change(made[key])
    if made.get("tool_calls"):
        made["tool_calls"] = [_changed_call(call, change, fields) for call in made["tool_calls"]]
    return made


def _changed_call(call: Message, change: Change, fields: Sequence[str]) -> Message:
    function = dict(call["function"])
    if "name" in fields:
        function["name"] = change(function["name"])
    if "arguments" in fields:
        function["arguments"] = _changed_value(function["arguments"], change, "keys" in fields)
    return {**call, "function": function}


def _changed_value(value: Any, change: Change, keys: bool) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_changed_value(item, change, keys) for item in value]
    if isinstance(value, dict):
        return {
            (change(key) if keys else key): _changed_value(item, change, keys)
            for key, item in value.items()
        }
    return value


def _own(text: str) -> str:
    """The text with marks before its first and after its last character that is no space."""
    return _around(text, START, END)


def _others(text: str) -> str:
    return _around(text, OTHER, OTHER)


def _own_after(text: str) -> str:
    return _around(text, "", END)


def _others_after(text: str) -> str:
    return _around(text, "", OTHER)


def _own_whole(text: str) -> str:
    """With the white space at its end: some templates leave it there."""
    return f"{_around(text, START, '')}{END}" if text.strip() else text


_WAYS = ((_own_whole, _others), (_own, _others), (_own_after, _others_after))


def _around(text: str, before: str, after: str) -> str:
    inner = text.strip()
    low = text.find(inner)
    high = low + len(inner)
    return f"{text[:low]}{before}{inner}{after}{text[high:]}" if inner else text


class Marked(NamedTuple):
    """Where marks stand in a text, as character offsets of the text without them."""

    own: list[tuple[int, str]]
    others: list[int]

    @classmethod
    def read(cls, text: str) -> Marked:
        own, others = [], []
        for count, match in enumerate(_MARKS.finditer(text)):
            place = match.start() - count
            if match[0] == OTHER:
                others.append(place)
            else:
                own.append((place, match[0]))
        return cls(own, others)

    @property
    def end(self) -> int | None:
        """The offset after the last of a message's own words."""
        ends = [place for place, mark in self.own if mark == END]
        return max(ends, default=None)

    @property
    def start(self) -> int | None:
        starts = [place for place, mark in self.own if mark == START]
        return min(starts, default=None)


class Conversation:
    """One row with one template and tokenizer: what each of its turns must train."""

    def __init__(
        self,
        renders: Renders,
        ids: Ids,
        row: Mapping[str, Any],
        stops: Sequence[Stop],
        options: Options,
        eos: str,
    ) -> None:
        self.renders, self.ids, self.row = renders, ids, row
        self.stops, self.options, self.eos = stops, options, eos
        self.given = row["messages"]
        self.messages = [plain(message) for message in self.given]

    @property
    def turns(self) -> list[int]:
        """The assistant's messages that are to be trained."""
        return [
            turn
            for turn, message in enumerate(self.given)
            if message["role"] == "assistant" and message.get("weight") != 0
        ]

    def _arguments(self, turn: int) -> dict[str, Any]:
        given = dict(self.options.arguments)
        own = self.row.get("chat_template_kwargs") or {}
        given |= {name: value for name, value in own.items() if self.renders.reads(name)}
        if self.renders.asks and "enable_thinking" not in given:
            message = self.messages[turn]
            given["enable_thinking"] = any(message.get(name) for name in REASONING)
        return given

    def _text(self, messages: Sequence[Message], turn: int, prompt: bool = False) -> str:
        try:
            return self.renders.text(messages, self.row, prompt, **self._arguments(turn))
        except Cannot as error:
            raise Fault("the template fails", turn, got=str(error)) from error

    def _marks(self, upto: int, turn: int, prompt: bool = False) -> Marked:
        """Where the words of a turn and of others stand in the text of the first `upto` messages.

        All are marked at once if that changes nothing; else each message by itself, those left
        out whose marks change the text. Raises `Fault` where the turn's own do.
        """
        at_once = self._marked(range(upto), upto, turn, prompt)
        if at_once is not None:
            return at_once
        own, others = list[tuple[int, str]](), list[int]()
        for number in range(upto):
            alone = self._marked((number,), upto, turn, prompt)
            if alone is None and number == turn:
                raise Fault("marks change the text", turn)
            if alone is not None:
                own += alone.own
                others += alone.others
        return Marked(own, others)

    def _marked(self, numbers: Sequence[int], upto: int, turn: int, prompt: bool) -> Marked | None:
        """The marks of some messages; None if the text changes whatever is marked of them."""
        messages = self.messages[:upto]
        text = self._text(messages, turn, prompt)
        # Marks before a word keep a template from seeing how it begins: if need be, go without.
        for (own, others), fields in itertools.product(_WAYS, _LEVELS):
            made = [
                changed(message, own if number == turn else others, fields)
                if number in numbers
                else message
                for number, message in enumerate(messages)
            ]
            try:
                shown = self._text(made, turn, prompt)
            except Fault:
                continue
            if _MARKS.sub("", shown) == text:
                return Marked.read(shown)
        return None

    def _hidden(self, upto: int, turn: int, prompt: bool = False) -> str:
        """The text with all control tokens marked that data spells; as long as without marks.

        Where a template reads a token in the data, such as `<think>`, the token stays as it is.
        """
        messages = self.messages[:upto]
        text = self._text(messages, turn, prompt)
        hidden = self._hidden_from(messages, turn, prompt, text, lambda message, spelt: True)
        if hidden is not None:
            return hidden
        kept: set[tuple[int, str]] = set()
        for number, spelt in self._spelt(messages):
            alone = self._hidden_from(
                messages, turn, prompt, text, lambda n, s, pair=(number, spelt): (n, s) == pair
            )
            if alone is not None:
                kept.add((number, spelt))
        both = self._hidden_from(messages, turn, prompt, text, lambda n, s: (n, s) in kept)
        return text if both is None else both

    def _spelt(self, messages: Sequence[Message]) -> list[tuple[int, str]]:
        pairs: list[tuple[int, str]] = []
        for number, message in enumerate(messages):
            texts: list[str] = []
            changed(message, lambda text, texts=texts: texts.append(text) or text, _ALL)
            found = {match for text in texts for match in self.ids.pattern.findall(text)}
            pairs += [(number, spelt) for spelt in sorted(found)]
        return pairs

    def _hidden_from(
        self,
        messages: Sequence[Message],
        turn: int,
        prompt: bool,
        text: str,
        wanted: Callable[[int, str], bool],
    ) -> str | None:
        spelt = self._spelt(messages)
        if not spelt:
            return text
        made = list(messages)
        for number, control in spelt:
            if wanted(number, control):
                made[number] = changed(made[number], lambda t, c=control: self.ids.hide(t, c), _ALL)
        try:
            hidden = self._text(made, turn, prompt)
        except Fault:
            return None
        return hidden if self.ids.shown(hidden) == text else None

    def expected(self, turn: int) -> Expected:
        """What a turn must train. Raises the `Fault` of a row that should have been refused."""
        prompt = self._text(self.messages[:turn], turn, prompt=True)
        own = self._text(self.messages[: turn + 1], turn)
        hidden_prompt = self._hidden(turn, turn, prompt=True)
        hidden = self._hidden(turn + 1, turn)
        how, start = "own", len(prompt)
        if not own.startswith(prompt):
            continued = self._continued(turn, prompt, own)
            if continued is None:
                return self._raw(turn, hidden_prompt)
            how, start = "continued", continued
        marks = self._marks(turn + 1, turn)
        end = marks.end
        if end is None or end < start:
            raise Fault("the template does not write the answer", turn, got=own[start:])
        found = self._first_stop(own[end:])
        if found is not None:
            place, stop = found
            last = end + place + len(stop.text)
            self._check_others(turn, marks, start, last)
            return Expected(hidden_prompt, hidden[start:last], stop, how)
        self._check_others(turn, marks, start, end)
        return self._stopless(turn, hidden_prompt, hidden[start:end], own[end:])

    def _check_others(self, turn: int, marks: Marked, start: int, end: int) -> None:
        inside = [place for place in marks.others if start < place < end]
        if inside:
            raise Fault("another message's words in the answer", turn)

    def _continued(self, turn: int, prompt: str, own: str) -> int | None:
        """Where the answer starts in a text that changes what came before it.

        Only if both go on alike after the last word of the others.
        """
        if not turn:
            return None
        try:
            asked = self._marks(turn, turn, prompt=True)  # the turn itself is not in it
            marks = self._marks(turn + 1, turn)
        except Fault:
            return None
        if marks.start is None:
            return None
        earlier = [place for place in marks.others if place <= marks.start]
        if not asked.others or not earlier:
            return None
        opening = prompt[max(asked.others) :]
        if not own.startswith(opening, max(earlier)):
            return None
        return max(earlier) + len(opening)

    def _stopless(self, turn: int, prompt: str, words: str, tail: str) -> Expected:
        """What a turn must train whose own text has no stop: a borrowed one, or eos."""
        if turn + 1 < len(self.messages):
            whole = self._text(self.messages, turn)
            marks = self._marks(len(self.messages), turn)
            end = marks.end
            if end is not None:
                limit = min((at for at in marks.others if at >= end), default=len(whole))
                found = self._first_stop(whole[end:limit])
                if found is not None:
                    theirs = whole[end : end + found[0] + len(found[1].text)]
                    if not theirs.startswith(tail):
                        kind = "a borrowed stop against the turn's own text"
                        raise Fault(kind, turn, tail, theirs)
                    return Expected(prompt, words + theirs, found[1], "borrowed")
        if not self.options.append_eos:
            raise Fault("no stop follows the answer", turn, got=tail)
        if any(tail.rstrip().endswith(text) for text in self.ids.special):
            # The model is to stop there: what would be trained after it is never generated.
            raise Fault("eos after a control token that ends the turn", turn, got=tail)
        stop = Stop(self.eos, self.ids.controls.get(self.eos))
        return Expected(prompt, words + tail.rstrip() + self.eos, stop, "eos")

    def token_after(self, turn: int) -> str | None:
        """The first special token after an answer, in its own text or else in the whole one."""
        for upto in (turn + 1, len(self.messages)):
            try:
                text, end = self._text(self.messages[:upto], turn), self._marks(upto, turn).end
            except Fault:
                return None
            for match in self.ids.pattern.finditer(text, end) if end is not None else ():
                if match[0] in self.ids.special:
                    return match[0]
        return None

    def _raw(self, turn: int, prompt: str) -> Expected:
        message = self.messages[turn]
        if self.options.completion != "raw" or message.get("tool_calls"):
            raise Fault("the prompt is no beginning of the turn's text", turn)
        content, bare = self.ids.hide(message["content"]), self.ids.shown(prompt)
        sizes = range(1, min(len(bare), 64) + 1)
        shared = max((n for n in sizes if message["content"].startswith(bare[-n:])), default=0)
        return Expected(prompt, content[shared:], Stop("", None), "raw")

    def _first_stop(self, tail: str) -> tuple[int, Stop] | None:
        found = [(tail.find(stop.text), -len(stop.text), stop) for stop in self.stops]
        places = [one for one in found if one[0] >= 0]
        if not places:
            return None
        place, _, stop = min(places, key=lambda one: one[:2])
        return place, stop

    def check_words(self, turn: int, answer: str) -> None:
        """Every word of the answer stands in its text. Raises `Fault`."""
        squeezed = _squeezed(self.ids.shown(answer))
        for word in _words(self.messages[turn]):
            spellings = {word, json.dumps(word)[1:-1], json.dumps(word, ensure_ascii=False)[1:-1]}
            if not any(_squeezed(spelling) in squeezed for spelling in spellings):
                raise Fault("a word of the answer is lost", turn, word, self.ids.shown(answer))
        for value, spellings in _values(self.messages[turn]):
            if not any(spelling in squeezed for spelling in spellings):
                raise Fault("a value of a call is lost", turn, value, self.ids.shown(answer))


def _squeezed(text: str) -> str:
    """The text without white space and backslashes: templates move one and write the other."""
    return re.sub(r"\\[nrt]|\\|\s", "", text)


def _words(message: Message) -> Iterator[str]:
    """All texts of an answer: content, reasoning, names, keys and texts of arguments."""
    texts: list[str] = []
    fields = ("content", "reasoning", "name", "arguments", "keys")
    changed(message, lambda text: texts.append(text) or text, fields)
    for text in texts:
        # Templates move a block of thoughts, and write its tags themselves.
        yield from (part for part in re.split(r"</?think>", text) if part.strip())


def _values(message: Message) -> Iterator[tuple[str, set[str]]]:
    """Numbers, truth values and nulls in arguments, and how they may be spelt."""
    for call in message.get("tool_calls") or ():
        for value in _leaves(call["function"]["arguments"]):
            written = json.dumps(value)
            yield written, {written, str(value)}


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif not isinstance(value, str):
        yield value


class Example(NamedTuple):
    """A rendered row as it was written."""

    ids: list[int]
    labels: list[int]
    turns: list[int]


def judge(conversation: Conversation, examples: Sequence[Example]) -> Counter[str]:
    """Check all examples of a row; how its stops were found. Raises the first `Fault`."""
    counts = Counter(turn for example in examples for turn in example.turns)
    wanted = conversation.turns
    for turn in sorted({*counts, *wanted}):
        if turn not in wanted:
            raise Fault("a turn is trained that must not be", turn)
        if counts[turn] != 1:
            raise Fault("a turn is not trained once", turn, "1", str(counts[turn]))
    hows: Counter[str] = Counter()
    for example in examples:
        _judge_example(conversation, example, hows)
    return hows


def _judge_example(conversation: Conversation, example: Example, hows: Counter[str]) -> None:
    ids, place, cuts = conversation.ids, 0, list[int]()
    for turn in example.turns:
        expected = conversation.expected(turn)
        how = expected.how
        prompt, used = ids.encode(expected.prompt), list[int]()
        if example.ids[: len(prompt)] != prompt and cuts:
            used, how = list(cuts), f"{how}, cut before"
            prompt = ids.encode(expected.prompt, used)
        _same(conversation, "other ids before the answer", turn, prompt, example.ids[: len(prompt)])
        if expected.how == "raw":
            expected = _with_a_stop(conversation, expected, example.ids[len(prompt) :])
        conversation.check_words(turn, expected.answer)
        text = expected.prompt + expected.answer
        both = ids.encode(text, used)
        trained = both[len(prompt) :]
        if both[: len(prompt)] != prompt:
            trained, how = ids.encode_after(expected.answer), f"{how}, cut"
            cuts.append(len(expected.prompt))
        cuts.append(len(text))
        start, end = len(prompt), len(prompt) + len(trained)
        _same(conversation, "other ids trained", turn, trained, example.ids[start:end])
        if any(label != IGNORED for label in example.labels[place:start]):
            got = ids.decode([n for n in example.labels[place:start] if n != IGNORED])
            raise Fault("something else is trained before the answer", turn, "", got)
        _same(conversation, "other labels", turn, trained, example.labels[start:end])
        _check_stop(conversation, turn, expected, trained)
        place = end
        hows[how] += 1
    if any(label != IGNORED for label in example.labels[place:]):
        got = ids.decode([number for number in example.labels[place:] if number != IGNORED])
        raise Fault("something else is trained after the answer", example.turns[-1], "", got)


def _with_a_stop(conversation: Conversation, expected: Expected, ids: list[int]) -> Expected:
    for stop in conversation.stops:
        answer = expected.answer + stop.text
        encoded = conversation.ids.encode_after(answer)
        if ids[: len(encoded)] == encoded:
            return expected._replace(answer=answer, stop=stop)
    raise Fault("no stop follows the answer", None)


def _check_stop(
    conversation: Conversation, turn: int, expected: Expected, trained: list[int]
) -> None:
    """The stop ends the trained text and stands nowhere else in it."""
    numbers = {stop.id for stop in conversation.stops if stop.id is not None}
    if numbers & set(trained[:-1]):
        raise Fault("a stop in the middle", turn, got=conversation.ids.decode(trained))
    text = conversation.ids.shown(expected.answer)
    for stop in conversation.stops:
        if stop.id is None and stop.text in text[: len(text) - len(stop.text)]:
            raise Fault("a stop in the middle", turn, stop.text, text)
    if expected.stop.id is not None and trained[-1] != expected.stop.id:
        raise Fault("the stop is not last", turn, expected.stop.text, text)
    if expected.stop.id is None and not text.endswith(expected.stop.text):
        raise Fault("the stop is not last", turn, expected.stop.text, text)


def _same(
    conversation: Conversation, kind: str, turn: int, expected: list[int], got: list[int]
) -> None:
    if expected == got:
        return
    at = next(
        (n for n, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b),
        min(len(expected), len(got)),
    )
    low = max(0, at - 8)
    shown = [
        f"{conversation.ids.decode([n for n in ids[low:] if n != IGNORED])!r} {ids[low : at + 8]}"
        for ids in (expected, got)
    ]
    raise Fault(kind, turn, *shown)
