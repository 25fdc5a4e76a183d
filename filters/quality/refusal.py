"""Refusals, judged by the first sentence of an answer, and whether safety was the ground.

A list of phrases found anywhere ("I cannot", "I'm sorry") hits ordinary answers: sympathy, letters
of apology, statements that a triangle cannot be determined. A refusal says at once that the
assistant will not or cannot do what it was asked.
"""

from __future__ import annotations

import re

import polars as pl

from filters.quality.turns import Hits, Turns

# Cheap and wide: what may open a refusal. The Python patterns below decide on these few rows.
_MAYBE = (
    r"(?i)\A[\s\"'“(*]*(?:I(?:'|’)?m\b|I am\b|I do not\b|I don|I can|I won|I will not|I must|sorry"
    r"|unfortunately|my apologies|I apologi|apologies|as an? |no output|this (?:task|request|instr)"
    r"|the task|it is not possible|it's not possible|抱歉|对不起|很抱歉|作为|我无法|我不能"
    r"|lo siento|je suis désolé|désolé|es tut mir leid|desculpe|mi dispiace|извините|к сожалению)"
)

_NOT_ABLE = (
    r"(?:can(?:'|’)?t|can ?not|won(?:'|’)t|will not|unable|not able|have no (?:access|ability|way)"
    r"|(?:am|'m|’m) (?:not(?! (?:sure|certain|clear)\b)|unable|just an?|only an?"
    r"|an? (?:AI|large|language))"
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
        r"I (?:can(?:'|’)?t|can ?not|won(?:'|’)t|will not|am unable to|am not able to|must decline)"
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
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[。！？\n]")
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
    r"|(?:未|没有?)(?:提供|给出|说明|指定)|未知"
)
# "I do not have real-time data. However, according to the census, it was 38.4" answers.
_ANSWERS_NEXT = re.compile(
    r"(?i)\b(?:however|but|that said|nevertheless|nonetheless|still),? (?:according to|based on"
    r"|as of|historically|on average|typically|generally|in general"
    r"|the (?:average|estimated|typical|usual))\b"
)
# A refusal is short; what goes on for longer is an answer with a disclaimer before it.
_LONGEST = 600  # characters
_LONGEST_DENSE = 100  # where most characters are Chinese or the like
# Letters of apology, excuses and dialogues are answers.
_ASKS_FOR_ONE = (
    r"(?i)\b(?:excuses?|apolog\w*|declin\w*|refus\w*|reject\w*|turn(?:ing)? down|e-?mails?|letters?"
    r"|messages?|dialog(?:ue)?s?|conversations?|role.?play|respon[ds]e? to|reply to|lyrics|poem)\b"
)
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


def refusals(turns: Turns) -> pl.DataFrame:
    """`index`, `sentence` (the first one), `safety` of the records that refuse.

    Conversations that come with tools are left out: declining what no tool can do is what they
    teach. So are those whose prompt asks for an excuse, a letter, a dialogue and the like.
    """
    dense = pl.col("text").str.len_bytes() > 2 * pl.col("text").str.len_chars()
    longest = pl.when(dense).then(_LONGEST_DENSE).otherwise(_LONGEST)
    maybe = turns.responses.filter(
        ~pl.col("declared"),
        ~pl.col("called"),
        pl.col("text").str.len_chars() <= longest,
        pl.col("text").str.contains(_MAYBE),
    )
    sentences = [_refusal(text) for text in maybe["text"]]
    found = (
        maybe.with_columns(sentence=pl.Series(sentences, dtype=pl.String))
        .filter(pl.col("sentence").is_not_null())
        .unique("index", keep="first", maintain_order=True)
    )
    asked = turns.prompts.join(found, on="index", how="semi")
    harmful = asked.filter(pl.col("text").str.contains(_ASKS_FOR_HARM))["index"]
    exempt = asked.filter(pl.col("text").str.contains(_ASKS_FOR_ONE))["index"]
    safety = [bool(_HARM.search(sentence)) for sentence in found["sentence"]]
    return found.select(
        "index",
        "sentence",
        safety=pl.Series(safety, dtype=pl.Boolean) | pl.col("index").is_in(harmful.implode()),
    ).filter(~pl.col("index").is_in(exempt.implode()))


def _refusal(text: str) -> str | None:
    """The first sentence, if it refuses what could be answered and no answer follows."""
    text = _OPENING.sub("", text, count=1)
    end = _SENTENCE_END.search(text)
    sentence = text[: end.start()] if end else text
    if not any(pattern.match(sentence) for pattern in _REFUSALS):
        return None
    if any(pattern.search(sentence) for pattern in (_GOES_ON, _TOO_LITTLE)):
        return None
    return None if _ANSWERS_NEXT.search(text) else sentence
