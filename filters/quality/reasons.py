"""The reasons of `quality`: what each means, and what it does unless a recipe says otherwise."""

from __future__ import annotations

from collections.abc import Mapping

# In the order in which they are judged: the first that fires is the reason.
REASONS: Mapping[str, str] = {
    "no_user_turn": "No user message with text: nothing was asked.",
    "no_answer": "The conversation does not end with the assistant.",
    "empty_response": "An assistant message has neither text nor tool calls.",
    "placeholder_response": "The answer is a stand-in such as N/A, <nooutput> or NaN.",
    "repeats_prompt": "The answer is the question again.",
    "merged_instructions": "The answer runs on into further numbered instructions.",
    "template_marker": "Parts of a chat template (### Response:, [INST], <|im_end|>) in a message.",
    "role_marker": "Turns of another conversation (Human:, Assistant:) inside one message.",
    "unfilled_placeholder": "A {{placeholder}} that was never filled in.",
    "placeholder_input": "The question ends in a literal <noinput>.",
    "control_characters": "Characters that no text holds, such as NUL, ESC or a vertical tab.",
    "mojibake": "Text decoded with the wrong encoding, or characters lost to U+FFFD.",
    "loop": "The answer ends in a short unit repeated over and over.",
    "repetition": "Most of a long answer repeats earlier parts of itself word for word.",
    "unclosed_fence": "The answer stops inside a fenced code block.",
    "unpaired_think": "A <think> block is opened or closed but not both.",
    "refusal": "The answer declines for lack of ability or access.",
    "safety_refusal": "The answer declines a harmful request.",
    "link_as_input": "The material to work on is only a link, so the answer is invented.",
    "image_reference": "The question shows an image that the text does not hold.",
    "missing_input": "The question speaks of a given text, code or list that is not there.",
    "image_request": "The question asks for an image, sound or film.",
    "invalid_json": "JSON was asked for, and the answer does not parse as strict JSON.",
    "invalid_yaml": "YAML was asked for, and the answer does not load as a mapping or list.",
    "invalid_xml": "XML was asked for, and the answer is not one well-formed element.",
    "invalid_python": "Python was asked for, and the answer's code does not parse.",
    "missing_fence": "A code block was asked for, and the answer has no closed one.",
    "wrong_arithmetic": "The answer states a sum, product, quotient or mean that is not true.",
    "wrong_count": "The answer lists another number of things than the question orders.",
    "repeated_item": "The answer is a list of short items and names one of them twice.",
    "missing_code": "A program was asked for, and the answer only tells what it does or gives.",
    "wrong_length": "The answer is longer than the question allows, or far shorter than it orders.",
    "wrong_lines": "The answer has another number of lines or paragraphs than the question orders.",
    "wrong_result": "A sort, count, reversal or calculation that the question orders is wrong.",
    "unchanged_input": "The question orders a change, and the answer is its text, unchanged.",
    "empty_promise": "The answer ends in a colon, and what it announces does not come.",
    "needs_web": "The question orders a search of the web, which the answer can only pretend.",
    "end_marker": "The answer ends in a line such as // end of output //.",
    "cut_off": "An answer of 20 words or more stops in the middle of a sentence.",
    "no_end_mark": "An answer of 20 words or more ends without a mark that ends a sentence.",
    "unbalanced_brackets": "Brackets in the answer are opened or closed but not both.",
    "stray_escape": r"A literal \n, \u00e9 or &amp;amp; stands where its character should.",
    "outer_whitespace": "The answer begins or ends with white space.",
    "one_word": "The answer is one word.",
    "link_in_response": "The answer holds a link that the question did not give or ask for.",
    "input_repeated": "The answer holds all of the question's material, word for word.",
    "empty_turn": "A user message is empty in a conversation where others are not.",
    "not_alternating": "Two user messages or two assistant messages in a row.",
    "identity_claim": "The answer says that it is some named model or from some maker.",
    "prompt_leak": "The answer speaks about its instruction instead of following it.",
    "pii_email": "A mail address (not an example) is in a message.",
    "pii_phone": "A telephone number is in a message.",
    "pii_ip": "A public IP address is in a message.",
    "pii_card": "A payment card number with a valid check digit is in a message.",
    "prompt_length": "The instruction has fewer or more words than Alpaca's generator allows.",
    "visual_word": "The instruction has a word that Alpaca's generator refuses (image, map, draw).",
    "program_prefix": "The instruction begins with 'Write a program', as Alpaca's refuses.",
    "odd_first_character": "The instruction begins with a mark or a character beyond ASCII.",
    "gopher_quality": "The answer fails Gopher's quality rules for web pages.",
    "gopher_repetition": "The answer fails Gopher's repetition rules for web pages.",
    "c4": "The answer fails C4's rules for web pages.",
    "fineweb": "The answer fails FineWeb's rules for web pages.",
    "word_count": "The answer has fewer or more words than allowed, digits and marks not counted.",
    "character_repetition": "Runs of ten characters recur over too much of the answer.",
    "special_characters": "Too much of the answer is digits, marks, white space or emoji.",
}

# Rules that leave a note on the row and keep it, unless named in `drop` or `off`.
REPORTED = (
    "role_marker",  # too rare in real dumps to know how often it is right
    "safety_refusal",  # a set without any has no safety signal
    "missing_input",
    "invalid_json",
    "invalid_yaml",
    "invalid_xml",
    "missing_fence",
    "unchanged_input",  # too rare in real dumps to know how often it is right
    "needs_web",
    "stray_escape",
    "outer_whitespace",  # harmless to most trainers, a fault to some
    "empty_turn",
    "not_alternating",  # some templates take it
    "identity_claim",  # right for a model's own identity rows
    "prompt_leak",
    "pii_email",
    "pii_phone",
    "pii_ip",
    "pii_card",
)
OFF = (
    "image_request",  # "Design a logo" has good answers in words
    "no_end_mark",  # lists, tables and code end without one
    "link_in_response",  # invented in Alpaca, useful in LIMA
    "unbalanced_brackets",  # quoted code and list marks do that by right
    "one_word",  # right for classification
    "input_repeated",  # right for editing
    # The rules of Alpaca's generator keep its prompts short, not its answers good.
    "prompt_length",
    "visual_word",
    "program_prefix",
    "odd_first_character",
)
