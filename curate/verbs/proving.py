"""The verb that proves: does the selected set beat others of the same size?"""

from __future__ import annotations

import argparse
from typing import Any, Protocol

from curate import proving
from curate.base.errors import CurateError, brief
from curate.base.terminal import show
from curate.base.token_amounts import amount_of
from curate.verbs.common import assignments, speaker, split

_SETTINGS = {"epochs": "num_train_epochs", "lr": "learning_rate"}
_TRAINING = ("method", "preset", "batch_tokens", *_SETTINGS)
_OPTIONS = (
    *("model", "template", "targets", "tokens", "seeds", "margin", "max_rows", "answers"),
    *("instructions", "max_tokens", "reward"),
)


class Result(Protocol):
    """What every proof has for a terminal."""

    def lines(self) -> list[str]:
        """Its verdicts and tables."""


def prove(arguments: argparse.Namespace) -> None:
    """`curate prove`: see its help."""
    say = speaker(arguments.quiet)
    options = _options(arguments)
    if arguments.dry_run:
        where = {name: getattr(arguments, name) for name in ("out", "jobs", "force")}
        proving.forecast_proof(arguments.run, **options, **where, log=show)
        return
    running = {
        **{name: getattr(arguments, name) for name in ("out", "jobs", "keep_models", "force")},
        "log": say,
    }
    for line in _proved(arguments, {**options, **running}).lines():
        show(line)
    say(f"written to {arguments.out}")


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What is compared, trained and measured."""
    given = {_SETTINGS.get(name, name): getattr(arguments, name) for name in _TRAINING}
    training = {name: value for name, value in given.items() if value is not None}
    training |= assignments(arguments.set)
    options: dict[str, Any] = {name: getattr(arguments, name) for name in _OPTIONS}
    if judge := _judge(arguments):
        options["judge"] = judge
    if arguments.baselines is not None:
        options["baselines"] = _names(arguments.baselines)
    if arguments.templates is not None:
        options["templates"] = _names(arguments.templates)
    if arguments.sweep is not None:
        options |= swept(arguments.sweep)
    return {**options, "training": training}


def _judge(arguments: argparse.Namespace) -> dict[str, Any]:
    """Who is asked to compare answers, with the settings of a judge."""
    names = {"model": "judge", "url": "url", "rubric": "rubric"}
    given = {name: getattr(arguments, option) for name, option in names.items()}
    settings = {name: value for name, value in given.items() if value is not None}
    more = assignments(arguments.judge_set, "--judge-set")
    if "model" not in settings and (settings or more):
        raise CurateError("--url, --rubric and --judge-set are of a judge; name it in --judge")
    return {**settings, **more}


def _proved(arguments: argparse.Namespace, options: dict[str, Any]) -> Result:
    _check_together(options)
    if formats := options.pop("templates", ()):
        for name in ("template", "baselines", "instructions", "reward", "judge"):
            options.pop(name, None)
        return proving.prove_formats(arguments.run, formats, **options)
    if amounts := options.pop("amounts", ()):
        options.pop("tokens")
        return proving.prove_amounts(arguments.run, amounts, **options)
    if (group := options.pop("group", None)) is not None:
        return proving.prove_shares(arguments.run, group, options.pop("shares"), **options)
    return proving.prove(arguments.run, **options)


def _check_together(options: dict[str, Any]) -> None:
    """Raise `CurateError` for options beside templates or amounts that have no place there."""
    from curate.proofs.options import USUAL_ANSWERS, ProveOptions

    names = (
        *("model", "template", "templates", "amounts", "tokens", "instructions", "baselines"),
        *("answers", "reward", "judge", "group", "shares"),
    )
    given = {name: options[name] for name in names if name in options}
    if options.get("templates"):
        given.setdefault("baselines", ())
    if given.get("answers") is None:
        given["answers"] = USUAL_ANSWERS
    ProveOptions(**given)


def _names(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(","))


def swept(text: str) -> dict[str, Any]:
    """What `--sweep` varies, as arguments.

    Raises `CurateError` for what is nothing of the kind.

    >>> swept("tokens=25k,50000,1.5M")
    {'amounts': (25000, 50000, 1500000)}
    >>> swept("mix.code=0.1,0.3")
    {'group': 'code', 'shares': (0.1, 0.3)}
    """
    expected = "tokens=AMOUNTS, such as tokens=25k,50k,100k, or mix.SOURCE=SHARES"
    split(text, "--sweep", expected)
    name, _, values = text.rpartition("=")  # a source may have such a sign in its name
    listed = [each.strip() for each in values.split(",")]
    if name == "tokens":
        return {"amounts": tuple(_amount(each, text) for each in listed)}
    if name.startswith("mix.") and len(name) > len("mix."):
        shares = tuple(_share(each, text) for each in listed)
        return {"group": name.removeprefix("mix."), "shares": shares}
    raise CurateError(
        f"--sweep {brief(text)}: only tokens and shares of a source or category can be swept, "
        f"expected {expected}; for another setting of the recipe make a run for each value "
        f"(curate run DUMP --recipe R --set {brief(name)}=VALUE --out RUN_VALUE), prove each with "
        "the same --targets, --model and --tokens, and compare their bits per byte in proof.json"
    )


def _share(value: str, text: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise CurateError(
            f"--sweep {brief(text)}: {brief(value)!r} is no share; expected numbers from 0 to 1, "
            "such as 0.1"
        )
    return share


def _amount(value: str, text: str) -> int:
    try:
        return amount_of(value)
    except ValueError:
        raise CurateError(
            f"--sweep {brief(text)}: {brief(value)!r} is no amount of tokens; expected whole "
            "numbers from 1, such as 25000 or 25k"
        ) from None
