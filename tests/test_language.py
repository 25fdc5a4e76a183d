"""Languages of short and long texts; what is no language; the same verdict however it is cut."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.contract import VERDICTS
from curate.base.errors import CurateError
from curate.pipeline.judging import judge
from filters.language.filter import Language
from filters.language.second import second_opinion
from filters.language.text import words_of

SHORT = {
    "en": ["What is the capital of France?", "Good morning, how are you today?"],
    "de": ["Wie spät ist es jetzt?", "Nenne drei Früchte."],
    "fr": ["Quelle est la capitale de l'Allemagne ?", "Bonjour, comment allez-vous ?"],
    "es": ["¿Cuál es la capital de Francia?", "Nombra tres frutas."],
    "it": ["Qual è la capitale della Francia?", "Buongiorno, come stai oggi?"],
    "pt": ["Qual é a capital da França?", "Bom dia, como você está hoje?"],
    "ru": ["Какая столица Франции?", "Доброе утро, как дела?"],
    "zh": ["法国的首都是哪里？", "你好，今天怎么样？"],
    "ja": ["フランスの首都はどこですか？", "おはようございます。お元気ですか？"],
    "ko": ["프랑스의 수도는 어디입니까?"],
    "el": ["Ποια είναι η πρωτεύουσα της Γαλλίας;"],
    "he": ["מהי בירת צרפת?"],
    "th": ["เมืองหลวงของฝรั่งเศสคืออะไร"],
    "ar": ["صباح الخير، كيف حالك اليوم؟"],
    "hi": ["फ्रांस की राजधानी क्या है?"],
    "tr": ["Fransa'nın başkenti neresidir?"],
}
LONG = {
    "en": "The quick brown fox jumps over the lazy dog and runs into the forest, where nobody will "
    "ever find it, although many people have tried to follow it for years.",
    "de": "Der schnelle braune Fuchs springt über den faulen Hund und läuft dann in den Wald, wo "
    "ihn niemand findet, obwohl es viele Leute seit Jahren versuchen.",
    "fr": "Le renard brun saute par-dessus le chien paresseux et court dans la forêt, où personne "
    "ne le trouvera jamais, bien que beaucoup de gens aient essayé.",
    "es": "El zorro marrón salta sobre el perro perezoso y corre hacia el bosque, donde nadie lo "
    "encontrará nunca, aunque mucha gente lo ha intentado durante años.",
    "ru": "Быстрая коричневая лиса прыгает через ленивую собаку и убегает в лес, где её никто и "
    "никогда не найдёт, хотя многие люди пытались это сделать.",
    "zh": "敏捷的棕色狐狸跳过懒狗，跑进了森林，虽然很多人已经尝试了很多年，但没有人能找到它。",
    "ja": "素早い茶色の狐は怠け者の犬を飛び越えて森に逃げ込み、誰にも見つけられませんでした。",
}
NO_LANGUAGE = {
    "a number": "42",
    "emoji": "😀😀😀🎉🎉",
    "one word": "OK",
    "a link": "https://example.com/this/is/a/rather/long/link",
    "a formula": "$E = mc^2$ and $a^2 + b^2 = c^2$",
    "fenced code": "```python\nprint('hello world, this is a sentence')\n```",
    "bare code": "def total(values):\n    result = sum(values)\n    return (result)",
    "a query": "SELECT name, age FROM users WHERE age > 30;",
    "markup": "<div class='row'><span>a</span></div>",
    "nothing": "",
}


def answers(conversation: Any, *texts: str) -> pl.DataFrame:
    return Language(field="response").measure(conversation(*(("", text) for text in texts)))


@pytest.mark.parametrize(
    ("language", "text"), [(code, text) for code, texts in SHORT.items() for text in texts]
)
def test_a_short_sentence_is_told(conversation: Any, language: str, text: str) -> None:
    found = answers(conversation, text)
    assert found["language"].item() == language
    assert found["confidence"].item() >= 0.6


@pytest.mark.parametrize(("language", "text"), LONG.items())
def test_a_long_sentence_is_told(conversation: Any, language: str, text: str) -> None:
    found = answers(conversation, text)
    assert found["language"].item() == language
    assert found["confidence"].item() >= 0.6


@pytest.mark.parametrize("text", NO_LANGUAGE.values(), ids=NO_LANGUAGE)
def test_what_is_no_language_is_abstained_from_and_kept(conversation: Any, text: str) -> None:
    found = answers(conversation, text)
    assert found["language"].item() is None
    judged = Language(allow=("en",)).judge(found).verdicts
    assert judged["keep"].item()
    assert judged["evidence"].item().startswith("abstained: ")


def test_words_around_code_are_judged_without_the_code(conversation: Any) -> None:
    code = "```python\nfor value in values: add(value)\n```"
    text = "Diese Funktion berechnet die Summe aller Zahlen.\n" + code
    assert answers(conversation, text)["language"].item() == "de"


@pytest.mark.parametrize(
    "text",
    [
        "A pig lives in a muddy sty",
        "Kick the bucket To die",
        "Calculate plus",
        "Non-Computer Science",
        "Onion, Potato, Tomato",
        "longitude, latitude",
        "Pablo Picasso",
        "Bill Gates, Jeff Bezos, Mark Zuckerberg, Elon Musk, Steve Jobs, Richard Branson",
    ],
)
def test_a_brief_text_or_list_of_names_is_never_surely_in_a_wrong_language(
    conversation: Any, text: str
) -> None:
    found = answers(conversation, text)
    sure = found["confidence"].item() >= 0.6
    assert found["language"].item() == "en" or not sure
    judged = Language(allow=("en",)).judge(found).verdicts
    assert judged["keep"].item()


def test_what_comes_after_the_first_words_counts_where_they_do_not_settle_it(
    conversation: Any,
) -> None:
    text = (
        "Anna Karenina, Konstantin Levin, Stepan Oblonsky, Daria Oblonskaja. Das sind die vier, "
        "von denen ich am meisten halte, und sie sind mir nicht immer gleich lieb."
    )
    found = answers(conversation, text)
    assert found["language"].item() == "de"
    assert found["confidence"].item() >= 0.6


def test_words_behind_a_long_block_of_code_are_read(conversation: Any) -> None:
    code = "```python\n" + "value = add(value)\n" * 30 + "```\n"
    text = code + "Diese Funktion berechnet die Summe aller Zahlen."
    assert answers(conversation, text)["language"].item() == "de"


def test_letters_with_accents_do_not_end_a_word(conversation: Any) -> None:
    rows = conversation(("", "Los siete días de la semana été très b x"))
    words = words_of(rows["response"], 100).item()
    assert words == "Los siete días de la semana été très"


def test_the_second_opinion_is_what_langdetect_says() -> None:
    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory

    factory = DetectorFactory()
    profiles = sorted(path for path in Path(PROFILES_DIRECTORY).iterdir() if path.is_file())
    factory.load_json_profile([path.read_text(encoding="utf-8") for path in profiles])
    factory.set_seed(0)
    for text in ("Name three fruits", "A pig lives in a muddy sty", "Nombra tres frutas"):
        detector = factory.create()
        detector.n_trial = 2
        detector.append(text)
        best = detector.get_probabilities()[0]
        assert second_opinion()(text) == (best.lang, best.prob)
    assert second_opinion()("42") == ("", 0.0)


def mixed(conversation: Any, *rows: tuple[str, str]) -> list[str | None]:
    step = Language(mixing="drop")
    judged = judge(step, conversation(*rows)).verdicts
    assert [slug in (None, "language_mixed") for slug in judged["reason"]]
    evidence: list[str | None] = judged["evidence"].to_list()
    return [said if slug else None for said, slug in zip(evidence, judged["reason"], strict=True)]


def test_a_script_that_nobody_asked_for_strays_into_an_answer(conversation: Any) -> None:
    assert mixed(
        conversation,
        ("Why is the sky blue?", "Because air scatters 蓝色 light more than red light does."),
        ("Name a payment service.", "Many people use pаypal for that every day."),
        ("What is 蓝色?", "The colour 蓝色 is that of the sky on a day without clouds."),
        ("Translate sky to Chinese.", "The word that you are looking for is 天空."),
        ("What is the angle?", "The angle α is larger than the angle β in this triangle."),
        ("Что такое USB?", "USB и Wi-Fi нужны для того, чтобы соединять устройства."),
        ("法国的首都是哪里？", "法国的首都是 Paris，也就是巴黎，它在塞纳河边。"),
        ("How do I print it?", "Run this:\n```python\nprint('天空')\n```\nand then look at it."),
    ) == [
        "Chinese or Japanese in the answer: 蓝色",
        "one word of two alphabets: pаypal",
        *[None] * 6,
    ]


def test_mixing_is_only_noted_when_it_is_to_be_reported(conversation: Any) -> None:
    step = Language(mixing="report")
    rows = conversation(("Why is the sky blue?", "Because air scatters 蓝色 light, they say."))
    judged = judge(step, rows).verdicts
    assert judged["keep"].item()
    assert judged["evidence"].item() == "Chinese or Japanese in the answer: 蓝色"


def test_every_language_is_counted_with_what_was_kept_of_it(conversation: Any) -> None:
    rows = conversation(*((text, text) for text in LONG.values()), ("Hi", "42"))
    step = Language(allow=("en", "de"))
    measures = step.measure(rows)
    found = step.judge(measures).findings
    assert found.numbers["languages"]["en"] == {"rows": 1, "kept": 1}
    assert found.numbers["languages"]["zh"] == {"rows": 1, "kept": 0}
    assert found.numbers["abstained"] == {"rows": 1, "kept": 1}
    assert found.sentences == (
        "12.5 % de, 12.5 % en, 12.5 % es, 12.5 % fr, 12.5 % ja, 25.0 % in 2 other languages,"
        " 12.5 % too little text to tell",
    )


def test_capitals_do_not_change_the_language(conversation: Any) -> None:
    assert answers(conversation, "WHAT IS THE CAPITAL OF FRANCE?")["language"].item() == "en"


def test_variables_of_an_equation_are_no_words(conversation: Any) -> None:
    found = answers(conversation, "Give me 3 equations: 2x + 4y = 20, 3x + y = 5, x - y = 1")
    assert found["language"].item() == "en"


def test_rows_in_other_languages_are_dropped_with_language_and_confidence(
    conversation: Any,
) -> None:
    rows = conversation((LONG["en"], LONG["en"]), (LONG["de"], LONG["de"]), ("Hi", "42"))
    only = Language(allow=("en",))
    judged = only.judge(only.measure(rows)).verdicts
    assert judged["keep"].to_list() == [True, False, True]
    assert judged["reason"].to_list() == [None, "language_not_allowed", None]
    assert judged["evidence"].to_list()[1].startswith("de 0.9")
    assert judged["score"].to_list()[1] > 0.9
    assert judged["evidence"].to_list()[2] == "abstained: 2 letters"


def test_without_allowed_languages_nothing_is_dropped(conversation: Any) -> None:
    rows = conversation(*((text, text) for text in LONG.values()))
    measures = Language().measure(rows)
    assert measures["language"].to_list() == list(LONG)
    assert Language().judge(measures).verdicts["keep"].all()


def test_a_language_below_the_confidence_is_unsure_and_kept_unless_told_otherwise(
    conversation: Any,
) -> None:
    measures = pl.DataFrame({"language": ["fr"], "confidence": [0.41], "letters": [30]})
    kept = Language(allow=("en",)).judge(measures).verdicts
    assert kept["keep"].item()
    assert kept["evidence"].item() == "unsure: fr 0.41"
    assert Language(unsure="drop").judge(measures).verdicts["reason"].item() == "language_unsure"
    assert Language(allow=("en",), min_confidence=0.4).judge(measures).verdicts[
        "reason"
    ].item() == ("language_not_allowed")


def test_an_answer_in_another_language_than_the_question_is_a_mismatch(conversation: Any) -> None:
    rows = conversation(
        (LONG["en"], LONG["fr"]),
        (LONG["en"], LONG["en"]),
        ("Translate to French: " + LONG["en"], LONG["fr"]),
        (LONG["en"], "42"),
    )
    drop = Language(mismatch="drop")
    judged = drop.judge(drop.measure(rows)).verdicts
    assert judged["reason"].to_list() == ["language_mismatch", None, None, None]
    assert judged["evidence"].to_list()[0] == "question en, answer fr"
    report = Language(mismatch="report")
    noted = report.judge(report.measure(rows)).verdicts
    assert noted["keep"].all()
    assert noted["evidence"].to_list()[0] == "question en, answer fr"


def test_a_system_prompt_does_not_speak_for_the_conversation(conversation: Any) -> None:
    rows = conversation((LONG["de"], LONG["de"]))
    turns = [{"role": "system", "content": LONG["en"] * 3}, *rows["messages"].to_list()[0]]
    mixed = rows.with_columns(messages=pl.Series([turns], dtype=rows.schema["messages"]))
    assert Language(field="prompt").measure(mixed)["language"].item() == "de"


def test_chunks_and_order_do_not_change_a_verdict(conversation: Any) -> None:
    texts = [*LONG.values(), *NO_LANGUAGE.values(), *(t for ts in SHORT.values() for t in ts)]
    texts += ["Generate a random U S zip code", "Ant, Queen, Bee", "Large, sturdy, modern"] * 3
    rows = conversation(*(("Say it.", text) for text in texts))
    whole = Language().measure(rows)
    for size in (5, 32):
        parts = [Language().measure(rows[at : at + size]) for at in range(0, rows.height, size)]
        assert pl.concat(parts).equals(whole)
    assert Language().measure(rows.reverse()).reverse().equals(whole)


def test_threads_give_the_same_second_opinions(conversation: Any) -> None:
    texts = ["Describe a cup: large sturdy unique modern", "Name five winners Albert Marie Nelson"]
    rows = conversation(*((text, "") for text in texts * 4))
    alone = Language().measure(rows)
    results: list[pl.DataFrame] = []
    threads = [
        threading.Thread(target=lambda: results.append(Language().measure(rows))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert all(result.equals(alone) for result in results)


def test_no_rows_give_no_verdicts(conversation: Any) -> None:
    for kind in (Language(), Language(mismatch="drop"), Language(mixing="drop")):
        measures = kind.measure(conversation())
        judged = kind.judge(measures).verdicts
        assert judged.schema == VERDICTS
        assert kind.judge(measures).findings.sentences == ("no rows to tell the language of",)


def test_an_unknown_language_code_is_an_error_that_names_a_known_one() -> None:
    with pytest.raises(CurateError, match="'eng' is not a known language code; did you mean"):
        Language(allow=("eng",))


def test_settings_outside_their_range_are_errors() -> None:
    with pytest.raises(CurateError, match="min_confidence is 2"):
        Language(min_confidence=2)
    with pytest.raises(CurateError, match="min_letters is 0"):
        Language(min_letters=0)
