"""A plain function of the user's as a step of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from curate.base.contract import Filter, Findings, Judgement
from curate.base.errors import CurateError, one_line
from curate.base.settings import setting

# A record as a function gets it: every column of `RECORDS`, and `prompt` and `response`. `row` and
# `line` are numbers, `score` is a number or None, `messages` (and `rejected`) a list of dicts with
# the fields of `MESSAGE` or None, `tools` and `meta` JSON text or None, the others text.
Record = dict[str, Any]
# True keeps the record, False drops it; a text drops it too and is the reason: a slug, such as
# `too_short`.
Answer = bool | str
RecordFunction = Callable[[Record], Answer]

# A reason is a name that rows share; of more than this a user is told.
MANY_REASONS = 1_000


@dataclass(frozen=True)
class UserFunction(Filter):
    """A plain function `record -> bool | reason`: True keeps, False or a slug drops.

    It is called once a record and must look at that record alone; nobody sees what it changes in
    it. Whatever it raises becomes a `CurateError` that names the row.

    >>> def brief(record: Record) -> Answer:
    ...     return True if len(record["response"]) < 9 else "too_long"
    >>> rows = pl.DataFrame({"row": [0, 1], "response": ["Yes.", "It depends."]})
    >>> UserFunction(brief, "brief").measure(rows)["reason"].to_list()
    [None, 'too_long']
    """

    name: ClassVar[str] = "function"
    reasons: ClassVar[Mapping[str, str]] = {
        "rejected_by_function": "The user's function returned False."
    }

    function: RecordFunction
    label: str = setting("", "how the recipe names the function")

    def __repr__(self) -> str:
        return self.label

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        """`reason`: the slug with which the function drops a record, or null."""
        # The user's function takes one record: this loop is what was asked for.
        reasons = [self._reason(record) for record in records.iter_rows(named=True)]
        return pl.DataFrame({"reason": reasons}, schema={"reason": pl.Categorical})

    def _reason(self, record: Record) -> str | None:
        try:
            answer = self.function(record)
        except (Exception, SystemExit) as error:
            raise CurateError(
                f"{self.label}, row {record['row']}: failed with {one_line(error)}"
            ) from error
        if isinstance(answer, str):
            # Half of a surrogate pair can be written to no file.
            return answer.encode("utf-8", "backslashreplace").decode()
        if not isinstance(answer, bool):
            raise CurateError(
                f"{self.label} returned {answer!r} for row {record['row']};"
                " expected True, False or a reason"
            )
        return None if answer else "rejected_by_function"

    def judge(self, measures: pl.DataFrame) -> Judgement:
        """Every record with a reason is dropped for it."""
        reasons = measures["reason"]
        return Judgement.of(reasons.is_null(), reasons, findings=_findings(reasons.n_unique()))


def _findings(reasons: int) -> Findings | None:
    if reasons <= MANY_REASONS:
        return None
    return Findings(
        (
            f"it gave over {MANY_REASONS:,} different reasons; a reason is a short name that rows"
            " share",
        )
    )
