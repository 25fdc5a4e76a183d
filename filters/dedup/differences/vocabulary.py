"""Words that make a small difference a large one, as codes (see `words`), and words that make none.

English. They only keep rows apart, and only where one stands in the place of another: a word that
is missing here costs a row that is like another, never one that is not.
"""

from __future__ import annotations

from functools import lru_cache

from filters.dedup.differences.words import codes_of_words, letters_of

# What turns a sentence round by standing in it.
_NEGATIONS = (
    "not no never none nobody nothing nowhere neither nor without except excluding unless "
    "cannot isnt dont doesnt cant wont"
)
# A word for its opposite turns it round too; beside these, a word with one of the prefixes.
_OPPOSITES = (
    "increase/decrease increases/decreases increasing/decreasing increased/decreased "
    "raise/lower maximum/minimum maximize/minimize maximise/minimise max/min largest/smallest "
    "bigger/smaller highest/lowest higher/lower high/low greater/less greater/smaller "
    "larger/smaller big/small biggest/smallest large/small more/less more/fewer most/least "
    "longest/shortest longer/shorter long/short tall/short before/after above/below "
    "left/right up/down over/under top/bottom front/back ahead/behind forward/backward "
    "forwards/backwards inside/outside in/out indoor/outdoor ascending/descending first/last "
    "next/previous early/late earlier/later earliest/latest oldest/newest older/newer "
    "older/younger old/new old/young oldest/youngest past/future positive/negative "
    "advantages/disadvantages advantage/disadvantage pros/cons benefits/drawbacks "
    "benefits/risks strengths/weaknesses strong/weak stronger/weaker best/worst better/worse "
    "good/bad right/wrong true/false yes/no even/odd all/none always/never often/rarely "
    "with/without include/exclude including/excluding accept/reject agree/disagree "
    "allow/forbid love/hate like/hate success/failure succeed/fail win/lose gain/lose "
    "gain/loss profit/loss rise/fall rises/falls rising/falling grow/shrink expand/contract "
    "open/close opened/closed open/closed start/stop start/end begin/end beginning/end "
    "enter/exit enter/leave arrive/leave arrival/departure push/pop push/pull add/remove "
    "add/subtract insert/delete create/delete append/prepend multiply/divide sum/difference "
    "product/quotient numerator/denominator read/write load/save upload/download send/receive "
    "sender/receiver give/take buy/sell bought/sold buyer/seller borrow/lend hire/fire "
    "attack/defend import/export imports/exports input/output inputs/outputs encode/decode "
    "encrypt/decrypt compress/decompress serialize/deserialize prefix/suffix global/local "
    "public/private static/dynamic active/passive formal/informal singular/plural "
    "uppercase/lowercase upper/lower horizontal/vertical rows/columns row/column north/south "
    "east/west northern/southern eastern/western hot/cold warm/cool wet/dry heavy/light "
    "dark/light fast/slow faster/slower easy/hard easy/difficult rich/poor happy/sad "
    "clean/dirty thick/thin wide/narrow deep/shallow full/empty alive/dead sunrise/sunset "
    "summer/winter day/night morning/evening cause/effect causes/effects supply/demand "
    "debit/credit man/woman men/women boy/girl male/female king/queen mother/father "
    "son/daughter brother/sister husband/wife teacher/student doctor/patient "
    "employer/employee client/server parent/child internal/external urban/rural "
    "majority/minority"
)
_PREFIXES = ("un", "in", "im", "il", "ir", "dis", "non")
# Another unit is another number.
_UNITS = (
    "mm cm m km millimeters centimeters meters kilometers millimetres centimetres metres "
    "kilometres millimeter centimeter meter kilometer metre kilometre inch inches foot feet "
    "yard yards mile miles mg g kg milligrams grams kilograms gram kilogram ounce ounces "
    "pound pounds ton tons tonnes ml l milliliters liters litres liter litre gallon gallons "
    "pint pints cup cups teaspoon teaspoons tablespoon tablespoons mph kmh kph knots seconds "
    "minutes hours days weeks months years decades centuries minute hour day week month year "
    "decade century milliseconds celsius fahrenheit kelvin degrees radians dollars euros yen "
    "rupees francs dollar euro cents cent percent bits bytes kilobytes megabytes gigabytes kb "
    "mb gb tb watts kilowatts volts amperes joules calories pascals hertz acres hectares "
    "words sentences paragraphs lines characters letters pages syllables"
)
# They say nothing of what is asked: articles, auxiliaries, prepositions, and what is polite.
_FILLERS = (
    "a an the this that these those of in on at to for from by with and or as is are was were "
    "be been being am do does did has have had can could will would should may might must i "
    "me my we us our you your it its s re ve ll d m please kindly thanks thank hi hello hey "
    "dear just also so then there here some any which who what give tell show provide advance "
    "appreciated help"
)


@lru_cache(maxsize=1)
def negations() -> frozenset[int]:
    """Words such as "not"; "n't" has the code of "not"."""
    return frozenset(codes_of_words(_NEGATIONS.split()))


@lru_cache(maxsize=1)
def opposites() -> dict[int, frozenset[int]]:
    """For each word those that mean the opposite."""
    found: dict[int, set[int]] = {}
    codes = codes_of_words(_OPPOSITES.replace("/", " ").split())
    for one, other in zip(codes[::2], codes[1::2], strict=True):
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return {word: frozenset(others) for word, others in found.items()}


@lru_cache(maxsize=1)
def prefixes() -> frozenset[tuple[int, ...]]:
    """Prefixes that make a word its opposite, by their letters."""
    return frozenset(map(letters_of, codes_of_words(_PREFIXES)))


@lru_cache(maxsize=1)
def units() -> frozenset[int]:
    """Units of length, weight, volume, time, money and text."""
    return frozenset(codes_of_words(_UNITS.split()))


@lru_cache(maxsize=1)
def fillers() -> frozenset[int]:
    """Words that say nothing of what is asked."""
    return frozenset(codes_of_words(_FILLERS.split()))


@lru_cache(maxsize=1)
def one_written_twice() -> set[int]:
    """ "1" and "one", which is a pronoun more often and so no number."""
    return set(codes_of_words(["1", "one"]))
