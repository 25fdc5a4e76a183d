"""Each check on answers that are right, wrong and odd: Chinese, code fences, marks."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.after.suite.instructions.checks import CHECKS
from trainer.after.suite.instructions.kinds import Instruction
from trainer.after.suite.instructions.scoring import follows

CODE = "```python\nx = [1, 2]\n\n- 3\n```"
CASES: list[tuple[str, dict[str, Any], str, bool]] = [
    ("keywords_present", {"keywords": ["river", "stone"]}, "A Stone by the river.", True),
    ("keywords_present", {"keywords": ["river", "stone"]}, "Stones by the river.", False),
    ("keywords_present", {"keywords": ["森林"]}, "古老的森林很美。", True),
    ("keywords_present", {"keywords": ["c++"]}, "I like C++, too.", True),
    ("keyword_count", {"keyword": "hour", "relation": "at least", "number": 2}, "Hour, hour", True),
    ("keyword_count", {"keyword": "hour", "relation": "at least", "number": 2}, "an hour", False),
    ("keyword_count", {"keyword": "hour", "relation": "at most", "number": 1}, "hours", True),
    ("keyword_count", {"keyword": "hour", "relation": "exactly", "number": 1}, "hour hour", False),
    ("forbidden_words", {"words": ["very", "good"]}, "Everything is goodness.", True),
    ("forbidden_words", {"words": ["very", "good"]}, "That is VERY nice.", False),
    ("letter_count", {"letter": "b", "relation": "at least", "number": 3}, "Bob, Abe", True),
    ("letter_count", {"letter": "b", "relation": "at least", "number": 4}, "Bob, Abe", False),
    ("letter_count", {"letter": "z", "relation": "at most", "number": 1}, "你好", True),
    ("language", {"code": "de"}, "Am Morgen gehen wir durch den Wald und trinken Kaffee.", True),
    ("language", {"code": "de"}, "In the morning we walk through the old forest.", False),
    ("language", {"code": "zh"}, "早上我们一起走过那片古老的森林，看看湖边的小鸟和花。", True),
    ("language", {"code": "zh"}, "In the morning we walk through the old forest.", False),
    ("language", {"code": "de"}, "12345 !!!", False),
    ("sentence_count", {"relation": "exactly", "number": 2}, "Dr. Lee paid 3.50. Why?", True),
    ("sentence_count", {"relation": "exactly", "number": 2}, "One. Two. Three.", False),
    ("sentence_count", {"relation": "at least", "number": 2}, "他走了。我也走了。", True),
    ("sentence_count", {"relation": "exactly", "number": 3}, "* one\n* two\n* three", True),
    ("sentence_count", {"relation": "exactly", "number": 1}, "Is the answer e.g. no...?!", True),
    ("sentence_count", {"relation": "exactly", "number": 2}, '"No." she said. "Yes!"', False),
    ("paragraph_count", {"number": 2}, "One\nmore line\n\n\n \nTwo", True),
    ("paragraph_count", {"number": 2}, "One\nTwo", False),
    ("paragraph_count", {"number": 2}, f"Look:\n\n{CODE}", True),
    ("word_count", {"relation": "at least", "number": 4}, "Don't stop; well-known, no?", True),
    ("word_count", {"relation": "at most", "number": 2}, "Three whole words", False),
    ("word_count", {"relation": "exactly", "number": 4}, "你好 two words", True),
    ("word_count", {"relation": "at most", "number": 5}, "--- *** ...", True),
    *[
        ("paragraph_first_word", {"paragraphs": 2, "paragraph": 2, "word": "Later"}, text, right)
        for text, right in (
            ("First.\n\nLater on.", True),
            ("First.\n\n**later** on.", True),
            ("First.\n\nLately.", False),
            ("Later.\n\nSecond.", False),
            ("One.\n\nLater.\n\nThree.", False),
        )
    ],
    ("placeholder_count", {"number": 2}, "Dear [name], see you on [day].", True),
    ("placeholder_count", {"number": 2}, "Dear [name], [ ] and [].", False),
    ("postscript", {"marker": "P.S."}, "Dear all.\nP.S. Bring tea.", True),
    ("postscript", {"marker": "P.S."}, "Dear all.\n\n**P.S.**: bring tea.", True),
    ("postscript", {"marker": "P.S."}, "Dear all. P.S. Bring tea.", False),
    ("postscript", {"marker": "P.S."}, "Dear all.\nP.S.", False),
    ("postscript", {"marker": "P.P.S."}, "Dear all.\nP.S. Bring tea.", False),
    ("bullet_count", {"number": 2}, "Two:\n* one\n - two\n---\n**no**", True),
    ("bullet_count", {"number": 2}, "1. one\n2. two", False),
    ("bullet_count", {"number": 1}, f"* one\n{CODE}", True),
    ("one_of", {"options": ["I think so.", "I doubt it."]}, " I doubt it.\n", True),
    ("one_of", {"options": ["I think so.", "I doubt it."]}, "I doubt it. Why?", False),
    ("one_of", {"options": ["I think so.", "I doubt it."]}, "i doubt it.", False),
    ("highlight_count", {"number": 2}, "The *first* and the **second part**.", True),
    ("highlight_count", {"number": 2}, "* one *\n* two\n2*3*4", False),
    ("highlight_count", {"number": 1}, "** **, ***", False),
    ("section_count", {"name": "Part", "number": 2}, "Part 1\nYes.\n## part 2: more", True),
    ("section_count", {"name": "Part", "number": 2}, "Part 2\nYes.\nPart 1", False),
    ("section_count", {"name": "Part", "number": 2}, "Part 1\nPart 2\nPart 3", False),
    ("section_count", {"name": "Part", "number": 2}, "In part 1 and part 2", False),
    ("json_object", {}, '{"a": [1, null]}', True),
    ("json_object", {}, '```json\n{"a": "你"}\n```', True),
    ("json_object", {}, 'Here: {"a": 1}', False),
    ("json_object", {}, "[1, 2]", False),
    ("json_object", {}, '{"a": NaN}', False),
    ("json_object", {}, '{"a": ' * 100_000, False),
    ("title", {}, "<<On moss>>\nMoss is green.", True),
    ("title", {}, "<< >> and <On moss>", False),
    ("title", {}, "<<On\nmoss>>", False),
    ("two_responses", {}, "Yes.\n******\nNo.", True),
    ("two_responses", {}, "Yes.\n******\nYes.", False),
    ("two_responses", {}, "Yes.\n******\n", False),
    ("two_responses", {}, "a\n******\nb\n******\nc", False),
    ("repeated_request", {"request": "Write a note."}, "Write  a\nnote. Well then.", True),
    ("repeated_request", {"request": "Write a note."}, "Write a note.", False),
    ("repeated_request", {"request": "Write a note."}, "Sure. Write a note. Well.", False),
    ("ending_phrase", {"phrase": "Try it and see."}, "So. try it and see.\n", True),
    ("ending_phrase", {"phrase": "Try it and see."}, '"So. Try it and see."', True),
    ("ending_phrase", {"phrase": "Try it and see."}, "Try it and see. Really.", False),
    ("capital_words", {"relation": "at least", "number": 2}, "The NASA and UN-led", False),
    ("capital_words", {"relation": "at least", "number": 2}, "NASA and the UN", True),
    ("capital_words", {"relation": "at most", "number": 1}, "I saw A NASA plan B", True),
    ("all_capitals", {}, "GO TO 10, PLEASE: ÄÖÜ", True),
    ("all_capitals", {}, "GO TO 10, PLEAse", False),
    ("all_capitals", {}, "123 你好", False),
    ("all_capitals", {}, "STRAßE", False),
    ("all_lowercase", {}, "go to 10, please", True),
    ("all_lowercase", {}, "Go", False),
    ("all_lowercase", {}, "你好！", False),
    ("no_comma", {}, "One; two.", True),
    ("no_comma", {}, "One, two.", False),
    ("no_comma", {}, "你好，世界", False),
    ("no_comma", {}, "苹果、梨", False),
    ("quoted", {}, ' "All of it."\n', True),
    ("quoted", {}, "“All of it.”", True),
    ("quoted", {}, 'He said "all of it."', False),
    ("quoted", {}, '""', False),
    ("quoted", {}, "'All of it.'", False),
]


@pytest.mark.parametrize(
    ("kind", "values", "answer", "right"),
    CASES,
    ids=[f"{number}-{case[0]}-{case[3]}" for number, case in enumerate(CASES)],
)
def test_a_check_says_whether_an_answer_follows(
    kind: str, values: dict[str, Any], answer: str, right: bool
) -> None:
    assert CHECKS[kind](answer, **values) is right


def test_every_check_is_tried_both_ways() -> None:
    tried = {(case[0], case[3]) for case in CASES}
    assert tried == {(kind, right) for kind in CHECKS for right in (True, False)}


@pytest.mark.parametrize("kind", CHECKS)
def test_an_answer_without_text_follows_nothing(kind: str) -> None:
    values = next(case[1] for case in CASES if case[0] == kind)
    for nothing in ("", " \n\t"):
        assert not follows(nothing, Instruction(kind, values, ""))


def test_the_language_is_the_same_every_time_and_the_global_seed_is_given_back() -> None:
    from langdetect import DetectorFactory

    DetectorFactory.seed = 7
    try:
        answers = ["ok", "hallo da", "si no"]
        found = [[CHECKS["language"](each, code="de") for each in answers] for _ in range(4)]
        assert found[0] == found[1] == found[2] == found[3]
        assert DetectorFactory.seed == 7
    finally:
        DetectorFactory.seed = None
