"""The rules of `quality`: what each means, how it is found, and what it does by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from filters.quality import answers, asked, demands, patterns, prompts, signs, web_rules
from filters.quality.patterns import Pattern
from filters.quality.pii import pii
from filters.quality.refusal import refusal, safety_refusal
from filters.quality.repetition import loops, repeated_share
from filters.quality.results import wrong_result
from filters.quality.turns import Finder
from filters.quality.validators import invalid
from filters.quality.web_rules import PageRule

Action = Literal["drop", "report", "off"]
RuleSet = Literal["data_juicer", "gopher", "c4", "fineweb"]


class Rule(NamedTuple):
    """A sentence for people, what finds the rule on messages, and what it does if it fires.

    Rules of a `rule_set` are off unless the set is named. They judge the answer as one `page`, or
    by what `filters.quality.counts` counts in it.
    """

    sentence: str
    find: Finder | Pattern | None = None
    action: Action = "drop"
    page: PageRule | None = None
    rule_set: RuleSet | None = None


# In the order in which they are judged: the first that drops a row is its reason. What only
# reports leaves a note on the row and keeps it.
# fmt: off
RULES: Mapping[str, Rule] = {
    "no_user_turn": Rule(
        "No user message with text: nothing was asked.",
        answers.no_user_turn),
    "no_answer": Rule(
        "The conversation does not end with the assistant.",
        answers.no_answer),
    "empty_response": Rule(
        "An assistant message has neither text nor tool calls.",
        answers.empty_response),
    "placeholder_response": Rule(
        "The answer is a stand-in such as N/A, <nooutput> or NaN.",
        answers.placeholder_response),
    "repeats_prompt": Rule(
        "The answer is the question again.",
        answers.repeats_prompt),
    "merged_instructions": Rule(
        "The answer runs on into further numbered instructions.",
        patterns.MERGED_INSTRUCTIONS),
    "template_marker": Rule(
        "Parts of a chat template (### Response:, [INST], <|im_end|>) in a message.",
        patterns.TEMPLATE_MARKER),
    # too rare in real dumps to know how often it is right
    "role_marker": Rule(
        "Turns of another conversation (Human:, Assistant:) inside one message.",
        patterns.ROLE_MARKER, "report"),
    "unfilled_placeholder": Rule(
        "A {{placeholder}} that was never filled in.",
        patterns.UNFILLED_PLACEHOLDER),
    "placeholder_input": Rule(
        "The question ends in a literal <noinput>.",
        patterns.PLACEHOLDER_INPUT),
    "control_characters": Rule(
        "Characters that no text holds, such as NUL, ESC or a vertical tab.",
        patterns.CONTROL_CHARACTERS),
    "mojibake": Rule(
        "Text decoded with the wrong encoding, or characters lost to U+FFFD.",
        patterns.MOJIBAKE),
    "loop": Rule(
        "The answer ends in a short unit repeated over and over.",
        loops),
    "repetition": Rule(
        "Most of a long answer repeats earlier parts of itself word for word.",
        repeated_share),
    "unclosed_fence": Rule(
        "The answer stops inside a fenced code block.",
        answers.unclosed_fence),
    "unpaired_think": Rule(
        "A <think> block is opened or closed but not both.",
        answers.unpaired_think),
    "refusal": Rule(
        "The answer declines for lack of ability or access.",
        refusal),
    # a set without any has no safety signal
    "safety_refusal": Rule(
        "The answer declines a harmful request.",
        safety_refusal, "report"),
    "link_as_input": Rule(
        "The material to work on is only a link, so the answer is invented.",
        patterns.LINK_AS_INPUT),
    "image_reference": Rule(
        "The question shows an image that the text does not hold.",
        patterns.IMAGE_REFERENCE),
    "missing_input": Rule(
        "The question speaks of a given text, code or list that is not there.",
        prompts.missing_input, "report"),
    # "Design a logo" has good answers in words
    "image_request": Rule(
        "The question asks for an image, sound or film.",
        patterns.IMAGE_REQUEST, "off"),
    "invalid_json": Rule(
        "JSON was asked for, and the answer does not parse as strict JSON.",
        invalid("json"), "report"),
    "invalid_yaml": Rule(
        "YAML was asked for, and the answer does not load as a mapping or list.",
        invalid("yaml"), "report"),
    "invalid_xml": Rule(
        "XML was asked for, and the answer is not one well-formed element.",
        invalid("xml"), "report"),
    "invalid_python": Rule(
        "Python was asked for, and the answer's code does not parse.",
        invalid("python")),
    "missing_fence": Rule(
        "A code block was asked for, and the answer has no closed one.",
        invalid("fence"), "report"),
    "wrong_arithmetic": Rule(
        "The answer states a sum, product, quotient or mean that is not true.",
        signs.wrong_arithmetic),
    "wrong_count": Rule(
        "The answer lists another number of things than the question orders.",
        asked.wrong_count),
    "repeated_item": Rule(
        "The answer is a list of short items and names one of them twice.",
        asked.repeated_item),
    "missing_code": Rule(
        "A program was asked for, and the answer only tells what it does or gives.",
        asked.missing_code),
    "wrong_length": Rule(
        "The answer is longer than the question allows, or far shorter than it orders.",
        demands.wrong_length),
    "wrong_lines": Rule(
        "The answer has another number of lines or paragraphs than the question orders.",
        demands.wrong_lines),
    "wrong_result": Rule(
        "A sort, count, reversal or calculation that the question orders is wrong.",
        wrong_result),
    # too rare in real dumps to know how often it is right
    "unchanged_input": Rule(
        "The question orders a change, and the answer is its text, unchanged.",
        demands.unchanged_input, "report"),
    "empty_promise": Rule(
        "The answer ends in a colon, and what it announces does not come.",
        demands.empty_promise),
    "needs_web": Rule(
        "The question orders a search of the web, which the answer can only pretend.",
        asked.needs_web, "report"),
    "end_marker": Rule(
        "The answer ends in a line such as // end of output //.",
        asked.end_marker),
    "cut_off": Rule(
        "An answer of 20 words or more stops in the middle of a sentence.",
        answers.cut_off),
    # lists, tables and code end without one
    "no_end_mark": Rule(
        "An answer of 20 words or more ends without a mark that ends a sentence.",
        signs.no_end_mark, "off"),
    # quoted code and list marks do that by right
    "unbalanced_brackets": Rule(
        "Brackets in the answer are opened or closed but not both.",
        signs.unbalanced_brackets, "off"),
    "stray_escape": Rule(
        r"A literal \n, \u00e9 or &amp;amp; stands where its character should.",
        patterns.STRAY_ESCAPE, "report"),
    # harmless to most trainers, a fault to some
    "outer_whitespace": Rule(
        "The answer begins or ends with white space.",
        signs.outer_whitespace, "report"),
    # right for classification
    "one_word": Rule(
        "The answer is one word.",
        signs.one_word, "off"),
    # invented in Alpaca, useful in LIMA
    "link_in_response": Rule(
        "The answer holds a link that the question did not give or ask for.",
        signs.link_in_response, "off"),
    # right for editing
    "input_repeated": Rule(
        "The answer holds all of the question's material, word for word.",
        prompts.input_repeated, "off"),
    "empty_turn": Rule(
        "A user message is empty in a conversation where others are not.",
        prompts.empty_turn, "report"),
    # some templates take it
    "not_alternating": Rule(
        "Two user messages or two assistant messages in a row.",
        answers.not_alternating, "report"),
    # right for a model's own identity rows
    "identity_claim": Rule(
        "The answer says that it is some named model or from some maker.",
        patterns.IDENTITY_CLAIM, "report"),
    "prompt_leak": Rule(
        "The answer speaks about its instruction instead of following it.",
        patterns.PROMPT_LEAK, "report"),
    "pii_email": Rule(
        "A mail address (not an example) is in a message.",
        pii("email"), "report"),
    "pii_phone": Rule(
        "A telephone number is in a message.",
        pii("phone"), "report"),
    "pii_ip": Rule(
        "A public IP address is in a message.",
        pii("ip"), "report"),
    "pii_card": Rule(
        "A payment card number with a valid check digit is in a message.",
        pii("card"), "report"),
    # The rules of Alpaca's generator keep its prompts short, not its answers good.
    "prompt_length": Rule(
        "The instruction has fewer or more words than Alpaca's generator allows.",
        prompts.prompt_words, "off"),
    "visual_word": Rule(
        "The instruction has a word that Alpaca's generator excludes (image, map, draw).",
        prompts.visual_word, "off"),
    "program_prefix": Rule(
        "The instruction begins with 'Write a program', which Alpaca's generator excludes.",
        prompts.program_prefix, "off"),
    "odd_first_character": Rule(
        "The instruction begins with a mark or a character beyond ASCII.",
        prompts.odd_first_character, "off"),
    "gopher_quality": Rule(
        "The answer fails Gopher's quality rules for web pages.",
        page=web_rules.gopher_quality, rule_set="gopher"),
    "gopher_repetition": Rule(
        "The answer fails Gopher's repetition rules for web pages.",
        page=web_rules.gopher_repetition, rule_set="gopher"),
    "c4": Rule(
        "The answer fails C4's rules for web pages.",
        page=web_rules.c4, rule_set="c4"),
    "fineweb": Rule(
        "The answer fails FineWeb's rules for web pages.",
        page=web_rules.fineweb, rule_set="fineweb"),
    "word_count": Rule(
        "The answer has fewer or more words than allowed, digits and marks not counted.",
        rule_set="data_juicer"),
    "character_repetition": Rule(
        "Runs of ten characters recur over too much of the answer.",
        rule_set="data_juicer"),
    "special_characters": Rule(
        "Too much of the answer is digits, marks, white space or emoji.",
        rule_set="data_juicer"),
}
# fmt: on

REASONS: Mapping[str, str] = {slug: rule.sentence for slug, rule in RULES.items()}
