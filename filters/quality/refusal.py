"""Refusals, judged sentence by sentence, and whether safety was the ground.

A list of phrases found anywhere ("I cannot", "I'm sorry") hits ordinary answers: sympathy, letters
of apology, statements that a triangle cannot be determined. A refusal says at once that the
assistant will not or cannot do what it was asked, and no later sentence gives anything: each makes
excuses, offers other help or points elsewhere.
"""

from __future__ import annotations

import re

import polars as pl

from filters.quality.excuses import ASKS_BACK, gives_nothing, sentences
from filters.quality.turns import Hits, Turns, faults

# Cheap and wide: what may open a refusal. The Python patterns below decide on these few rows.
_GREETING = r"(?:(?:hi|hello|hey|dear)\b[^.!?\n]{0,20}[,.!]\s*)?"
_MAYBE = (
    rf"(?i)\A[\s\"'“(*]*{_GREETING}(?:(?:oh|oops|well|hmm),?\s+)?(?:I(?:'|’)?m\b"
    r"|I am\b|I do not\b|I don|I did ?n|I can|I could|I won|I will not|I must|sorry|unfortunately"
    r"|my apologies|I apologi|apologies|as an? |no output|this (?:task|request|instr)|the task"
    r"|that['’]s|that is|it is not possible|it's not possible|抱歉|对不起|很抱歉|作为|我无法|我不能"
    r"|lo siento|je suis désolé|désolé|es tut mir leid|desculpe|mi dispiace|извините|к сожалению)"
)

_NOT_ABLE = (
    r"(?:can(?:'|’)?t|can ?not|won(?:'|’)t|will not|unable|not able|have no (?:access|ability|way)"
    r"|(?:am|'m|’m) (?:not(?! (?:\w+ )?(?:sure|certain|clear|aware|familiar)\b)|unable"
    r"|just an?|only an?|an? (?:AI|large|language))"
    r"|do(?:n(?:'|’)t| not) (?:\w+ )?(?:have|possess|provide|support|engage|know how)"
    r"|not (?:capable|comfortable|programmed|designed|possible|allowed|permitted))"
)
_SORRY = (
    r"(?:(?:I(?:'|’)?m|I am) (?:very |so |really |truly )?(?:sorry|afraid)|sorry|unfortunately"
    r"|(?:my (?:sincere )?)?apologies|I apologi[sz]e)"
)
_AI = r"an? (?:AI|artificial intelligence|(?:large )?language model|virtual assistant|chat ?bot)"
_REFUSALS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # I'm sorry, but I cannot ...; Unfortunately, as an AI I do not have ...
        rf"{_SORRY}\b,?(?: but)?,? (?:that )?(?:I|as {_AI})\b[^.!?\n]{{0,80}}?{_NOT_ABLE}",
        # As an AI language model, I do not ...
        rf"as {_AI}\b[^.!?\n]{{0,60}}?\bI\b[^.!?\n]{{0,30}}?{_NOT_ABLE}",
        # I cannot help with ...
        r"(?:I (?:can(?:'|’)?t|can ?not|won(?:'|’)t|will not|must decline)"
        r"|I(?: a|['’])m (?:unable|not able) to)"
        r" (?:help(?! but)|assist|provide|comply|fulfil|answer|give you|generate|create|engage"
        r"|support|participate|share|recommend|offer|do that|tell you)",
        r"I do(?:n(?:'|’)t| not) have (?:access|the (?:ability|capability|information))",
        # The wording of Alpaca's generator
        r"(?:sorry|no output)[^.!?\n]{0,30}(?:task|instruction|request)s? "
        r"(?:involve|require|can ?not|is not)",
        r"this (?:task|request|instruction) (?:involves|requires|cannot|can't|is not possible)"
        r"[^.!?\n]{0,80}(?:\bGPT|\bmodel\b|\bAI\b|visual|audio|graphic|cannot be done)",
        r"(?:很?抱歉|对不起|作为(?:一[个名款])?(?:AI|人工智能|语言模型))[^。！？\n]{0,40}"
        r"(?:无法|不能|没有能力)",
        r"我(?:无法|不能)(?:提供|回答|帮助|协助|满足|生成)",
        r"lo siento,?(?: pero)? no puedo|(?:je suis )?désolée?,?(?: mais)? je ne peux",
        r"es tut mir leid,?(?: aber)? ich kann|desculpe,?(?: mas)? não posso",
        r"mi dispiace,?(?: ma)? non posso|(?:извините|к сожалению),?(?: но)? я не могу",
    )
)
_OPENING = re.compile(r"\A[\s\"'“(*]+")
_GREETED = re.compile(rf"\A{_GREETING}(?:(?:oh|oops|well|hmm),?\s+)?", re.IGNORECASE)
# "I don't have preferences, but I can suggest ..." goes on to answer.
_GOES_ON = re.compile(
    r"(?i)\b(?:but|however|though|nevertheless|here (?:is|are))\b[^.]{0,12}"
    r"\b(?:I (?:can|could|will|would)(?!['’]t| ?not)|here|I'(?:ll|d)|let me)\b"
    r"|但(?:是)?我?(?:可以|能)"
)
# What the question leaves out is no lack of ability: an angle from two sides, a text not given.
_TOO_LITTLE = re.compile(
    r"(?i)\bwithout (?:being (?:given|provided)|knowing|seeing"
    r"|(?:any |some )?(?:further|additional|more|enough|sufficient))\b"
    r"|\bgiven only\b|\bno (?:\w+ )?(?:was|were|has been) (?:given|provided)"
    r"|(?:not|n['’]t) (?:been )?(?:given|provided|specified|included|attached)\b"
    r"|\bdid(?:n['’]t| not) (?:give|provide|specify|include|attach)\b"
    r"|\b(?:enough|sufficient) (?:information|context|details?|data)\b"
    r"|\b(?:earlier|previous(?:ly)?|above|aforementioned)\b|\byou(?:['’]re| are| have|['’]ve)?"
    r" (?:mention|referr|sent|link|provid|shar|upload|attach)\w*"
    r"|(?:未|没有?)(?:提供|给出|说明|指定)|未知"
)
# To know nothing of a person or a firm is no lack of ability, and may well be right.
_KNOWS_NOTHING = re.compile(
    r"(?i)\b(?:have|possess|find)(?: \w+){0,2} (?:information|knowledge|records?|details?|data)"
    r" (?:about|on|of|regarding|concerning)\b|\b(?:aware of|familiar with)\b"
)
# "Do you have feelings?" is answered by "As an AI I have none".
_ABOUT_ITSELF = re.compile(
    r"(?i)\b(?:do|did|have|are|were) you\b|\bpossible for you\b|\bwhat can you\b|\bcan I\b"
    r"|\bcan you (?:see|hear|feel|remember|learn|access|browse|display|read|open|view|speak"
    r"|understand|think)\b[^.?\n]{0,40}\?|\byour (?:name|age|favou?rite|gender|feelings?)\b"
)
# To a remark: "As an AI, I do not have personal beliefs".
_OF_ITSELF = re.compile(
    r"(?i)\bnot have (?:any )?(?:personal |political |human )*(?:beliefs?|opinions?|feelings?"
    r"|emotions?|preferences?|consciousness|affiliations?|taste)\b"
)
_A_TASK = re.compile(
    r"(?i)\A\W*(?:please )?(?:write|describe|tell|create|give|imagine|make|compose|share"
    r"|generate)\b"
)
# A refusal is short; what goes on for longer is an answer with a disclaimer before it.
_LONGEST = 600  # characters
_LONGEST_DENSE = 100  # where most characters are Chinese or the like
# Letters of apology, excuses and dialogues are answers.
_ASKS_FOR_ONE = (
    r"(?i)\b(?:excuses?|apolog\w*|declin\w*|refus\w*|reject\w*|turn(?:ing)? down|e-?mails?|letters?"
    r"|messages?|dialog(?:ue)?s?|conversations?|role.?play|respon[ds]e? to|reply to|lyrics|poem)\b"
)
# The words of the answer, or whose they are, stand in the question.
_ASKS_FOR_SORRY = (
    r"(?i)\b(?:sorry|regret\w*|pretend|act as|act like|character|customer|(?:in)?to english"
    r"|do(?:n['’]t| not) know|can ?not (?:be )?answer\w*|unanswerable)\b"
)
_AT_A_LOSS = re.compile(
    rf"(?:{_SORRY}\b,?(?: but)?,? )?I (?:do|did|could)(?:n(?:'|’)?t| not) "
    r"(?:quite |really |fully )?(?:understand|follow|catch)\b"
    rf"|{_SORRY}\b,?(?: but)?,? I (?:do|did|could)(?:n(?:'|’)?t| not) "
    r"(?:quite |really |fully )?(?:know|get|recogni[sz]e)\b"
    rf"|{_SORRY}\b,?(?: but)?,? (?:there was|that is|that's|this is|it is|it's) (?:\w+ )?"
    r"(?:error|not possible|impossible|not something)"
    r"|I(?: a|['’])m (?:just |only )?an? (?:text-based AI|(?:large )?language model|AI)\b"
    r"[^.!?\n]{0,60}(?:can['’]?t|can ?not|unable|not able|outside|beyond|do(?:n['’]t| not) have)\b"
    r"|I(?: a|['’])m (?:not (?:programmed|designed|trained|capable)|designed (?:solely|only))\b"
    r"|(?:that|this)(?:['’]s| is) (?:not something I|outside|beyond)\b"
    rf"|{_SORRY}\b[^.!?\n]{{0,60}}\b(?:unable|not able|can ?not|can['’]t)\b",
    re.IGNORECASE,
)
_OTHER_SCRIPT = re.compile(r"[\u0400-\u04ff\u3040-\u9fff\uac00-\ud7af]")
_OF_A_MODEL = re.compile(r"(?i)\bAI\b|artificial|language model|real-time|brows|internet")
_REPHRASE = re.compile(r"(?i)\b(?:rephrase|reword|repeat|say (?:that|it) again)\b")
_ONLY_SORRY = re.compile(rf"{_SORRY}\W*", re.IGNORECASE)
_SHORT_OF_HELP = 300  # characters
_A_REQUEST = r"\S+\s+\S+\s+\S+"  # of fewer words an answer may well understand nothing
_HARM = re.compile(
    r"(?i)illegal|unlawful|against the law|unethical|harm|\bhurt|danger|unsafe|inappropriate|violen"
    r"|weapon|hateful|discriminat|racis|sexis|offensive|explicit|suicid|abus|privacy|malicious"
    r"|without consent|违法|非法|伤害|危险|不道德|隐私|暴力"
)
_ASKS_FOR_HARM = (
    r"(?i)(?-u:\b)(?:kill|murder|bombs?|explosives?|weapons?|poison|hurt(?:ing)?|suicide|self-harm"
    r"|hack(?:ing)? into|steal|shoplift|launder|meth|cocaine|porn|racist|sexist|phishing|malware"
    r"|stalk|blackmail|counterfeit)(?-u:\b)"
)


def refusal(turns: Turns) -> Hits:
    """Records that decline for lack of ability or access; the evidence is the first sentence."""
    return Hits(turns.once(refusals).filter(~pl.col("safety")), pl.col("sentence"))


def safety_refusal(turns: Turns) -> Hits:
    """Records that decline what is harmful; the evidence is the first sentence."""
    return Hits(turns.once(refusals).filter("safety"), pl.col("sentence"))


def no_help(turns: Turns) -> Hits:
    """Records with a short answer that is sorry, or at a loss, and gives nothing.

    Without refusals for lack of ability, answers that ask back, and questions that are harmful or
    hardly say a word.
    """
    maybe = turns.once(_may_decline).filter(
        pl.col("text").str.len_chars() <= _SHORT_OF_HELP,
        pl.col("asked").str.contains(_A_REQUEST),
        ~pl.col("asked").str.contains(_ASKS_FOR_SORRY),
        ~pl.col("asked").str.contains(_ASKS_FOR_HARM),
    )
    found = _without_exempt(turns, faults(maybe, _helpless, "text", "asked").lines)
    # "If it is not there, answer: I do not know."
    ordered = turns.prompts_of(found["index"]).filter(pl.col("text").str.contains(_ASKS_FOR_SORRY))
    found = found.filter(~pl.col("index").is_in(ordered["index"].implode()))
    refused = turns.once(refusals).filter(~pl.col("safety"))["index"]
    found = found.filter(~pl.col("index").is_in(refused.implode()))
    return Hits(found, pl.col("fault"))


def refusals(turns: Turns) -> pl.DataFrame:
    """`index`, `sentence` (the first one), `safety` of the records that refuse.

    Conversations that come with tools are left out: declining what no tool can do is what they
    teach. So are those whose prompt asks for an excuse, a letter, a dialogue and the like.
    """
    found = faults(turns.once(_may_decline), _refusal, "text", "asked").lines
    found = found.rename({"fault": "sentence"}).unique("index", keep="first", maintain_order=True)
    asked = turns.prompts_of(found["index"])
    harmful = asked.filter(pl.col("text").str.contains(_ASKS_FOR_HARM))["index"]
    harm = [bool(_HARM.search(sentence)) for sentence in found["sentence"]]
    found = found.with_columns(harm=pl.Series(harm, dtype=pl.Boolean))
    return _without_exempt(turns, found).select(
        "index", "sentence", safety=pl.col("harm") | pl.col("index").is_in(harmful.implode())
    )


def _may_decline(turns: Turns) -> pl.DataFrame:
    """`index`, `text`, `asked` (the message before) of the short answers that begin like one."""
    dense = pl.col("text").str.len_bytes() > 2 * pl.col("text").str.len_chars()
    longest = pl.when(dense).then(_LONGEST_DENSE).otherwise(_LONGEST)
    maybe = turns.responses.filter(
        ~pl.col("declared"),
        ~pl.col("called"),
        pl.col("text").str.len_chars() <= longest,
        pl.col("text").str.contains(_MAYBE),
    )
    return maybe.select("index", "text", asked=turns.before(maybe))


def _without_exempt(turns: Turns, found: pl.DataFrame) -> pl.DataFrame:
    asked = turns.prompts_of(found["index"])
    exempt = asked.filter(pl.col("text").str.contains(_ASKS_FOR_ONE))["index"]
    return found.filter(~pl.col("index").is_in(exempt.implode()))


def _refusal(text: str, asked: str) -> str | None:
    """The first sentence, if it refuses what could be answered and no answer follows."""
    spoken = sentences(_OPENING.sub("", text, count=1))
    first = _GREETED.sub("", spoken[0]) if spoken else ""
    if not any(pattern.match(first) for pattern in _REFUSALS):
        return None
    if any(pattern.search(first) for pattern in (_GOES_ON, _TOO_LITTLE, _KNOWS_NOTHING)):
        return None
    asks = _A_TASK.search(asked) or "?" in asked
    if _OF_ITSELF.search(first) and not asks:
        return None
    if _ABOUT_ITSELF.search(asked) or (ASKS_BACK.search(text) and not _OF_A_MODEL.search(first)):
        return None
    # The sentences of other scripts are not told apart.
    rest = () if _OTHER_SCRIPT.search(first) else spoken[1:]
    return spoken[0].rstrip(".!?") if all(map(gives_nothing, rest)) else None


def _helpless(text: str, asked: str) -> str | None:
    """The first sentence, if it is sorry or at a loss and no other gives anything."""
    spoken = sentences(_OPENING.sub("", text, count=1))
    # "Hi human," and "I'm sorry." say nothing yet.
    opened = (_GREETED.sub("", one) for one in spoken)
    first = next((one for one in opened if one and not _ONLY_SORRY.fullmatch(one)), "")
    opens = (*_REFUSALS, _AT_A_LOSS)
    if not any(pattern.match(first) for pattern in opens) or _ABOUT_ITSELF.search(asked):
        return None
    if any(pattern.search(first) for pattern in (_GOES_ON, _TOO_LITTLE, _KNOWS_NOTHING)):
        return None
    # To ask for the same again is not to ask for what is missing.
    if ASKS_BACK.search(text) and not _REPHRASE.search(text):
        return None
    return first if all(map(gives_nothing, spoken[1:])) else None
