"""The proof of one conversation, as that of all that go the same way through the template.

Where a template's paths are known for the whole conversation and for each of its prefixes,
what `trained.as_one` proves character by character follows from their parts: which texts are
prefixes of which, where the stop stands after an answer, whose words lie between. So it is
proven once, for all texts that meet the path's conditions alike, and for another row only
what depends on its words is looked at. Rows that no plan fits are proven as ever.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from templates.fast.cache import ShapeCache
from templates.fast.renderer import FastRenderer
from templates.fast.shapes import shape_of, traced_texts
from templates.fast.skeleton import Part, Slot
from templates.fast.symbolic import Path
from templates.fast.symbols import PathCondition
from templates.messages import Chat, Message
from templates.options import RenderOptions
from templates.proof.chains import prove
from templates.spans import Stop, TracedText, TrainedSpan, VerifiedRender, first_stop
from templates.template import Renderer


class Place(NamedTuple):
    """A place in a text that is put together: so many characters into one of its parts."""

    part: int
    offset: int


class Outline(NamedTuple):
    """A trained span, in any text of the plan."""

    turn: int
    start: Place
    stop_start: Place
    end: Place
    stop: Stop


class Plan(NamedTuple):
    """What is written and trained for every row of a shape that meets its conditions alike."""

    path: Path
    answers: tuple[tuple[PathCondition, bool], ...]  # of all renders that the proof needs
    outlines: tuple[Outline, ...]
    plain_stops: tuple[str, ...]
    slots: int  # parts of the text that are data

    def fill(self, sources: Sequence[TracedText]) -> VerifiedRender | None:
        """The verified text of a row of these texts; None if it must be proven by itself."""
        texts = [source.text for source in sources]
        if not self.path.bounded(texts):
            return None
        for condition, answer in self.answers:
            if condition.holds(texts) != answer:
                return None
        text, spans, starts = self.path.skeleton.placed(sources)
        if len(spans) < self.slots:  # an empty slot is no place to reckon with
            return None
        trained = [
            TrainedSpan(turn, starts[a[0]] + a[1], starts[b[0]] + b[1], starts[c[0]] + c[1], stop)
            for turn, a, b, c, stop in self.outlines
        ]
        for stop in self.plain_stops:  # generation would end where an answer holds its stop
            for target in trained:
                if text.find(stop, target.start, target.end) not in (-1, target.stop_start):
                    return None
        return VerifiedRender(text, spans, trained)


class Plans:
    """Proves what `prove` proves; `plans` of one template with one set of stops and options."""

    def __init__(self, renderer: Renderer, stops: Sequence[Stop], options: RenderOptions) -> None:
        self._renderer = FastRenderer.over(renderer)
        self._stops, self._options = tuple(stops), options
        tagged = renderer.template.tagging is not None and options.mask != "operational"
        self._possible = not (tagged or options.mask_reasoning or renderer.data)
        self.plans: ShapeCache[Plan] = ShapeCache()

    def prove(self, chat: Chat) -> list[VerifiedRender]:
        """The verified texts of a conversation, by a plan that fits or as `prove` proves them.

        Raises the `Refusal` of a failed check.
        """
        known = self.known(chat)
        if known is not None:
            return [known]
        self._renderer.foresee(chat)
        renders = prove(self._renderer, chat, self._stops, self._options)
        if len(renders) == 1 and len(renders[0].trained) == len(chat.trained):
            self._learn(chat, renders[0])
        return renders

    def known(self, chat: Chat) -> VerifiedRender | None:
        """The verified text of a conversation by a plan that fits; None if there is none."""
        key = self._key(chat)
        plans = self.plans.known(key) if key else []
        if not plans:
            return None
        sources = traced_texts(chat.messages)
        fitting = (plan.fill(sources) for plan in plans)
        return next((verified for verified in fitting if verified is not None), None)

    def _learn(self, chat: Chat, verified: VerifiedRender) -> None:
        """Learn from a conversation that no plan fitted and that was proven by itself."""
        key = self._key(chat)
        if key is None or not self.plans.wants(key, len(chat.messages)):
            return
        plan = self._plan(chat)
        if plan is not None and not _alike(plan.fill(traced_texts(chat.messages)), verified):
            plan = None
        self.plans.learn(key, plan, len(plan.path.skeleton.parts) if plan else 0)

    def _key(self, chat: Chat) -> Hashable:
        """What rows must share to share a plan; None for those that are always proven alone."""
        if not self._possible or chat.open or chat.given:
            return None
        shape = shape_of(chat.messages, chat.tools)
        if shape is None:
            return None
        thinks = [bool(message.get("reasoning_content")) for message in chat.messages]
        return shape, chat.trained, tuple(thinks) if any(thinks) else ()

    def _plan(self, chat: Chat) -> Plan | None:
        messages = chat.messages
        if any(messages[turn]["role"] != "assistant" for turn in chat.trained):
            return None
        whole = self._of(messages[chat.trained[-1]]).path(messages)
        if whole is None:
            return None
        sources, paths = traced_texts(messages), [whole]
        outlines = []
        for turn in chat.trained:
            own = self._of(messages[turn])
            prompt = own.path(messages[:turn], prompt=True)
            last = turn == len(messages) - 1
            upto = whole if last else own.path(messages[: turn + 1])
            if prompt is None or upto is None:
                return None
            outline = outlined(turn, prompt, upto, whole, sources, self._stops)
            if outline is None:
                return None
            outlines.append(outline)
            paths += (prompt, upto)
        written = {source.message for source, _ in _slots(whole, sources)}
        for number, message in enumerate(messages):
            if message["role"] != "assistant" and "content" in message and number not in written:
                return None
        plain = tuple(stop.text for stop in self._stops if stop.id is None)
        answers = {condition: answer for path in paths for condition, answer in path.answers}
        asked = tuple(pair for pair in answers.items() if not _follows(*pair, whole))
        slots = len(_slots(whole, sources))
        return Plan(_bounding(whole, paths), asked, tuple(outlines), plain, slots)

    def _of(self, message: Message) -> FastRenderer:
        own = self._renderer.of(message)
        assert isinstance(own, FastRenderer)  # made from one by `dataclasses.replace`
        return own


def _bounding(whole: Path, paths: Sequence[Path]) -> Path:
    """The whole path with bounds that hold for all: a prompt may build more than the whole."""
    counts = zip_longest(*(path.counts for path in paths), fillvalue=0)
    constant = max(path.constant for path in paths)
    return whole._replace(constant=constant, counts=tuple(map(max, counts)))


def _alike(one: VerifiedRender | None, other: VerifiedRender) -> bool:
    """Whether a plan proves what was proven without it; numbers of characters do not matter."""
    if one is None or (one.text, one.trained) != (other.text, other.trained):
        return False
    mine, theirs = (
        [span._replace(source=span.source._replace(first=0)) for span in verified.spans]
        for verified in (one, other)
    )
    return mine == theirs


def _follows(condition: PathCondition, answer: bool, path: Path) -> bool:
    """Whether the answer follows from that no slot of the text is empty."""
    if condition.kind != "nonempty" or not answer:
        return False
    slots = [part for part in condition.parts if isinstance(part, Slot)]
    return any(
        slot.source == part.source and slot.trims == part.trims[: len(slot.trims)]
        for slot in slots
        for part in path.skeleton.parts
        if isinstance(part, Slot)
    )


def _slots(path: Path, sources: Sequence[TracedText]) -> list[tuple[TracedText, int]]:
    """The texts that a path writes, and the number of the part that each is."""
    parts = enumerate(path.skeleton.parts)
    return [(sources[part.source], number) for number, part in parts if isinstance(part, Slot)]


def outlined(
    turn: int,
    prompt: Path,
    upto: Path,
    whole: Path,
    sources: Sequence[TracedText],
    stops: Sequence[Stop],
) -> Outline | None:
    """`trained.generated` and `contents.check` on parts, of which no slot is empty.

    None where the parts alone do not tell, which includes all that those would refuse.
    """
    slots = _slots(whole, sources)
    own = [number for source, number in slots if source.message == turn]
    ours, theirs = upto.skeleton.parts, whole.skeleton.parts
    start = _end_in(prompt.skeleton.parts, ours)
    if not own or start is None or start.part > own[-1]:
        return None
    after = own[-1] + 1  # the part that follows the last word of the turn
    tail = ours[after:]
    one_text = len(tail) < 2 and not any(isinstance(part, Slot) for part in tail)
    if ours[:after] != theirs[:after] or not one_text:  # history, and a stop in any row
        return None
    closing, following = _text_at(ours, after), _text_at(theirs, after)
    stop_found = first_stop(closing, stops) or first_stop(following, stops)
    if stop_found is None:
        return None
    place, stop = stop_found
    end = place + len(stop.text)
    if end <= len(closing) and not following.startswith(closing[:end]):  # history
        return None
    if end > len(closing) and not following[:end].startswith(closing):  # ends another turn
        return None
    if end > len(following):
        return None
    inside = [source for source, number in slots if start.part <= number < after]
    answers = [source for source in sources if source.message == turn and source.is_answer]
    if any(source.message != turn for source in inside):  # another's text
        return None
    if any(source not in inside for source in answers):  # text that is lost
        return None
    return Outline(turn, start, Place(after, place), Place(after, end), stop)


def _text_at(parts: Sequence[Part], number: int) -> str:
    part = parts[number] if number < len(parts) else ""
    return part if isinstance(part, str) else ""


def _end_in(prompt: tuple[Part, ...], parts: tuple[Part, ...]) -> Place | None:
    """Where a prompt ends in a text that starts with it; None if it does not for certain."""
    last = prompt[-1] if prompt else ""
    text = last if isinstance(last, str) else ""
    number = len(prompt) - bool(text)
    if parts[:number] != prompt[:number] or not _text_at(parts, number).startswith(text):
        return None
    return Place(number, len(text))
