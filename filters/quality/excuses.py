"""Sentences that give nothing: excuses, offers of other help, and words that point elsewhere.

An answer of such sentences alone declines. One sentence of another kind is an answer, or a part of
one: "I have no live data. However, you can copy the text into a file."
"""

from __future__ import annotations

import re

# Also the full-width marks, and a line's end.
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+|[。！？]|\n+")

_SELF = r"(?:\bI\b|\bI['’]m\b|\bmy\b|\bwe\b|\bme\b)"
_LACKS = (
    r"(?:(?:ca|wo|do|am|is|are|does|did|could|would)n['’]t\b|\bcan ?not\b|\bcant\b|\bwill not\b"
    r"|\b(?:do|am|is|are|does|did|could|would|may|might) not\b|['’]m not\b|\bunable\b"
    r"|\bno (?:access|ability|way|information|knowledge|personal|physical)\b"
    r"|\bnot (?:able|capable|programmed|designed|trained|possible|allowed|permitted|equipped"
    r"|aware)\b)"
)
_GIVES_NOTHING = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # What it cannot do, is or knows
        rf"{_SELF}[^\n]*{_LACKS}",
        r"\bas an? (?:AI|artificial|(?:large )?language|text|virtual|chat)",
        r"\b(?:I am|I['’]m) (?:just |only |simply |merely )?(?:an? |a text-based )?(?:AI|artificial"
        r"|(?:large )?language|text-based|machine|virtual|computer|chat ?bot|robot)",
        r"\bI can (?:only|just)\b|\bI (?:only|just) (?:have|know)\b|\bI lack\b",
        r"\bmy (?:training|knowledge|capabilit|abilit|purpose|programming|functions?|responses?"
        r"|primary|last (?:update|training))",
        # Excuses
        r"\A\W*(?:(?:I(?: a|['’])m |we(?: a|['’])re )?(?:so |very |truly )?(?:sorry|afraid)"
        r"|(?:my |our )?(?:sincere )?apolog|I (?:sincerely )?apologi[sz]e|unfortunately|hi\b"
        r"|hello\b|hey\b|thank(?:s| you))[^,]{0,60}\Z",
        r"\b(?:requires?|involves?|would (?:require|need|take|depend)|depends?|beyond|outside)\b",
        r"\b(?:not possible|impossible|not appropriate|against (?:my|our))\b",
        # Offers
        r"\bis there (?:anything|something|any other)\b|\bhow (?:else )?(?:can|may|could) I\b"
        r"|\bcan I (?:help|assist)\b|\bwhat (?:else|other|would you)\b|\blet me know\b"
        r"|\bfeel free\b|\bask me\b"
        r"|\bI(?:['’]d| would|['’]ll| will| am|['’]m)(?: be)? (?:happy|glad|here)\b",
        r"\Aif (?:you|there)\b",
        r"\bI (?:can|could|may|might|would|will|am able to|['’]ll|['’]d)(?: try(?: to)?| still"
        r"| certainly| definitely)? (?:be able to )?(?:help|assist|offer|provide (?:you with )?"
        r"(?:general|some|advice|information|guidance|support)|support|guide|answer|discuss)\b",
        # Elsewhere: "You can search the web", "There are tools online"
        r"(?=.*\b(?:you|your|recommend\w*|suggest\w*|try|please|best|advis\w*|there are|refer to"
        r"|that offer|such as)\b)"
        r".*\b(?:consult|contact|seek|reach(?:ing)? out|speak (?:to|with)|talk to|refer to"
        r"|search(?:ing)?|look(?:ing)? up|google|websites?|web ?pages?|online|internet|browser"
        r"|professionals?|experts?|authorit(?:y|ies)|reputable)\b",
        r"\A(?:write|talk|speak|go) to\b|\A(?:contact|see|ask|visit|check)\b",
        r"\bplease (?:try|ask|note|rephrase|check|visit|send|use another|keep in mind"
        r"|understand)\b",
        r"\b(?:you (?:will|may|might|would) need to|you should|it(?:['’]s| is| would be) (?:best"
        r"|important|essential|recommended|advisable)|let['’]s)\b",
    )
)
# "Could you give me the text?": where it is missing, asking is the right answer.
ASKS_BACK = re.compile(
    r"(?i)\b(?:could|can|would|will|may) you(?: please| kindly)? (?:\w+ )?(?:provide|share|give"
    r"|send|clarify|specify|tell|paste|describe|elaborate|rephrase|explain|upload|confirm"
    r"|let me know|repeat|be more specific)\b"
    r"|\bplease (?:provide|share|give|send me|clarify|specify|tell|paste|describe|elaborate|upload"
    r"|confirm|be more specific|let me know (?:what|which|more|the|if you meant))\b"
    r"|\bif you (?:can|could|would|will)?(?: please)? ?(?:provide|share|give|send|clarify|specify"
    r"|paste|tell|describe)\b|\b(?:what|which|who)\b[^.!?\n]{3,80}\b(?:you mean|you referring"
    r"|referring to|do you want)\b[^.!\n]{0,20}\?"
)


def sentences(text: str) -> list[str]:
    """The sentences of a text, without those that hold no letter."""
    parts = (part.strip() for part in _SENTENCE_END.split(text))
    return [part for part in parts if any(map(str.isalpha, part))]


def gives_nothing(sentence: str) -> bool:
    """Whether a sentence only excuses, offers help or points elsewhere.

    >>> gives_nothing("Is there anything else I can help you with?")
    True
    >>> gives_nothing("It was a Tuesday.")
    False
    """
    return any(pattern.search(sentence) for pattern in (ASKS_BACK, *_GIVES_NOTHING))
