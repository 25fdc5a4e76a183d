"""A plain function of the user's as a step of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from curate.base.contract import Filter, Judgement, verdicts
from curate.base.errors import CurateError
from curate.base.settings import setting


def failed(error: BaseException) -> str:
    """What the user's own code did, in one line."""
    return f"failed with {type(error).__name__}: {' '.join(str(error).split())}"


@dataclass(frozen=True)
class UserFunction(Filter):
    """A plain function `record -> bool | reason`: True keeps, False or a slug drops."""

    name: ClassVar[str] = "function"
    reasons: ClassVar[Mapping[str, str]] = {"rejected_by_function": "the user's function said no"}

    function: Callable[[dict[str, Any]], Any]
    label: str = setting("", "how the recipe names the function")

    def __repr__(self) -> str:
        return self.label

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        # The user's function takes one record: this loop is what was asked for.
        answers = [self._answer(record) for record in records.iter_rows(named=True)]
        return pl.DataFrame({"reason": answers}, schema={"reason": pl.String})

    def _answer(self, record: dict[str, Any]) -> str | None:
        try:
            answer = self.function(record)
        except (Exception, SystemExit) as error:
            raise CurateError(f"{self.label}, row {record['row']}: {failed(error)}") from error
        if isinstance(answer, str):
            return answer
        if answer is None or not isinstance(answer, bool):
            raise CurateError(
                f"{self.label} returned {answer!r} for row {record['row']};"
                " expected True, False or a reason"
            )
        return None if answer else "rejected_by_function"

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """See `Filter.judge`."""
        return Judgement(self._verdicts(measures))

    def _verdicts(self, measures: pl.DataFrame) -> pl.DataFrame:
        return verdicts(measures["reason"].is_null(), reason=measures["reason"])
