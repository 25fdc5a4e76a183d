"""Two answers to one prompt, compared by a language model in both orders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from curate.base.errors import CurateError
from curate.base.log import Log
from curate.base.settings import setting, values_of
from filters.llm_judge.asking import ask_all
from filters.llm_judge.filter import LLMJudge
from filters.llm_judge.pairwise import Pair, Verdict, check_pairwise, compare, counts
from filters.llm_judge.question import Answer, Question
from filters.llm_judge.reading import PROBLEMS
from filters.llm_judge.rubric import Rubric
from filters.llm_judge.session import EXAMPLE

MOST_FLIPPED = 0.2  # of the pairs: above it the order decides too much


@dataclass(frozen=True)
class PairwiseJudge(LLMJudge):
    """Compares answers with the settings of a judge, by a rubric for pairs."""

    rubric: str = setting("mt_bench_pair", "name of a rubric for pairs, or a file", path=True)

    def _check_rubric(self, rubric: Rubric) -> None:
        check_pairwise(rubric)
        given = values_of(self, LLMJudge)
        for name in ("given", "reference", "min_score", "keep_top", "top_k"):
            if given[name] is not None:
                raise CurateError(f"judge: {name} is for a step of a recipe; leave it out of pairs")
        if self.calibrate != "none":
            raise CurateError("judge: calibrate is for a step of a recipe; leave it out of pairs")

    def _check_model(self) -> None:
        if self.model is None and self.url is None:
            raise CurateError(
                "judge: nobody is named to ask; give --model NAME and --url URL (a server), or"
                " --model FOLDER"
            )
        super()._check_model()

    def verdicts(self, pairs: Sequence[Pair], folder: Path | None, say: Log) -> list[Verdict]:
        """What the judge says of each pair; answers are kept in `folder`. Raises `CurateError`."""
        with closing(self.session_in(folder, say)) as session:

            def ask(questions: Iterable[tuple[int, Question]]) -> Iterator[tuple[int, Answer]]:
                return ask_all(questions, session.judge, session.answers)

            found = dict(compare(session.rubric, pairs, ask, session.way, self.min_mass))
        return [found[at] for at in range(len(pairs))]


def about(verdicts: Sequence[Verdict]) -> list[str]:
    """Sentences on how often the orders agree, and what could not be read."""
    found = counts(verdicts)
    compared = found["a"] + found["b"] + found["tie"]
    problems = {name: found[name] for name in found if name in PROBLEMS}
    sentences = [f"{found['pairs']:,} pairs were compared, each in both orders"]
    if compared:
        share = found["flipped"] / compared
        sentences.append(
            f"of {compared:,} that can be read {found['flipped']:,} ({share:.0%}) have another"
            f" verdict in the other order, {found['tie']:,} have no winner in both"
        )
        if share > MOST_FLIPPED:
            sentences.append(
                "more than a fifth: this judge looks at the order as well as at the answers; trust"
                " it little, or name another one"
            )
    if problems:
        named = ", ".join(f"{name} {count:,}" for name, count in problems.items())
        sentences.append(f"without a verdict: {named}{_example(verdicts)}")
    return sentences


def _example(verdicts: Sequence[Verdict]) -> str:
    """What the judge said the first time that nobody could read it."""
    for one in verdicts:
        said = next(filter(None, one.reasons), "")
        if one.problem and said:
            return f"; the first: {said[:EXAMPLE]!r}"
    return ""


__all__ = ["Pair", "PairwiseJudge", "Verdict", "about"]
