"""The rules of `quality`: what each means, how it is found, and what it does by default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import polars as pl

from curate.base.schema import text_of
from filters.quality import answers, asked, demands, patterns, prompts, signs, web_rules
from filters.quality.endings import endings
from filters.quality.markers import template_marker
from filters.quality.patterns import Pattern
from filters.quality.pii import pii
from filters.quality.refusal import no_help, refusal, safety_refusal
from filters.quality.repeats import repeated_item, repeated_sentences
from filters.quality.repetition import loops, repeated_share
from filters.quality.results import wrong_result
from filters.quality.turns import Finder, Hits, Turns
from filters.quality.unchanged import unchanged_input
from filters.quality.validators import invalid
from filters.quality.web_rules import PageRule

Action = Literal["drop", "report", "off"]
RuleSet = Literal["data_juicer", "gopher", "c4", "fineweb"]


class Rule(NamedTuple):
    """What finds the rule on messages, what it does if it fires, and a sentence for people.

    Rules of a `rule_set` are off unless the set is named. They judge the answer as one `page`, or
    by what `filters.quality.counts` counts in it.
    """

    find: Finder | Pattern | None
    action: Action
    sentence: str
    page: PageRule | None = None
    rule_set: RuleSet | None = None


# In the order in which they are judged: the first that drops a row is its reason. What only
# reports leaves a note on the row and keeps it.
# fmt: off
RULES: Mapping[str, Rule] = {
    "no_user_turn": Rule(answers.no_user_turn, "drop",
        "No user message with text: nothing was asked."),
    "no_answer": Rule(answers.no_answer, "drop",
        "The conversation does not end with the assistant."),
    "empty_response": Rule(answers.empty_response, "drop",
        "An assistant message has neither text nor tool calls."),
    "placeholder_response": Rule(answers.placeholder_response, "drop",
        "The answer is a stand-in such as N/A, <nooutput> or NaN."),
    # in fresh tasks, many without an order, right in none of 30 hits
    "repeats_prompt": Rule(answers.repeats_prompt, "report",
        "The answer is the question again."),
    "merged_instructions": Rule(patterns.MERGED_INSTRUCTIONS, "drop",
        "The answer runs on into further numbered instructions."),
    "template_marker": Rule(template_marker, "drop",
        "Parts of a chat template (### Response:, [INST], <|im_end|>) in a message."),
    # too rare in real dumps to know how often it is right
    "role_marker": Rule(patterns.ROLE_MARKER, "report",
        "Turns of another conversation (Human:, Assistant:) inside one message."),
    # in fresh chats right in none of 4 hits
    "unfilled_placeholder": Rule(patterns.UNFILLED_PLACEHOLDER, "report",
        "A {{placeholder}} that was never filled in."),
    "placeholder_input": Rule(patterns.PLACEHOLDER_INPUT, "drop",
        "The question ends in a literal <noinput>."),
    "control_characters": Rule(patterns.CONTROL_CHARACTERS, "drop",
        "Characters that no text holds, such as NUL, ESC or a vertical tab."),
    "mojibake": Rule(patterns.MOJIBAKE, "drop",
        "Text decoded with the wrong encoding, or characters lost to U+FFFD."),
    # in fresh rows right in 1 hit of 2
    "loop": Rule(loops, "report",
        "The answer ends in a short unit repeated over and over."),
    "repetition": Rule(lambda turns: turns.once(repeated_share), "drop",
        "Most of a long answer repeats earlier parts of itself word for word."),
    "unclosed_fence": Rule(answers.unclosed_fence, "drop",
        "The answer stops inside a fenced code block."),
    "unpaired_think": Rule(answers.unpaired_think, "drop",
        "A <think> block is opened or closed but not both."),
    # in fresh rows right in 10 hits of 12
    "refusal": Rule(refusal, "drop",
        "The answer declines for lack of ability or access."),
    # a set without any has no safety signal
    "safety_refusal": Rule(safety_refusal, "report",
        "The answer declines a harmful request."),
    # new, and right where a question cannot be understood
    "no_help": Rule(no_help, "report",
        "A short answer is sorry or at a loss, and gives nothing."),
    # in fresh chats right in 6 hits of 11
    "link_as_input": Rule(prompts.link_as_input, "report",
        "The material to work on is only a link, so the answer is invented."),
    # in fresh chats right in none of 2 hits
    "image_reference": Rule(patterns.IMAGE_REFERENCE, "report",
        "The question shows an image that the text does not hold."),
    "missing_input": Rule(prompts.missing_input, "report",
        "The question speaks of a given text, code or list that is not there."),
    # "Design a logo" has good answers in words
    "image_request": Rule(patterns.IMAGE_REQUEST, "off",
        "The question asks for an image, sound or film."),
    "invalid_json": Rule(invalid("json"), "report",
        "JSON was asked for, and the answer does not parse as strict JSON."),
    "invalid_yaml": Rule(invalid("yaml"), "report",
        "YAML was asked for, and the answer does not load as a mapping or list."),
    "invalid_xml": Rule(invalid("xml"), "report",
        "XML was asked for, and the answer is not one well-formed element."),
    # in fresh chats right in 5 hits of 6
    "invalid_python": Rule(invalid("python"), "report",
        "Python was asked for, and the answer's code does not parse."),
    "missing_fence": Rule(invalid("fence"), "report",
        "A code block was asked for, and the answer has no closed one."),
    # in fresh chats right in 2 hits of 5
    "wrong_arithmetic": Rule(signs.wrong_arithmetic, "report",
        "The answer states a sum, product, quotient or mean that is not true."),
    # in fresh chats right in 6 hits of 10
    "wrong_count": Rule(asked.wrong_count, "report",
        "The answer lists another number of things than the question orders."),
    # in fresh chats right in 6 hits of 10
    "repeated_item": Rule(repeated_item, "report",
        "The answer is a list of different things and names one of them twice."),
    # new, and some texts come back to a sentence on purpose
    "repeated_sentences": Rule(repeated_sentences, "report",
        "A fifth or more of the answer's sentences are there twice."),
    # in fresh rows right in 1 hit of 15
    "missing_code": Rule(asked.missing_code, "report",
        "A program was asked for, and the answer only tells what it does or gives."),
    # in fresh chats right in 13 hits of 17
    "wrong_length": Rule(demands.wrong_length, "report",
        "The answer is longer than the question allows, or far shorter than it orders."),
    # in fresh chats right in 1 hit of 2
    "wrong_lines": Rule(demands.wrong_lines, "report",
        "The answer has another number of lines or paragraphs than the question orders."),
    # no fresh hits
    "wrong_result": Rule(wrong_result, "report",
        "A sort, count, reversal or calculation that the question orders is wrong."),
    # too rare in real dumps to know how often it is right
    "unchanged_input": Rule(unchanged_input, "report",
        "The question orders a change, and the answer is its text, unchanged."),
    # in fresh rows right in 18 hits of 19
    "empty_promise": Rule(demands.empty_promise, "report",
        "The answer ends in a colon, and what it announces does not come."),
    "needs_web": Rule(asked.needs_web, "report",
        "The question orders a search of the web, which the answer can only pretend."),
    # one fresh hit
    "end_marker": Rule(patterns.END_MARKER, "report",
        "The answer ends in a line such as // end of output //."),
    "cut_off": Rule(answers.cut_off, "drop",
        "An answer of 20 words or more stops in the middle of a sentence."),
    # new, and a style of its own in some sets
    "stops_short": Rule(endings, "report",
        "The last line stops without a mark, where nearly all answers of its length end in one."),
    # lists, tables and code end without one
    "no_end_mark": Rule(signs.no_end_mark, "off",
        "An answer of 20 words or more ends without a mark that ends a sentence."),
    # quoted code and list marks do that by right
    "unbalanced_brackets": Rule(signs.unbalanced_brackets, "off",
        "Brackets in the answer are opened or closed but not both."),
    "stray_escape": Rule(patterns.STRAY_ESCAPE, "report",
        r"A literal \n, \u00e9 or &amp;amp; stands where its character should."),
    # harmless to most trainers, a fault to some
    "outer_whitespace": Rule(signs.outer_whitespace, "report",
        "The answer begins or ends with white space."),
    # right for classification
    "one_word": Rule(signs.one_word, "off",
        "The answer is one word."),
    # invented in Alpaca, useful in LIMA
    "link_in_response": Rule(signs.link_in_response, "off",
        "The answer holds a link that the question did not give or ask for."),
    # right for editing
    "input_repeated": Rule(prompts.input_repeated, "off",
        "The answer holds all of the question's material, word for word."),
    "empty_turn": Rule(prompts.empty_turn, "report",
        "A user message is empty in a conversation where others are not."),
    # some templates take it
    "not_alternating": Rule(answers.not_alternating, "report",
        "Two user messages or two assistant messages in a row."),
    # right for a model's own identity rows
    "identity_claim": Rule(patterns.IDENTITY_CLAIM, "report",
        "The answer says that it is some named model or from some maker."),
    "prompt_leak": Rule(patterns.PROMPT_LEAK, "report",
        "The answer speaks about its instruction instead of following it."),
    "pii_email": Rule(pii("email"), "report",
        "A mail address (not an example) is in a message."),
    "pii_phone": Rule(pii("phone"), "report",
        "A telephone number is in a message."),
    "pii_ip": Rule(pii("ip"), "report",
        "A public IP address is in a message."),
    "pii_card": Rule(pii("card"), "report",
        "A payment card number with a valid check digit is in a message."),
    # The rules of Alpaca's generator keep its prompts short, not its answers good.
    "prompt_length": Rule(prompts.prompt_words, "off",
        "The instruction has fewer or more words than Alpaca's generator allows."),
    "visual_word": Rule(prompts.visual_word, "off",
        "The instruction has a word that Alpaca's generator excludes (image, map, draw)."),
    "program_prefix": Rule(prompts.program_prefix, "off",
        "The instruction begins with 'Write a program', which Alpaca's generator excludes."),
    "odd_first_character": Rule(prompts.odd_first_character, "off",
        "The instruction begins with a mark or a character beyond ASCII."),
    "gopher_quality": Rule(None, "drop", page=web_rules.gopher_quality, rule_set="gopher",
        sentence="The answer fails Gopher's quality rules for web pages."),
    "gopher_repetition": Rule(None, "drop", page=web_rules.gopher_repetition, rule_set="gopher",
        sentence="The answer fails Gopher's repetition rules for web pages."),
    "c4": Rule(None, "drop", page=web_rules.c4, rule_set="c4",
        sentence="The answer fails C4's rules for web pages."),
    "fineweb": Rule(None, "drop", page=web_rules.fineweb, rule_set="fineweb",
        sentence="The answer fails FineWeb's rules for web pages."),
    "word_count": Rule(None, "drop", rule_set="data_juicer",
        sentence="The answer has fewer or more words than allowed, digits and marks not counted."),
    "character_repetition": Rule(None, "drop", rule_set="data_juicer",
        sentence="Runs of ten characters recur over too much of the answer."),
    "special_characters": Rule(None, "drop", rule_set="data_juicer",
        sentence="Too much of the answer is digits, marks, white space or emoji."),
}
# fmt: on

REASONS: Mapping[str, str] = {slug: rule.sentence for slug, rule in RULES.items()}


def hits_of(turns: Turns, slugs: Iterable[str] = tuple(RULES)) -> dict[str, Hits]:
    """What those of these rules fire on that look at messages."""
    finds = {slug: RULES[slug].find for slug in slugs}
    given = {slug: find for slug, find in finds.items() if isinstance(find, Pattern)}
    hits = {slug: find(turns) for slug, find in finds.items() if callable(find)}
    return patterns.find(turns, given) | hits


def page_faults(records: pl.DataFrame, slugs: Iterable[str]) -> dict[str, pl.Series]:
    """What those of these rules say of each record that judge its answer as a page, or null."""
    pages = {slug: page for slug in slugs if (page := RULES[slug].page) is not None}
    return web_rules.page_rules(answers_of(records), pages) if pages else {}


def answers_of(records: pl.DataFrame) -> pl.Series:
    """All that the assistant says in each record, as one text."""
    return records.select(text_of(pl.col("messages"), assistant=True)).to_series()


def spans_of(slug: str, records: pl.DataFrame, turns: Turns, at: pl.Series) -> pl.Series:
    """What one rule found in the records at these places, as text; null where it only counts.

    `turns` are those of all `records`.
    """
    if slug in (faults := page_faults(records[at], [slug])):
        return faults[slug]
    found = hits_of(turns.of_records(at), [slug]).get(slug)
    none = pl.Series([None], dtype=pl.String).new_from_index(0, len(at))
    return none if found is None else turns.column(found.evidence(), "evidence").gather(at)
