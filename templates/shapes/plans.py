"""The proof of one conversation, as that of all that go the same way through the template.

Where a template's routes are known for the whole conversation and for each of its prefixes,
what `regions.as_one` proves character by character follows from their parts: which texts are
prefixes of which, where the stop stands after an answer, whose words lie between. So it is
proven once, for all texts that answer the template's questions alike, and for another row only
what depends on its words is looked at. Rows that no plan fits are proven as ever.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from templates.messages import Chat, leaves_of
from templates.options import RenderOptions
from templates.proof.regions import Proof, Region
from templates.proof.stops import Stop, first_stop
from templates.sandbox.provenance import Leaf, Span
from templates.shapes.recall import Recall
from templates.shapes.skeleton import Part, Slot, shape_of
from templates.shapes.symbolic import Route
from templates.shapes.symbols import Question
from templates.template import Renderer


class Place(NamedTuple):
    """A place in a text that is put together: so many characters into one of its parts."""

    part: int
    offset: int


class Outline(NamedTuple):
    """A region, in any text of the plan."""

    turn: int
    start: Place
    stop_start: Place
    end: Place
    stop: Stop


class Plan(NamedTuple):
    """What is written and trained for every row of a shape that answers its questions alike."""

    route: Route
    answers: tuple[tuple[Question, bool], ...]  # of all renders that the proof needs
    outlines: tuple[Outline, ...]
    plain_stops: tuple[str, ...]

    def proof(self, leaves: Sequence[Leaf]) -> Proof | None:
        """The proof of a row of these texts; None if it must be proven by itself."""
        texts = [leaf.text for leaf in leaves]
        if not self.route.bounded(texts):
            return None
        for question, answer in self.answers:
            if question.answer(texts) != answer:
                return None
        words: list[str] = []
        starts: list[int] = []
        spans: list[Span] = []
        place = 0
        for part in self.route.skeleton.parts:
            starts.append(place)
            if isinstance(part, str):
                word = part
            else:
                leaf = leaves[part.leaf]
                word, trimmed = part.fill(leaf.text)
                if not word:  # a slot that says nothing is no place to reckon with
                    return None
                spans.append(Span(place, place + len(word), leaf, trimmed))
            words.append(word)
            place += len(word)
        starts.append(place)
        text = "".join(words)
        regions = [
            Region(turn, starts[a[0]] + a[1], starts[b[0]] + b[1], starts[c[0]] + c[1], stop)
            for turn, a, b, c, stop in self.outlines
        ]
        for stop in self.plain_stops:  # I5: generation would end where an answer says its stop
            for region in regions:
                if text.find(stop, region.start, region.end) not in (-1, region.stop_start):
                    return None
        return Proof(text, spans, regions)


class Plans:
    """The plans of one template with one set of stops and options."""

    def __init__(self, renderer: Renderer, stops: Sequence[Stop], options: RenderOptions) -> None:
        self._renderer, self._stops = renderer, tuple(stops)
        tagged = renderer.template.tagging is not None and options.mask != "operational"
        self._possible = not (tagged or options.mask_reasoning or renderer.data)
        self._known: Recall[Plan] = Recall()

    def proof(self, chat: Chat) -> Proof | None:
        """The proof of a conversation by a plan that fits; None if there is none."""
        key = self._key(chat)
        known = self._known.known(key) if key else []
        if not known:
            return None
        leaves = chat.leaves()
        for plan in known:
            proof = plan.proof(leaves)
            if proof is not None:
                return proof
        return None

    def learn(self, chat: Chat, proof: Proof) -> None:
        """Learn from a conversation that no plan fitted and that was proven by itself."""
        key = self._key(chat)
        if key is None or not self._known.wants(key, len(chat.messages)):
            return
        plan = self._plan(chat)
        if plan is not None and not _alike(plan.proof(chat.leaves()), proof):
            plan = None
        self._known.learn(key, plan, len(plan.route.skeleton.parts) if plan else 0)

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
        renderer = self._renderer.of(messages[chat.trained[-1]])
        whole = renderer.route(messages)
        if whole is None:
            return None
        answers = dict(whole.answers)
        routes = [whole]
        outlines = []
        for turn in chat.trained:
            own = self._renderer.of(messages[turn])
            prompt = own.route(messages[:turn], prompt=True)
            last = turn == len(messages) - 1
            upto = whole if last else own.route(messages[: turn + 1])
            if prompt is None or upto is None:
                return None
            outline = outlined(turn, prompt, upto, whole, leaves_of(messages), self._stops)
            if outline is None:
                return None
            outlines.append(outline)
            routes += (prompt, upto)
            answers |= {**dict(prompt.answers), **dict(upto.answers)}
        written = {leaf.message for leaf, _ in _slots(whole, leaves_of(messages))}
        for number, message in enumerate(messages):
            if message["role"] != "assistant" and "content" in message and number not in written:
                return None
        plain = tuple(stop.text for stop in self._stops if stop.id is None)
        asked = tuple(pair for pair in answers.items() if not _follows(*pair, whole))
        return Plan(_bounding(whole, routes), asked, tuple(outlines), plain)


def _bounding(whole: Route, routes: Sequence[Route]) -> Route:
    """The whole route with bounds that hold for all: a prompt may build more than the whole."""
    counts = zip_longest(*(route.counts for route in routes), fillvalue=0)
    constant = max(route.constant for route in routes)
    return whole._replace(constant=constant, counts=tuple(map(max, counts)))


def _alike(one: Proof | None, other: Proof) -> bool:
    """Whether a plan proves what was proven without it; numbers of characters do not matter."""
    if one is None or (one.text, one.regions) != (other.text, other.regions):
        return False
    mine, theirs = (
        [span._replace(leaf=span.leaf._replace(first=0)) for span in proof.spans]
        for proof in (one, other)
    )
    return mine == theirs


def _follows(question: Question, answer: bool, route: Route) -> bool:
    """Whether the answer follows from that every slot of the text says something."""
    if question.kind != "says" or not answer:
        return False
    slots = [part for part in question.parts if isinstance(part, Slot)]
    return any(
        slot.leaf == part.leaf and slot.trims == part.trims[: len(slot.trims)]
        for slot in slots
        for part in route.skeleton.parts
        if isinstance(part, Slot)
    )


def _slots(route: Route, leaves: Sequence[Leaf]) -> list[tuple[Leaf, int]]:
    """The leaves that a route writes, and the number of the part that each is."""
    parts = enumerate(route.skeleton.parts)
    return [(leaves[part.leaf], number) for number, part in parts if isinstance(part, Slot)]


def outlined(
    turn: int,
    prompt: Route,
    upto: Route,
    whole: Route,
    leaves: Sequence[Leaf],
    stops: Sequence[Stop],
) -> Outline | None:
    """`regions.find` and `contents.check` on parts, of which every slot says something.

    None where the parts alone do not tell, which includes all that those would refuse.
    """
    slots = _slots(whole, leaves)
    own = [number for leaf, number in slots if leaf.message == turn]
    ours, theirs = upto.skeleton.parts, whole.skeleton.parts
    start = _end_in(prompt.skeleton.parts, ours)
    if not own or start is None or start.part > own[-1]:
        return None
    after = own[-1] + 1  # the part that follows the last word of the turn
    tail = ours[after:]
    if ours[:after] != theirs[:after] or len(tail) > 1:  # I2, and a stop to be found in any row
        return None
    if any(isinstance(part, Slot) for part in tail):
        return None
    said, following = _text_at(ours, after), _text_at(theirs, after)
    found = first_stop(said, stops) or first_stop(following, stops)
    if found is None:
        return None
    place, stop = found
    end = place + len(stop.text)
    if end <= len(said) and not following.startswith(said[:end]):  # I2
        return None
    if end > len(following):
        return None
    inside = [leaf for leaf, number in slots if start.part <= number < after]
    payload = [leaf for leaf in leaves if leaf.message == turn and leaf.payload]
    if any(leaf.message != turn for leaf in inside):  # I4
        return None
    if any(leaf not in inside for leaf in payload):  # I3
        return None
    return Outline(turn, start, Place(after, place), Place(after, end), stop)


def _text_at(parts: Sequence[Part], number: int) -> str:
    part = parts[number] if number < len(parts) else ""
    return part if isinstance(part, str) else ""


def _end_in(prompt: tuple[Part, ...], parts: tuple[Part, ...]) -> Place | None:
    """Where a prompt ends in a text that starts with it; None if it does not for certain (I1)."""
    last = prompt[-1] if prompt else ""
    text = last if isinstance(last, str) else ""
    number = len(prompt) - bool(text)
    if parts[:number] != prompt[:number] or not _text_at(parts, number).startswith(text):
        return None
    return Place(number, len(text))
