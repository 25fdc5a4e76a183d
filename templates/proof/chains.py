"""A conversation whose history the template rewrites: each turn as it is generated.

Each turn is proven on the text that ends with it. Turns that are generated on one text (the
text up to the first one's stop is a prefix of the next one's) form a chain, which is one
example; stale history is context in it and never trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from templates.messages import ARGUMENTS, DOCUMENTS, Chat
from templates.options import DEFAULTS, RenderOptions
from templates.proof.checks import HistoryRewritten, NoStop, PayloadLost, PromptChanged, Refusal
from templates.proof.contents import check, check_context, follow
from templates.proof.regions import (
    Proof,
    Region,
    as_one,
    borrowed,
    find,
    last_word,
    made,
    marked,
    unfinished,
    words,
)
from templates.proof.stops import Stop
from templates.sandbox.provenance import Leaf, Span
from templates.shapes.plans import Plans
from templates.template import Renderer


def prove(
    renderer: Renderer,
    chat: Chat,
    stops: Sequence[Stop],
    options: RenderOptions = DEFAULTS,
    plans: Plans | None = None,
) -> list[Proof]:
    """Render a conversation and prove its regions, or raise the `Refusal` of the check it fails.

    One proof, unless the template rewrites earlier turns: then one for each chain of turns that
    share a text. Costs two renderings for each trained turn (one for a last message), and
    following the data; less where `plans`, made with the same arguments, know the way.
    """
    known = plans.proof(chat) if plans else None
    if known is not None:
        return [known]
    renderer = renderer.with_data(_read(renderer, chat))
    try:
        proof = as_one(renderer, chat, stops, options)
        if plans:
            plans.learn(chat, proof)
        return [proof]
    except HistoryRewritten:
        if options.history == "error":
            raise
    except NoStop:
        if not options.append_eos:
            raise
    except PromptChanged:
        if options.history == "error" and options.completion != "raw":
            raise
    return _chains(renderer, chat, stops, options)


def _read(renderer: Renderer, chat: Chat) -> dict[str, Any]:
    """What the row gives the template and the template reads.

    A field named documents need not be meant for templates, and a switch that a template lacks
    changes nothing; but words meant for it must not be lost.
    """
    for name, value in chat.given.items():
        unread = name not in renderer.template.reads and name != DOCUMENTS
        if unread and isinstance(value, str | list | dict):
            raise PayloadLost(f"{ARGUMENTS}: the template does not read {name!r}, which has words")
    return {name: item for name, item in chat.given.items() if name in renderer.template.reads}


def _chains(
    renderer: Renderer, chat: Chat, stops: Sequence[Stop], options: RenderOptions
) -> list[Proof]:
    """One proof for each chain of trained turns, in the order of their first turns."""
    found: list[Proof] = []
    for turn in chat.trained:
        proof = _alone(renderer, chat, turn, stops, options)
        for number, chain in enumerate(found):
            if (joined := _extended(chain, proof)) is not None:
                found[number] = joined
                break
        else:
            found.append(proof)
    if options.history == "last":
        return [chain for chain in found if chain.regions[-1].turn == chat.trained[-1]]
    return found


def _extended(chain: Proof, proof: Proof) -> Proof | None:
    """The chain and one turn more, if that turn is generated on the chain's text."""
    last = chain.regions[-1]
    if not proof.text.startswith(chain.text[: last.end]):
        return None
    for region in chain.regions:  # the same words must still be those of the same message
        inside = [s for s in proof.spans if s.stop > region.start and s.start < region.end]
        if any(span.leaf.message != region.turn for span in inside):
            return None
    return Proof(proof.text, proof.spans, [*chain.regions, *proof.regions])


def _alone(
    renderer: Renderer, chat: Chat, turn: int, stops: Sequence[Stop], options: RenderOptions
) -> Proof:
    """One turn on the conversation up to it."""
    own = renderer.of(chat.messages[turn])
    is_open = chat.open and turn == len(chat.messages) - 1
    upto = Chat(chat.messages[: turn + 1], chat.tools, (turn,), open=is_open)
    text = own.text(upto.messages, upto.tools)
    spans, leaves = follow(own, upto, text)
    if chat.messages[turn]["role"] != "assistant":
        return Proof(text, spans, [words(turn, spans)])
    prompt = own.text(chat.messages[:turn], chat.tools, prompt=True)
    if not text.startswith(prompt) and options.history != "error":
        text, spans = _continued(own, chat, turn, prompt, text, spans)
    try:
        if is_open:
            region = unfinished(turn, prompt, text, spans)
        else:
            region = find(turn, prompt, text, text, spans, stops)
    except PromptChanged as refusal:
        if options.completion != "raw":
            raise
        return _raw(own, chat, turn, prompt, leaves, stops, refusal)
    except NoStop as refusal:
        written = text
        text = _closed(own, chat, upto, written, spans, stops, options, refusal)
        spans = [span for span in spans if span.stop <= last_word(turn, spans)]
        region = find(turn, prompt, text, text, spans, stops)
        check(region, text, spans, leaves, stops)
        return Proof(text, spans, marked([region], own, upto, written, spans, options))
    check(region, text, spans, leaves, stops)
    check_context(own, upto, spans)
    return made(upto, text, spans, marked([region], own, upto, text, spans, options))


def _continued(
    renderer: Renderer, chat: Chat, turn: int, prompt: str, text: str, spans: list[Span]
) -> tuple[str, list[Span]]:
    """The prompt with the turn's own text after it, where that turn changes what came before.

    As Harmony, which drops the analysis before a call once an answer follows: the answer is
    generated after the prompt, analysis included. Only if both texts go on alike after the same
    word, up to the end of the prompt; else the text as it was, which fails I1.
    """
    before = Chat(chat.messages[:turn], chat.tools, ())
    said, _ = follow(renderer, before, prompt, prompt=True)
    own = min((span.start for span in spans if span.leaf.message == turn), default=0)
    earlier = [span for span in spans if span.stop <= own]
    if not said or not earlier or _word(said[-1]) != _word(earlier[-1]):
        return text, spans
    header = prompt[said[-1].stop :]
    cut = earlier[-1].stop + len(header)
    if cut > own or not text.startswith(header, earlier[-1].stop):
        return text, spans
    shift = len(prompt) - cut
    moved = [
        span._replace(start=span.start + shift, stop=span.stop + shift)
        for span in spans
        if span.start >= cut
    ]
    return prompt + text[cut:], [*said, *moved]


def _word(span: Span) -> tuple[int, str, str, int]:
    """Which word of the data a span ends with."""
    leaf = span.leaf
    return leaf.message, leaf.field, leaf.text, span.offset + span.stop - span.start


def _closed(
    renderer: Renderer,
    chat: Chat,
    upto: Chat,
    text: str,
    spans: Sequence[Span],
    stops: Sequence[Stop],
    options: RenderOptions,
    refusal: NoStop,
) -> str:
    """The text of a turn with the stop that the next message writes, or else with eos."""
    turn = upto.trained[0]
    end = last_word(turn, spans)
    if len(chat.messages) > len(upto.messages):
        whole = renderer.text(chat.messages, chat.tools)
        theirs, _ = follow(renderer, chat, whole)
        written = last_word(turn, theirs)
        found = borrowed(whole, written, theirs, stops)
        if found is not None:
            return text[:end] + whole[written : written + found[0]] + found[1].text
    eos = next((stop for stop in stops if stop.source == "eos"), None)
    if not options.append_eos or eos is None:
        raise refusal
    return text[:end] + text[end:].rstrip() + eos.text


def _raw(
    renderer: Renderer,
    chat: Chat,
    turn: int,
    prompt: str,
    leaves: Sequence[Leaf],
    stops: Sequence[Stop],
    refusal: Refusal,
) -> Proof:
    """The prompt, the answer's own words, and a stop: for templates that drop reasoning.

    Words with which the prompt ends and the answer starts, such as `<think>`, are said once.
    """
    message = chat.messages[turn]
    ends = [stop for source in ("template", "eos") for stop in stops if stop.source == source]
    if "tool_calls" in message or "reasoning_content" in message or not ends:
        raise refusal
    content = message["content"]
    sizes = range(1, min(len(prompt), 64) + 1)
    said = max((size for size in sizes if content.startswith(prompt[-size:])), default=0)
    before = Chat(chat.messages[:turn], chat.tools, ())
    spans, _ = follow(renderer, before, prompt, prompt=True)
    leaf = next(leaf for leaf in leaves if leaf.message == turn and leaf.field == "content")
    start, end = len(prompt), len(prompt) + len(content) - said
    text = prompt + content[said:] + ends[0].text
    region = Region(turn, start, end, len(text), ends[0])
    return Proof(text, [*spans, Span(start, end, leaf, said)], [region])
