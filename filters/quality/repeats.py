"""The quality rules about what an answer says twice: an item of a list, a fifth of its sentences.

Much comes twice by right: who held an office twice, a step of a recipe, a day's rest in a plan, a
refrain, a turn of a dialogue, a label. So items count only where different things were ordered, and
sentences only in prose.
"""

from __future__ import annotations

import re
from collections import Counter

import polars as pl

from filters.quality.asked import order_of
from filters.quality.repetition import repeated_share
from filters.quality.turns import Hits, Turns, faults

# A question that wants things in an order, twice, under names, or one after the other in time has
# a reason to repeat them.
_MAY_REPEAT = re.compile(
    r"(?i)repeat|sort|pattern|\border|arrang|\bcode\b|algorithm|shuffle|revers|classif|categor|label"
    r"|\btags?\b|sequence|random|\blyrics|\bsong\b(?!s)|poem|given|following|conjugat|rhyme|refrain|chorus|verse|chant"
    r"|extract"
    r"|transcri|translat|dialog|conversation|script|story|template|each of|\btables?\b|column"
    r"|presiden|prime minister|\bkings?\b|queens?\b|emperor|\bpopes?\b|champion|winn|\bwon\b|coach"
    r"|captain|mayor|governor|rulers?\b|monarch|chancellor|histor|chronolog|timeline|season"
    r"|every year|each year|\bsince\b|\b(?:1[5-9]|20)\d\d\b|schedul|itinerar|agenda|routine|workout"
    r"|exercis|diet|meal|menu|recipe|ingredient|calendar|\bplan\b|steps?\b"
    r"|instructions? (?:for|on|to)\b"
    r"|\A\W*how (?:do|to|can|would|should)\b|procedure|walk me|route|directions"
    r"|chords?|notes?\b|melod|tabs?\b|moves?\b|quiz"
    r"|\banswers\b|multiple.choice|true or false|cast\b|lineup|bibliograph|references|citations"
)
# Of two steps that are alike each has its place.
_STEPS = re.compile(
    r"(?i)\b(?:answers|steps?|pasos?|[ée]tapes?|schritte?|sigue|instructions"
    r"|follow (?:these|this))\b"
)
_A_STEP = re.compile(
    r"\b(?:click|press|tap|haz clic|pulsa|selecciona)\b|\A(?:select|choose|enter|open|close|type"
    r"|go to|run|save|send|add|stir|mix|cook|bake|let|repeat|rest|wait|turn|hold|place|remove|cut"
    r"|fold|inhale|exhale|then)\b"
)
_EXPLAINS = re.compile(
    r"(?i)\b(?:why|explain\w*|test cases?|modif(?:y|ies)|implement\w*|debug\w*|fix\w*|pattern"
    r"|changes?|prove|solve|named entit\w*)\b"
)
_COMMAS = r"\A\s*(?:[^\s,;]+(?: [^\s,;]+){0,2},\s+){3}"
_MARKED = r"(?m)^[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t]+\S"
_MARKED_AT = re.compile(_MARKED)
_NUMBER = re.compile(r"(\d{1,3})[.)][ \t]+(.*)")
_BULLET = re.compile(r"[-*•][ \t]+(.*)")
_MARKS = '0123456789 \t.,;:!)-*•_"“”`'
_ITEMS = 4  # a list of fewer is a sentence
_MARKED_ITEMS = 3
_ITEM_WORDS = 3
_LABELS = 0.6  # of the items: of so few different ones, short ones are labels
_LABEL = re.compile(
    r"(?:true|false|yes|no|none|positive|negative|neutral|correct|incorrect|n/?a|unknown|agree"
    r"|disagree|other|rest(?: day)?|off)\Z"
)
_A_WORD = re.compile(r"[^\W\d_]{3}")

_MAY_SING = (
    r"(?i)\b(?:songs?|jingles?|anthems?|lyrics|poems?|poetry|verses?|rap|chorus|refrain|chant|hymn|prayers?|mantra"
    r"|rhymes?|haikus?|limerick|sonnet|ballad|villanelle|dialog(?:ue)?s?|conversations?|interview"
    r"|scripts?|screenplay|scene|transcripts?|repeat\w*|repetit\w*|rewrite|paraphras\w*|translat\w*"
    r"|quiz|multiple.choice|flash ?cards?|schedule|itinerary|workout|recipes?|template"
    r"|affirmations?|code|html|sql|proof|variations?|versions?|drafts?|edit\w*|correct\w*|meditation|hypno\w*)\b"
)
_SUNG = re.compile(r"(?im)^\W*(?:chorus|verse|refrain|bridge)\b.{0,10}$")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]+[\"”’)]*(?=\s|\Z)")
# Turns of a dialogue, cells of a table, items, headings and formulas are no prose.
_NO_PROSE = re.compile(r"\s*(?:[-*•#>|]|\d+[.)]|[\w .']{1,25}:\s|[\"“(\[])|.*[|=\\{}]")
_SENTENCES, _SENTENCE_WORDS = 5, 5
_TWICE = 0.2  # of the sentences
_LEAST_SHARE = 0.04  # of the words stand in a run of ten that came before


def repeated_item(turns: Turns) -> Hits:
    """Records whose answer is a list of different things, one of which it names twice."""
    text = pl.col("text")
    lists = turns.pairs.filter(text.str.contains("\n", literal=True) | text.str.contains(_COMMAS))
    likely = lists.filter(text.str.contains(rf"{_COMMAS}|{_MARKED}"))
    return faults(likely, _named_twice, "asked", "text")


def repeated_sentences(turns: Turns) -> Hits:
    """Records with an answer in prose that says a fifth or more of its sentences twice.

    Of five sentences or more, of five words or more. Sung, spoken and rewritten texts are exempt.
    """
    again = turns.once(repeated_share).lines.filter(pl.col("share") >= _LEAST_SHARE)["index"]
    exempt = turns.prompts_of(again).filter(pl.col("text").str.contains(_MAY_SING))
    likely = turns.responses.filter(
        pl.col("index").is_in(again.implode()),
        ~pl.col("index").is_in(exempt["index"].implode()),
        ~pl.col("called"),
    )
    return faults(likely, _again_in_prose, "plain")


def _again_in_prose(text: str) -> str | None:
    if _SUNG.search(text):
        return None
    prose = "\n".join(line for line in text.split("\n") if not _NO_PROSE.match(line))
    spoken = [" ".join(one.lower().split()) for one in _SENTENCE.findall(prose)]
    spoken = [one for one in spoken if len(one.split()) >= _SENTENCE_WORDS]
    if len(spoken) < _SENTENCES:
        return None
    again = len(spoken) - len(set(spoken))
    if again < _TWICE * len(spoken):
        return None
    sentence = Counter(spoken).most_common(1)[0][0]
    return f"{again} of {len(spoken)} sentences again: {sentence}"


def _named_twice(asked: str, answer: str) -> str | None:
    text = answer.strip()
    # Of most lists no two lines begin alike, and reading one is slow.
    plain = text.replace("*", "").lower()
    lines = [line.strip(_MARKS) for line in plain.split("\n") if line.strip()]
    if len(lines) > 1 and len(set(lines)) == len(lines):
        return None
    marked = _marked(text)
    items = marked or _after_commas(text)
    if len(items) < (_MARKED_ITEMS if marked else _ITEMS):
        return None
    short = all(len(item.split()) <= _ITEM_WORDS for item in items)
    if not marked and (not short or ";" in text or text[0] in "[{"):
        return None
    item, times = Counter(items).most_common(1)[0]
    # What stands in brackets says that there is none.
    if times == 1 or item.startswith(("(", "[")) or _MAY_REPEAT.search(order_of(asked)):
        return None
    if not _A_WORD.search(item) or _LABEL.match(item):
        return None
    lead = _MARKED_AT.split(text, maxsplit=1)[0] if marked else ""
    if _A_STEP.search(item) or _STEPS.search(lead) or _EXPLAINS.search(order_of(asked)):
        return None
    # What stands twice in the question, or line for line beside it, may stand twice in the answer.
    if asked.lower().count(item) > 1 or (short and _labels(asked, items)):
        return None
    return f"{item}: {times} times in {len(items)}"


def _labels(asked: str, items: list[str]) -> bool:
    """Whether short items may be labels: one for each line of what the question gives."""
    given = [line for line in asked.strip().split("\n")[1:] if line.strip()]
    return len(given) > 2 and len(set(items)) <= _LABELS * len(items)


def _after_commas(text: str) -> list[str]:
    """The items of an answer that is one line of them; empty ones are none."""
    if "\n" in text:
        return []
    items = re.split(r",\s+(?:and\s+)?", text.rstrip(".").lower())
    return items if all(item.split() for item in items) else []


def _marked(text: str) -> list[str]:
    """The items of the one list of an answer, each with the lines below it; else nothing.

    Numbers run from 1, bullets all stand at the same depth; a line may lead in and out.
    """
    blocks: list[list[str]] = []
    numbers: list[int] = []
    indents: set[int] = set()
    led_out = False
    for line in text.split("\n"):
        bare = line.strip()
        match = _NUMBER.match(bare) or (None if numbers else _BULLET.match(bare))
        if match is not None:
            if led_out and not numbers:
                return []  # bullets under another heading
            indents.add(len(line) - len(line.lstrip()))
            if match.re is _NUMBER:
                if blocks and not numbers:
                    return []
                numbers.append(int(match[1]))
            blocks.append([match[match.re.groups]])
        elif bare and blocks:
            # An indented line, or one right below, belongs to the item.
            led_out = led_out or bare.endswith(":")
            blocks[-1].append(bare)
    if numbers != list(range(1, len(numbers) + 1)) or len(indents) > 1:
        return []
    if blocks and not numbers and any(len(block) > 1 for block in blocks[:-1]):
        return []
    if blocks and len(blocks[-1]) > 1 and all(len(block) == 1 for block in blocks[:-1]):
        blocks[-1] = blocks[-1][:1]
    return [_plain(" ".join(block)) for block in blocks]


def _plain(item: str) -> str:
    """An item without marks around it, in small letters."""
    return " ".join(re.sub(r"[*_\"“”`]", "", item).lower().rstrip(" .,;:!").split())
