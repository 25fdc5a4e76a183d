"""Answers that follow all instructions of a prompt, put together by hand from its values."""

from __future__ import annotations

import json
from typing import Any

from trainer.after.suite.instructions.checks import AT_LEAST
from trainer.after.suite.instructions.prompts import InstructionPrompt

# Without commas, without the letters j, q, x and z, and without a word that is ever forbidden.
PLAIN = "Here we see a plain line of words."
# Two sentences each, long enough for langdetect.
TEXTS = {
    "de": "Am Morgen gehen wir gemeinsam durch den alten Wald. Danach trinken wir Kaffee.",
    "fr": "Le matin nous marchons ensemble dans la vieille forêt. Ensuite nous buvons du café.",
    "es": "Por la mañana caminamos juntos por el viejo bosque. Después bebemos un café caliente.",
    "it": "La mattina camminiamo insieme nel vecchio bosco. Poi beviamo insieme un caffè caldo.",
    "nl": "In de ochtend lopen wij samen door het oude bos. Daarna drinken wij samen koffie.",
    "pt": "De manhã caminhamos juntos pela velha floresta. Depois bebemos um café muito quente.",
    "sv": "På morgonen går vi tillsammans genom den gamla skogen. Sedan dricker vi kaffe.",
    "pl": "Rano idziemy razem przez stary las. Potem pijemy razem bardzo gorącą kawę w domu.",
    "ru": "Утром мы вместе идём через старый лес. Потом мы пьём горячий кофе дома.",
    "zh": "早上我们一起走过那片古老的森林看看湖边的小鸟和花。然后我们一起喝热咖啡。",
}


def solved(prompt: InstructionPrompt) -> str:
    """An answer that does all that the prompt asks."""
    given: dict[str, Any] = {each.kind: each.values for each in prompt.instructions}
    if "one_of" in given:
        return str(given["one_of"]["options"][0])
    if "json_object" in given:
        return json.dumps({"text": sentence(given)})
    text = "\n\n".join(paragraphs(given))
    if "bullet_count" in given:
        text += "".join(f"\n* {line(given)}" for _ in range(given["bullet_count"]["number"]))
    if "section_count" in given:
        name, number = given["section_count"]["name"], given["section_count"]["number"]
        text += "".join(f"\n{name} {at}\n{PLAIN}" for at in range(1, number + 1))
    return cased(given, around(given, text))


def sentence(given: dict[str, Any]) -> str:
    """A first sentence with everything that is asked for inside of the text."""
    words = ["Here we say"]
    words += given.get("keywords_present", {}).get("keywords", [])
    for kind, unit in (
        ("keyword_count", given.get("keyword_count", {}).get("keyword")),
        ("placeholder_count", "[name]"),
        ("highlight_count", "*part*"),
    ):
        words += [unit] * given.get(kind, {}).get("number", 0)
    if given.get("capital_words", {}).get("relation") == AT_LEAST:
        words += ["AB"] * given["capital_words"]["number"]
    if given.get("letter_count", {}).get("relation") == AT_LEAST:
        words.append(given["letter_count"]["letter"] * given["letter_count"]["number"])
    if given.get("word_count", {}).get("relation") == AT_LEAST:
        words += ["word"] * given["word_count"]["number"]
    if "language" in given:
        words[0] = line(given).rstrip(".。")
    return f"{' '.join(words)}."


def line(given: dict[str, Any]) -> str:
    """A sentence in the language that is asked for."""
    if "language" not in given:
        return PLAIN
    text = TEXTS[given["language"]["code"]]
    return text[: min(at for stop in ".。" if (at := text.find(stop)) > 0) + 1]


def paragraphs(given: dict[str, Any]) -> list[str]:
    """As many paragraphs, of as many sentences, as are asked for."""
    if "sentence_count" in given:
        more = given["sentence_count"]["number"] - 1
        return [" ".join([sentence(given), *[line(given)] * more])]
    count = given.get("paragraph_count", {}).get("number", 1)
    count = given.get("paragraph_first_word", {}).get("paragraphs", count)
    found = [sentence(given), *[line(given)] * (count - 1)]
    if "paragraph_first_word" in given:
        at = given["paragraph_first_word"]["paragraph"] - 1
        found[at] = f"{given['paragraph_first_word']['word']} {found[at]}"
    return found


def around(given: dict[str, Any], text: str) -> str:
    """The text with what is asked for before and after it."""
    if "two_responses" in given:
        text = f"{text}\n******\n{text} {line(given)}"
    if "title" in given:
        text = f"<<{line(given)}>>\n{text}"
    if "repeated_request" in given:
        text = f"{given['repeated_request']['request']}\n{text}"
    if "postscript" in given:
        text = f"{text}\n{given['postscript']['marker']} {PLAIN}"
    if "ending_phrase" in given:
        text = f"{text}\n{given['ending_phrase']['phrase']}"
    return f'"\n{text}\n"' if "quoted" in given else text


def cased(given: dict[str, Any], text: str) -> str:
    """The text in capitals or small letters, where that is asked for."""
    if "all_capitals" in given:
        return text.upper()
    return text.lower() if "all_lowercase" in given else text
