"""What the steps that judge lengths found: verdicts, and the lengths of each task group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.base.folder import MANIFEST
from curate.report.charts import Strip, log_strip

if TYPE_CHECKING:
    from curate.pipeline.run_folder import RunFolder

TASK_GROUPS = 16  # task groups shown, the commonest
_SHOWN = ("0.05", "0.25", "0.5", "0.75", "0.95")
_SIDES = ("before", "after", "target")
_NUMBERS = {"unit", "before", "after", "shift", "target", "impossible", "groups"}


class TaskGroup(NamedTuple):
    """The rows of one task group: box plots and medians of their lengths.

    `medians` are those before and after the step, and of the target.
    """

    name: str
    rows: int
    kept: int
    before: Strip
    after: Strip | None
    target: Strip | None
    medians: tuple[int, int | None, int | None]
    ks: float | None


class LengthFindings(NamedTuple):
    """One step's findings about lengths; the first of `groups` is the set as a whole."""

    step: str
    unit: str
    before: str  # pass, warn or flag
    after: str | None
    sentences: tuple[str, ...]
    groups: list[TaskGroup]
    left_out: int
    listed_in: str  # the file that has those left out

    @property
    def has_target(self) -> bool:
        """Whether the step had a target."""
        return any(group.target for group in self.groups)


def of_run(run: RunFolder) -> list[LengthFindings]:
    """The findings of all steps that diagnosed lengths, in the funnel's order."""
    return [
        _of_step(step)
        for step in run.manifest["steps"]
        if set(step.get("numbers", {})) >= _NUMBERS and step["rows"]
    ]


def _of_step(step: Mapping[str, Any]) -> LengthFindings:
    numbers = step["numbers"]
    before, after, target = (numbers[side] for side in _SIDES)
    all_rows = {
        "group": "all",
        "rows": step["rows"],
        "kept": step["kept"],
        "before": before["quantiles"],
        "after": after["quantiles"] if after and after["rows"] else None,
        "target": target and target["quantiles"],
        "ks": numbers["shift"] and numbers["shift"]["ks"],
    }
    # The largest groups stand in the manifest; it had all of them before there was a table.
    groups = numbers["groups"]
    lines = [all_rows, *groups[:TASK_GROUPS]]
    if after is None:
        lines = [line | {"after": None, "ks": None} for line in lines]
    longest = max(line[side]["0.95"] for line in lines for side in _SIDES if line[side])
    return LengthFindings(
        step=step["name"],
        unit=numbers["unit"],
        before=before["verdict"],
        after=after and after["verdict"],
        sentences=tuple(step["sentences"]),
        groups=[_task_group(line, longest) for line in lines],
        left_out=max(0, numbers.get("task_groups", len(groups)) - TASK_GROUPS),
        listed_in=f"{step['name']}.groups.parquet" if "task_groups" in numbers else MANIFEST,
    )


def _task_group(line: Mapping[str, Any], longest: int) -> TaskGroup:
    before, after, target = (
        line[side] and log_strip([line[side][share] for share in _SHOWN], longest)
        for side in _SIDES
    )
    medians = [line[side] and line[side]["0.5"] for side in _SIDES]
    return TaskGroup(
        line["group"], line["rows"], line["kept"], before, after, target,
        (medians[0], medians[1], medians[2]), line["ks"],
    )  # fmt: skip
