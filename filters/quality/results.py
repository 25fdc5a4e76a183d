"""The quality rule that works out what a question asks: a sort, a count, a reversal, a number.

It fires only where the task and its material are plain and the right result stands nowhere in the
answer. Loops over the few rows that a pattern leaves.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping
from fractions import Fraction

from filters.quality.asked import NUMBER_WORDS, faults_of_pairs
from filters.quality.signs import worked_out
from filters.quality.turns import Hits, Turns

_LIKELY = (
    r"(?i)\b(?:ascending|descending|alphabeti\w+|increasing|decreasing|smallest|largest|least"
    r"|lowest|highest|greatest|maximum|minimum|reverse|words|letters|characters|vowels|binary"
    r"|hexadecimal|decimal|sum|average|mean|median|product|gcd|lcm)\b|\d\s*[-+*×÷/x]\s*\d"
)
_MATERIAL = r"\d|[\"“:]|\n\n"
# A program, a rule or a formula is asked for, or only some of the material is meant.
_OTHER_TASK = re.compile(
    r"(?i)\b(?:function|program|script|code|algorithm|method|quer(?:y|ies)|python|java\w*|sql|explain"
    r"|steps?|equations?|expression|formula|even|odd|primes?|weighted|squares?d?|digits?|angles?"
    r"|excluding|without|unique|distinct|different|each|times|frequency|between|first|second|last"
    r"|regex|why|index|position|longest|shortest|profit|transactions?|pairs?|triplets?|subarrays?"
    r"|subsequences?|possible|octal|\d+(?:st|nd|rd|th)|describe|story|sentence with|difference"
    r"|percent\w*|root|geometric|harmonic)\b"
)
_NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
_A_NUMBER = re.compile(rf"(?<![\w.,/^-]){_NUMBER}(?![\w/%^]|[.,]\d)")
_WORDS = {word: number for word, number in NUMBER_WORDS.items() if number < 13} | {"zero": 0}
_QUOTED = re.compile(r"[\"“]([^\"”\n]+)[\"”]")
_LABEL = re.compile(r"\A[A-Za-z][\w ]{0,20}(?::|\s=)\s*")

_ASCENDS = (
    r"ascending|smallest to (?:the )?(?:largest|biggest|greatest)|least to (?:the )?greatest"
    r"|lowest to (?:the )?highest|increasing"
)
_DESCENDS = (
    r"descending|largest to (?:the )?smallest|highest to (?:the )?lowest"
    r"|greatest to (?:the )?least|decreasing"
)
_DIRECTION = re.compile(rf"(?i)({_ASCENDS})|({_DESCENDS})")
_ONLY_NUMBERS = re.compile(r"[\s\[\](){}]*(?:-?[\d.]+[\s,;<>.\[\](){}]*(?:and\s+)?){3,}")
_ALPHABETICAL = re.compile(r"(?i)alphabetic\w*|alphabeti[sz]e")
_OTHER_ALPHABET = re.compile(
    r"(?i)revers\w*|descend\w*|\bz\b|surnames?|last name|length|letters?|\bby\b"
)
_REVERSE = re.compile(
    r"(?i)\Areverse (?:the )?(?:order of )?(?:the )?(?:following |given )?"
    r"(strings?|word|text|letters|characters|words|phrase|sentence)\b"
)
_COUNT = re.compile(
    r"(?i)\b(?:count|how many|number of)\b.{0,20}?\b(words|letters|characters|vowels)\b"
    r".{0,20}\b(?:in|of|there)\b"
)
_STATISTIC = re.compile(
    r"(?i)\A\W*(?:please )?(?:find|calculate|compute|determine|what(?:['’]s| is)|work out|identify"
    r"|add|give)\b[^.?\n]{0,25}?\b(sum|average|mean|median|product|largest|smallest|maximum|minimum"
    r"|greatest common (?:divisor|factor)|gcd|(?:least|lowest) common multiple|lcm|highest|lowest)"
    r"\b[^?\n]{0,50}?\b(?:of|in|from|numbers?|values?|integers|list|array|set)\b"
)
_WORKED: Mapping[str, Callable[[list[float]], float]] = {
    "sum": math.fsum,
    "average": statistics.fmean,
    "mean": statistics.fmean,
    "median": statistics.median,
    "product": math.prod,
    "largest": max,
    "maximum": max,
    "highest": max,
    "smallest": min,
    "minimum": min,
    "lowest": min,
    "gcd": lambda numbers: math.gcd(*map(int, numbers)),
    "lcm": lambda numbers: math.lcm(*map(int, numbers)),
}
_NUMBERS_ONLY = re.compile(
    rf"[\s\[\](){{}}]*{_NUMBER}(?:(?:\s*,\s*|\s+)(?:and\s+)?{_NUMBER})+[\s.\[\](){{}}?]*"
)
_PROGRAM = re.compile(r"\bdef \w|\bimport \w|\bprint\b|;\s*$|^\s*#", re.MULTILINE)
# Cheap, and true of all that the next pattern finds.
_MAY_CALCULATE = re.compile(
    r"(?i)\A\W*(?:please\s+)?(?:what|calculate|compute|evaluate|solve|find|work\s+out)"
)
_CALCULATION = re.compile(
    r"(?i)\A\W*(?:please )?(?:what(?:['’]s| is)|calculate|compute|evaluate|solve|find|work out)\s*"
    r"(?:the )?(?:value |result |answer |sum |product |following |calculation |problem )*(?:of|to)?"
    r"[\s:]*((?:\d+(?:\.\d+)?)(?:\s*[-+*×÷/x]\s*\d+(?:\.\d+)?)+)\s*[=?.]*\s*\Z"
)
_BASE = re.compile(
    r"(?i)\b(?:(binary|decimal|hexadecimal)\b.{0,30}?\bto\b.{0,30}?\b)?(?:to|into|in|as)\s+(?:an?\s+|its\s+)?"
    r"(?:equivalent\s+)?(binary|decimal|hexadecimal)\b"
)
_INTEGER = re.compile(r"(?<![\w.,/-])(?:0x[0-9A-Fa-f]+|\d+)(?![\w/%°]|[.,]\d)")


def wrong_result(turns: Turns) -> Hits:
    """Records that ask for what can be worked out, and whose answer does not hold it."""
    return faults_of_pairs(turns, _fault, _MATERIAL, _LIKELY)


def _fault(asked: str, answer: str) -> str | None:
    order, _, material = asked.strip().partition("\n\n")
    material = material.strip()
    calculation = None
    if _MAY_CALCULATE.match(asked):
        calculation = _CALCULATION.search(re.sub(r"\s+", " ", asked))
    if calculation is not None:
        return _miscalculated(calculation[1], answer)
    if len(asked) > 1_000 or len(answer) > 600 or _PROGRAM.search(answer):
        return None
    if _OTHER_TASK.search(order):
        return None
    for rule in (_unsorted, _not_reversed, _not_counted, _not_converted, _not_found):
        fault = rule(order, material, answer)
        if fault is not None:
            return fault
    return None


def _given(order: str, material: str) -> str:
    """The text a task is about: quoted in the order, after its colon, or below it."""
    quoted = _QUOTED.search(order)
    text = material or (quoted[1] if quoted else order.partition(": ")[2])
    return _LABEL.sub("", text).strip().strip("\"“”'").strip()


def _listed(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in _A_NUMBER.findall(text)]


def _holds(answer: str, right: float) -> bool:
    """Whether a number of the answer is the right one, or is that rounded or cut off."""
    for number in re.findall(_NUMBER, answer):
        plain = number.replace(",", "")
        if abs(abs(float(plain)) - abs(right)) <= 10.0 ** -len(plain.partition(".")[2]) * (
            "." in plain or right != int(right)
        ):
            return True
    return False


def _unsorted(order: str, material: str, answer: str) -> str | None:
    if not re.search(r"(?i)\b(?:sort|arrange|order|rank|list|put|alphabeti)", order):
        return None
    directions = {bool(up) for up, _ in _DIRECTION.findall(order)}
    if len(directions) == 1 and _ONLY_NUMBERS.fullmatch(answer.strip()):
        numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", answer)]
        right = sorted(numbers, reverse=not directions.pop())
        return None if numbers == right else f"not in order: {answer.strip()}"
    if not _ALPHABETICAL.search(order) or _OTHER_ALPHABET.search(order):
        return None
    items = [item.strip(" .").lower() for item in re.split(r",\s*(?:and\s+)?|\n+", answer.strip())]
    given = _given(order, material).lower()
    plain = len(items) > 2 and all(
        re.fullmatch(r"[a-z]+", item) and item in given for item in items
    )
    return f"not in order: {answer.strip()}" if plain and items != sorted(items) else None


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


def _not_reversed(order: str, material: str, answer: str) -> str | None:
    task, text = _REVERSE.search(order), _given(order, material)
    if task is None or not text or len(answer) > 2 * len(text) + 60 or re.search(r"[=(]", answer):
        return None
    if re.search(r"\b(?:new|begin\w*|keyword|meaning|voice)\b", order, re.IGNORECASE):
        return None
    backwards, words = _letters(text[::-1]), _letters("".join(text.split()[::-1]))
    by_words = _letters("".join(re.findall(r"[\w'’]+", text)[::-1]))
    given = _letters(answer)
    return None if any(right in given for right in (backwards, words, by_words)) else answer.strip()


def _not_counted(order: str, material: str, answer: str) -> str | None:
    task, text = _COUNT.search(order), _given(order, material)
    if task is None or not text or not re.search(r"[A-Za-z]", text):
        return None
    what = task[1].lower()
    words = answer.replace(text, " ").lower()
    numbers = {int(number) for number in re.findall(r"\b\d{1,4}\b", words)}
    numbers |= {_WORDS[word] for word in re.findall(r"[a-z]+", words) if word in _WORDS}
    letters = sum(map(str.isalpha, text))
    right = {
        "words": {len(text.split()), len(re.findall(r"\w+", text))},
        "vowels": {len(re.findall(mark, text.lower())) for mark in ("[aeiou]", "[aeiouy]")},
        "letters": {letters},
        "characters": {letters, len("".join(text.split())), len(text), len(text.rstrip(".!?"))},
    }[what]
    # One number, so that it is the count.
    if len(numbers) != 1 or numbers & right:
        return None
    return f"{numbers.pop()} {what}: there are {max(right)}"


def _not_converted(order: str, material: str, answer: str) -> str | None:
    bases = {"binary": 2, "decimal": 10, "hexadecimal": 16}
    named = re.findall(r"\b(binary|decimal|hexadecimal)\b", order.lower())
    target = _BASE.search(order)
    numbers = _INTEGER.findall(f"{order}\n{material}")
    if target is None or len(set(numbers)) != 1 or "number" in material or len(set(named)) > 2:
        return None
    to = target[2].lower()
    source = next((name for name in named if name != to), "decimal")
    if source == to or re.search(r"places?|fraction", order):
        return None
    try:
        value = int(numbers[0], 16 if numbers[0].startswith("0x") else bases[source])
    except ValueError:
        return None
    right = format(value, {2: "b", 10: "d", 16: "x"}[bases[to]])
    given = re.sub(r"[\s,_]", "", answer.lower())
    return None if right in given else f"{numbers[0]} is {right} in {to}"


def _not_found(order: str, material: str, answer: str) -> str | None:
    task = _STATISTIC.search(order)
    if task is None:
        return None
    text = _LABEL.sub("", material) if material else order[task.end(1) :].partition(":")[2]
    if not text:
        text = re.sub(r"\A.*?(?=\d)", "", order[task.end(1) :], count=1)
    numbers = _listed(text) if _NUMBERS_ONLY.fullmatch(text) else []
    if len(numbers) < 2 or not re.search(r"\d", answer):
        return None
    name = task[1].lower()
    right = _WORKED["lcm" if "multiple" in name else name if name in _WORKED else "gcd"](numbers)
    return None if _holds(answer, right) else f"{name} of {text.strip()} is {right:g}"


def _miscalculated(calculation: str, answer: str) -> str | None:
    plain = calculation.replace("×", "*").replace("÷", "/")
    if not re.search(r"\d", answer) or re.search(r"/.*[/x*]|\d{9}", plain):
        return None
    try:
        right = worked_out(plain, Fraction)
    except ZeroDivisionError:
        return None
    if re.search(r"\d\s*/\s*\d|[⅓⅔¼½¾^]|remainder", answer) or _holds(answer, float(right)):
        return None
    return f"{calculation} is {float(right):g}"
