"""Templates put together by chance: what is trained is known from their pieces, without Jinja."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from templates.template import ChatTemplate
from templates.tokenizer.tokenizer import Tokenizer
from tests.templates_toys import AWKWARD, byte_level, merging, metaspace, prepending, rendered, talk

TOKENIZERS = (byte_level, merging, metaspace, prepending)
CONTENT = st.lists(st.sampled_from(AWKWARD), min_size=1, max_size=5).map("".join)
EOS = "EOS"  # stands for the tokenizer's own

# How a turn is written: in place, by a macro, in a buffer, piece by piece, at the very end.
WRITINGS = {
    "in place": "{% for m in messages %}{% if m.role == 'user' %}USER{% else %}BOT{% endif %}"
    "{% endfor %}",
    "macro": "{% macro say(m) %}{% if m.role == 'user' %}USER{% else %}BOT{% endif %}{% endmacro %}"
    "{% for m in messages %}{{ say(m) }}{% endfor %}",
    "buffer": "{% for m in messages %}{% set said %}{% if m.role == 'user' %}USER{% else %}BOT"
    "{% endif %}{% endset %}{{ said }}{% endfor %}",
    "namespace": "{% set n = namespace(all='') %}{% for m in messages %}{% set said %}"
    "{% if m.role == 'user' %}USER{% else %}BOT{% endif %}{% endset %}"
    "{% set n.all = n.all ~ said %}{% endfor %}{{ n.all }}",
}


@dataclass(frozen=True)
class Made:
    """A template's pieces: what stands before and after words, and who writes the header."""

    start: str
    ask: str
    asked: str
    answer: str
    lead: str  # what the model writes between the header and its words
    stop: str
    after: str
    trim: bool
    writing: str
    always: bool  # the header of an answer is written whether asked for or not

    def words(self, text: str) -> str:
        return text.strip() if self.trim else text

    def said(self, text: str) -> str:
        return f"{self.lead}{self.words(text)}{self.stop}"

    def prompt(self, contents: list[str], turn: int) -> str:
        """What stands before an answer, at inference."""
        segments = [self.start]
        for number, text in enumerate(contents[:turn]):
            if number % 2:
                segments.append(f"{self.answer}{self.said(text)}{self.after}")
            else:
                segments.append(f"{self.ask}{self.words(text)}{self.asked}")
        return "".join([*segments, self.answer])

    def template(self, eos: str) -> ChatTemplate:
        shown = "{{ m.content.strip() }}" if self.trim else "{{ m.content }}"
        asking = "{{ %r }}%s{{ %r }}" % (self.ask, shown, self.asked)  # noqa: UP031
        answering = "{{ %r }}%s{{ %r }}" % (self.answer + self.lead, shown, self.stop + self.after)  # noqa: UP031
        body = WRITINGS[self.writing].replace("USER", asking).replace("BOT", answering)
        always = "true" if self.always else "add_generation_prompt"
        ending = "{%% if %s %%}{{ %r }}{%% endif %%}" % (always, self.answer)  # noqa: UP031
        source = "{{ %r }}" % self.start + body + ending  # noqa: UP031
        return ChatTemplate("made", source.replace(EOS, eos), "test")


MADE = st.builds(
    Made,
    start=st.sampled_from(["", "<|bos|>", "Talk.\n"]),
    ask=st.sampled_from(["<|im_start|>user\n", "Human: ", "[INST] ", "### Q:\n"]),
    asked=st.sampled_from(["", "<|im_end|>\n", "\n\n", " "]),
    answer=st.sampled_from(["<|im_start|>assistant\n", "Bot:", "Bot: ", "[/INST]", "### A:\n"]),
    lead=st.sampled_from(["", "", " ", "\n"]),
    stop=st.sampled_from(["<|im_end|>", EOS, EOS, "<end>"]),
    after=st.sampled_from(["", "\n", " ", "\n\n"]),
    trim=st.booleans(),
    writing=st.sampled_from(sorted(WRITINGS)),
    always=st.booleans(),
)


def runs(row: dict[str, Any]) -> list[tuple[int, int]]:
    """Where a row is trained, `[start, end)` each."""
    on = [label != -100 for label in row["labels"]]
    edges = [n for n in range(len(on) + 1) if (n > 0 and on[n - 1]) != (n < len(on) and on[n])]
    return list(zip(edges[::2], edges[1::2], strict=True))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    made=MADE,
    contents=st.lists(CONTENT, min_size=2, max_size=4),
    tokenizer=st.sampled_from(TOKENIZERS),
)
def test_exactly_the_answers_and_stops_are_trained_after_the_prompts_of_inference(
    made: Made, contents: list[str], tokenizer: Any
) -> None:
    known: Tokenizer = tokenizer()
    # Where a header is always appended and a preamble hides how turns start, a stop of plain text
    # has no end that can be told; such a template needs --stop.
    is_text = made.stop != EOS and made.stop not in known.controls
    assume(not (made.always and made.start and is_text))
    eos = known.special["eos_token"]
    contents = contents[: len(contents) // 2 * 2]
    done = rendered(made.template(eos), known, talk(*contents))
    if done.refused.height:
        check = done.refused["check"][0]
        spelt = made.stop.replace(EOS, eos) not in known.controls
        assert check in ("empty", "stop_not_at_end") and (check == "empty" or spelt), done.refused[
            "message"
        ][0]
        return
    row = done.examples.row(0, named=True)
    found = runs(row)
    assert done.examples.height == 1 and len(found) == len(contents) // 2
    for turn, (start, end) in zip(range(1, len(contents), 2), found, strict=True):
        ids = row["input_ids"][start:end]
        assert row["labels"][start:end] == ids
        expected = made.said(contents[turn]).replace(EOS, eos)
        assert spoken(known, ids) == plain(known, expected)
    if not done.counts["escaped"]:
        later = len(found) if not done.counts["boundaries"] else 1
        for turn, (start, _) in list(zip(range(1, len(contents), 2), found, strict=True))[:later]:
            prompt = made.prompt(contents, turn).replace(EOS, eos)
            asked = known.backend.encode(prompt, add_special_tokens=False).ids
            assert row["input_ids"][:start] == asked


def spoken(known: Tokenizer, ids: list[int]) -> str:
    return plain(known, known.segments.decode(ids).decode())


def plain(known: Tokenizer, text: str) -> str:
    """A text as a vocabulary can tell it: SentencePiece has one sign for `▁` and the space."""
    return text if known.name in ("byte-level", "merging") else text.replace("▁", " ").lstrip(" ")
