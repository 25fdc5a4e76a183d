"""What a proof is asked for, checked before anything is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from curate.base.errors import CurateError, nearest
from curate.base.spelling import amounts, option, shares_of

BASELINES = ("random", "longest", "full", "raw")
BASE = "base"  # the model before training, measured for reference
MOST_SEEDS = 100
# Rows of each target that are answered where formats are compared, or answers are scored.
USUAL_ANSWERS = 32

# Settings of training that a proof decides itself, and how.
_OWN: Mapping[str, str] = {
    "tokens": "rows are those of each baseline; the amount is in {tokens}",
    "model": "it is the same for all",
    "out": "each training has a folder of its own",
    "force": "each training has a folder of its own",
    "resume": "a proof that was stopped goes on by itself",
    "seed": "each training has its own; {seeds} says how many",
    "held_out": "no row is held out of a set; targets are measured instead",
    "choose": "the last step counts, as choosing would look at rows",
    "stop_on": "all take as many steps",
    "patience": "all take as many steps",
    "max_steps": "all take as many steps; the amount is in {tokens}",
    "batch_size": "steps are cut by trained tokens; set batch_tokens",
    "labels": "a proof measures losses and answers",
    "prompts": "answers are asked for with {answers}",
    "length_target": "answers are asked for with {answers}",
    "retention": "name the text as a target of curate eval",
    "retention_limit": "name the text as a target of curate eval",
    "replay": "it would be most of what is compared",
    "replay_share": "it would be most of what is compared",
    "source_weights": "baselines have other sources",
    "objective": "a proof is of answers that are learnt",
    "teacher": "a proof is of answers that are learnt",
    "save_steps": "a proof that was stopped goes on by itself",
    "save_total_limit": "a proof that was stopped goes on by itself",
    "report_to": "each training has a folder of its own",
    "lr_find": "the rate must be the same for all; set learning_rate",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProveOptions:
    """What is compared, by what training, and what is measured.

    `tokens` are the trained tokens of each training; None for as many passes over the selected rows
    as `num_train_epochs` in `training` says (one, if it does not). Of each target at most
    `max_rows` rows are read, of which the first `answers` are answered, with at most `max_tokens`
    tokens; `instructions` are prompts that code checks. `training` are settings of `curate.train`.

    With `templates` formats are compared instead, without baselines; with `amounts` (of trained
    tokens, ascending) sets are compared at each, and each with itself at others; with `shares`
    (ascending) of a `group` of the kept rows the selected rows are mixed so.

    The answers of the selected rows' models are compared with those of the baselines' by `reward`,
    a reward model's folder, and by `judge`, settings of a step `judge` by their names.

    Raises `CurateError` for what makes no proof.
    """

    model: str
    template: str | None = None
    targets: tuple[str, ...] = ()
    baselines: tuple[str, ...] = BASELINES
    tokens: int | None = None
    seeds: int = 5
    max_rows: int = 200
    answers: int = 0
    instructions: int = 0
    max_tokens: int = 128
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    templates: tuple[str, ...] = ()
    amounts: tuple[int, ...] = ()
    group: str | None = None
    shares: tuple[float, ...] = ()
    reward: str | None = None
    judge: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.templates:
            self._check_templates()
        else:
            self._check_baselines()
        if self.amounts:
            self._check_amounts()
        if self.group is not None:
            self._check_shares(self.group)
        self._check_numbers()
        self._check_scorers()
        self._check_training()

    def _check_scorers(self) -> None:
        if self.is_scored and not self.answers:
            raise CurateError(
                f"{option('answers', 0)}: {option('reward')} and {option('judge')} compare "
                "answers; say how many rows of each target are answered, or leave them out"
            )

    def _check_templates(self) -> None:
        given = option("templates", ",".join(self.templates))
        if len(self.templates) < 2:
            raise CurateError(
                f"{given}: one template alone shows nothing of what another would do; name two or "
                f"more, or {option('template')} to compare sets"
            )
        if len({*self.templates}) < len(self.templates):
            raise CurateError(f"{given}: names one twice; name each once")
        if self.template is not None:
            raise CurateError(
                f"{option('templates')} and {option('template')} both say how rows are rendered; "
                "give one of them"
            )
        unused = {
            amounts(): (self.amounts, "formats are compared at one amount"),
            shares_of(self.group or ""): (self.group, "formats are compared on the kept rows"),
            option("baselines"): (self.baselines, "formats are compared on the kept rows alone"),
            option("instructions"): (
                self.instructions,
                "formats are compared by losses and answers",
            ),
            option("reward"): (self.reward, "no baselines are answered for"),
            option("judge"): (self.judge, "no baselines are answered for"),
        }
        for name, (value, why) in unused.items():
            if value:
                raise CurateError(
                    f"{name} has no place beside {option('templates')}: {why}; leave it out"
                )

    def _check_amounts(self) -> None:
        given = amounts(*self.amounts)
        if len(self.amounts) < 2:
            raise CurateError(
                f"{given}: a single amount has nothing to be compared with; name two or more, or "
                f"{option('tokens', self.amounts[0])}"
            )
        if list(self.amounts) != sorted({*self.amounts}):
            ordered = amounts(*sorted({*self.amounts}))
            raise CurateError(f"{given}: expected each once, the smallest first: {ordered}")
        if self.amounts[0] < 1:
            raise CurateError(f"{given}: expected whole numbers from 1")
        for name, value in {
            "tokens": self.tokens,
            "num_train_epochs": self.training.get("num_train_epochs"),
        }.items():
            if value is not None:
                other = option(name) if name == "tokens" else name
                raise CurateError(
                    f"{amounts()} and {other} both say how long is trained; give one of them"
                )

    def _check_shares(self, group: str) -> None:
        given = shares_of(group, *self.shares)
        if self.amounts:
            raise CurateError(f"{given}: beside {amounts()}; vary one of them at a time")
        if len(self.shares) < 2:
            raise CurateError(
                f"{given}: a single share has nothing to be compared with; name two or more"
            )
        if list(self.shares) != sorted({*self.shares}):
            ordered = shares_of(group, *sorted({*self.shares}))
            raise CurateError(f"{given}: expected each once, the smallest first: {ordered}")
        if not all(0 <= share <= 1 for share in self.shares):
            raise CurateError(f"{given}: expected shares from 0 to 1, such as 0.1,0.3")

    def _check_baselines(self) -> None:
        for name in self.baselines:
            if name not in BASELINES:
                known = f"expected some of {', '.join(BASELINES)}"
                raise CurateError(
                    f"{option('baselines')}: {name!r} is no baseline"
                    f"{nearest(name, BASELINES) or f'; {known}'}"
                )
        if not self.baselines:
            raise CurateError(
                f"{option('baselines')}: names none; expected some of {', '.join(BASELINES)}"
            )
        if len({*self.baselines}) < len(self.baselines):
            raise CurateError(f"{option('baselines')}: names one twice; name each once")

    def _check_numbers(self) -> None:
        if self.seeds < 2:
            raise CurateError(
                f"{option('seeds', self.seeds)}: one training of each says nothing of how much a "
                "seed alone moves it; at least 2 are needed, 3 or more to see more than large "
                "differences"
            )
        if self.seeds > MOST_SEEDS:
            raise CurateError(f"{option('seeds', self.seeds)}: expected at most {MOST_SEEDS}")
        least = {"tokens": 1, "max_rows": 2, "answers": 0, "instructions": 0, "max_tokens": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise CurateError(f"{option(name, value)}: expected a whole number from {low}")
        for name in ("answers", "instructions"):
            if getattr(self, name) == 1:
                raise CurateError(
                    f"{option(name, 1)}: one prompt alone says nothing of how much prompts move a "
                    "result; expected 0, or 2 at least"
                )

    def _check_training(self) -> None:
        for name in self.training:
            if name in _OWN:
                spelt = {each: option(each) for each in ("tokens", "seeds", "answers")}
                raise CurateError(f"prove: {name} is not to be set: {_OWN[name].format_map(spelt)}")
        epochs = self.training.get("num_train_epochs")
        if epochs is not None and self.tokens is not None:
            raise CurateError(
                f"{option('tokens')} and num_train_epochs both say how long is trained; give one "
                "of them"
            )
        if epochs is not None and (type(epochs) is not int or epochs < 1):
            raise CurateError(
                f"prove: num_train_epochs is {epochs!r}; expected a whole number from 1"
            )

    @property
    def is_scored(self) -> bool:
        """Whether answers are compared by somebody."""
        return bool(self.reward or self.judge)

    @property
    def epochs(self) -> int:
        """Passes over the selected rows, where no amount of tokens is given."""
        return int(self.training.get("num_train_epochs", 1))

    @property
    def most_tokens(self) -> int | None:
        """The largest amount; None for passes over the selected rows."""
        return self.amounts[-1] if self.amounts else self.tokens

    @property
    def batch_tokens(self) -> float | None:
        """Trained tokens of a step, the same at all amounts; None where the amount decides."""
        given = self.training.get("batch_tokens")
        if given is None and self.amounts:
            return usual_batch(self.amounts[0])
        return None if given is None else float(given)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of training that are the same for all, but for how long it is."""
        given = {name: value for name, value in self.training.items() if name not in _LENGTH}
        if not {"method", "preset", "from_adapter"} & given.keys():
            given["method"] = "lora"
        return {**given, "held_out": 0.0, "choose": "last", "prompts": 0}

    @property
    def parts(self) -> tuple[str, ...]:
        """What `curate eval` is asked for."""
        answers = ("stops", "lengths") if self.answers else ()
        return ("loss", *answers, *(("instructions",) if self.instructions else ()))


_LENGTH = ("num_train_epochs", "batch_tokens")
_STEPS, _BATCH_TOKENS = 20, 4096


def usual_batch(tokens: int) -> float:
    """Trained tokens of a step where nobody says: for 20 steps, but at most 4,096.

    >>> usual_batch(30_000), usual_batch(200_000)
    (1500.0, 4096)
    """
    return max(1.0, min(_BATCH_TOKENS, tokens / _STEPS))
