"""The second opinion: langdetect, with its inner loops over languages as columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from filters.common.arrays import Floats

_TRIALS = 2  # random starts of langdetect; its own default of 7 takes three times as long


@cache
def second_opinion() -> Callable[[str], tuple[str, float]]:
    """A function from text to language and probability, ("", 0.0) for a text without known letters.

    It has a seeded factory of its own: the same text gives the same answer at any time, and the
    answer is langdetect's to the last bit.
    """
    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory
    from langdetect.lang_detect_exception import LangDetectException

    # Sorted, because the order of languages enters the rounding of their probabilities.
    files = sorted(path for path in Path(PROFILES_DIRECTORY).iterdir() if path.is_file())
    profiles = [orjson.loads(path.read_bytes()) for path in files]
    factory: Any = DetectorFactory()
    factory.set_seed(0)
    factory.langlist = [profile["name"] for profile in profiles]
    # langdetect makes a list of 55 probabilities for each of 100,000 letter groups, which takes a
    # second; it only asks here which groups there are.
    factory.word_lang_prob_map = frozenset().union(*(profile["freq"] for profile in profiles))
    detector_of = _by_columns(factory, profiles)

    def opinion(text: str) -> tuple[str, float]:
        detector = detector_of()
        detector.append(text)
        try:
            best = detector.get_probabilities()[0]
        except (LangDetectException, IndexError):  # no known letter group in the text
            return "", 0.0
        return str(best.lang), float(best.prob)

    return opinion


def _by_columns(factory: Any, profiles: Sequence[Mapping[str, Any]]) -> Callable[[], Any]:
    """A maker of detectors that multiply the probabilities of all languages at once.

    langdetect does so in a Python loop, some hundred times a text: most of its time.
    """
    from langdetect.detector import Detector

    weights: dict[str, Floats] = {}

    class ByColumns(Detector):  # type: ignore[misc]
        def _init_probability(self) -> Floats:
            return np.array(super()._init_probability())

        def _update_lang_prob(self, prob: Floats, word: str, alpha: float) -> bool:
            if word not in weights:
                weights[word] = _weights(word, profiles)
            prob *= alpha / self.BASE_FREQ + weights[word]
            return True

        def _normalize_prob(self, prob: Floats) -> float:
            prob /= sum(prob.tolist())  # the sum that langdetect takes, in its order
            return float(prob.max())

    def made() -> Any:
        detector = ByColumns(factory)
        detector.seed = factory.seed
        detector.n_trial = _TRIALS
        return detector

    return made


def _weights(word: str, profiles: Sequence[Mapping[str, Any]]) -> Floats:
    """How common a letter group is in each language, among the groups of its length."""
    size = len(word) - 1
    if size > 2:  # as in langdetect, which counts groups of up to three letters
        return np.zeros(len(profiles))
    return np.array(
        [profile["freq"].get(word, 0) / profile["n_words"][size] for profile in profiles]
    )
