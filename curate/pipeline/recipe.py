"""Recipes: YAML, or steps given in Python, made into bound steps.

This is the only place where a name becomes code.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from curate.base import values
from curate.base.contract import Filter, Fix
from curate.base.errors import CurateError, brief, nearest, one_line, shown
from curate.base.places import is_there
from curate.base.schema import RECORDS, TEXTS
from curate.base.settings import checked_settings
from curate.base.user_code import user_module
from curate.pipeline.functions import UserFunction
from curate.pipeline.steps import Step
from filters import FILTERS, FIXES

IN_PYTHON = "steps given in Python"
BUNDLED = ("default", "lima", "longest", "alpagasus", "deita", "superfilter")
KNOWN = (*FILTERS, *FIXES)
MOST_STEPS = 1_000
_SEEDS = 2**32  # numbers that every step takes as a seed


Entry = tuple[str, str, dict[str, Any]]  # label, what it names, settings


# What a step may be in Python: a name, one name with settings, a filter or fix, a function.
StepLike = str | Mapping[str, Mapping[str, Any] | None] | Filter | Fix | Callable[..., Any]


@dataclass(frozen=True)
class Recipe:
    """Bound steps, the seed they share, the text they came from, what was set beside it."""

    name: str
    seed: int
    steps: tuple[Step, ...]
    text: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def with_settings(self, settings: Mapping[str, Any]) -> Recipe:
        """The same steps with other settings, `{"near.threshold": 0.7}`.

        Raises `CurateError` for a step or setting that is not there, and for a wrong value.
        """
        steps = list(self.steps)
        for target, value in settings.items():
            at, name = _target([step.name for step in steps], target)
            label, action = steps[at]
            kind = type(action)
            checked = checked_settings(kind, {name: value}, f"step {label!r}", kind.renamed)
            steps[at] = Step(label, replace(action, **checked))  # type: ignore[type-var]
        return replace(self, steps=tuple(steps), settings={**self.settings, **settings})


def of_steps(
    steps: Sequence[StepLike], seed: int = 0, settings: Mapping[str, Any] | None = None
) -> Recipe:
    """A recipe of steps given in Python; names are looked up as in a recipe file.

    Raises `CurateError` for what is no step.
    """
    if isinstance(steps, str | Mapping):
        raise CurateError(f"steps is {shown(steps)}; expected a list of steps")
    labels: Counter[str] = Counter()
    bound = [_python_step(step, number, seed, labels) for number, step in enumerate(steps, 1)]
    _check_order(bound)
    text = "".join(f"- {step.name}: {step.action!r}\n" for step in bound)
    return Recipe(IN_PYTHON, seed, tuple(bound), text).with_settings(settings or {})


def _python_step(step: StepLike, number: int, seed: int, labels: Counter[str]) -> Step:
    action: Filter | Fix
    if isinstance(step, str | Mapping):
        what, given = _named(step, number, IN_PYTHON)
        label, action = what.rsplit(":", 1)[-1], _bind(what, given, seed, Path())
    elif isinstance(step, Filter | Fix):
        _check_dataclass(type(step))
        label, action = step.name, step
    elif isinstance(step, type) or not callable(step):
        made = f"; write {step.__name__}(...)" if isinstance(step, type) else ""
        raise CurateError(
            f"steps: step {number} is {shown(step)}; expected a name, a filter, a fix or a function"
            f"{made}"
        )
    else:
        label = getattr(step, "__name__", type(step).__name__)
        action = UserFunction(step, label)
    return Step(_numbered(label, labels), action)


def _check_dataclass(kind: type) -> None:
    if not dataclasses.is_dataclass(kind):
        raise CurateError(f"steps: {kind.__name__} is no dataclass; write @dataclass above it")


def _numbered(label: str, labels: Counter[str]) -> str:
    """A label of its own for each step: `length`, `length-2`."""
    labels[label] += 1
    return label if labels[label] == 1 else f"{label}-{labels[label]}"


def load(name: str | None, settings: Mapping[str, Any] | None = None) -> Recipe:
    """Read and bind a recipe: a bundled one by name, a file, or the default one for None.

    `settings` replace those of the recipe: `{"near.threshold": 0.7}`. Every mistake is a
    `CurateError` raised before any data is read.
    """
    name = name or "default"
    folder = Path()
    if name in BUNDLED:
        text = (resources.files("curate") / "recipes" / f"{name}.yaml").read_text("utf-8")
    elif is_there(Path(name)) and Path(name).is_file():
        folder = Path(name).parent
        text = _text(Path(name))
    else:
        raise CurateError(
            f"{brief(name)}: no such recipe file, nor a bundled recipe "
            f"(there is: {', '.join(BUNDLED)})"
        )
    return bind(name, text, folder, settings or {})


def _text(path: Path) -> str:
    """What a recipe's file holds, if that is no more than a recipe may have."""
    with path.open("rb") as file:
        data = file.read(4 * values.LONGEST + 1)  # bytes of a character in UTF-8, at most
    if len(data) > 4 * values.LONGEST:
        raise CurateError(f"{path}: too long for a recipe; at most {values.LONGEST:,} characters")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CurateError(
            f"{path}: not a text file in UTF-8 (line {line}: {error.reason})"
        ) from error


def bind(name: str, text: str, folder: Path, settings: Mapping[str, Any]) -> Recipe:
    """The recipe of a YAML text; paths in it are looked up in `folder` first."""
    seed, entries = _entries(_parse(text, name), name)
    for target, value in settings.items():
        at, setting = _target([entry[0] for entry in entries], target)
        entries[at][2][setting] = value
    steps = []
    for label, what, given in entries:
        try:
            steps.append(Step(label, _bind(what, given, seed, folder)))
        except CurateError as error:
            if name not in BUNDLED:
                raise
            # Whoever runs a bundled recipe has no file to write the setting into.
            raise CurateError(f"recipe {name}: {error} (--set {label}.SETTING=VALUE)") from error
    _check_order(steps)
    return Recipe(name, seed, tuple(steps), text, settings)


def _parse(text: str, name: str) -> Mapping[str, Any]:
    try:
        recipe = values.load(text)
    except values.NotYaml as error:
        raise CurateError(f"{name}: not valid YAML ({error})") from error
    if not isinstance(recipe, dict) or not isinstance(recipe.get("steps"), list):
        raise CurateError(f"{name}: a recipe needs a list called 'steps'")
    for key in recipe:
        if key not in ("seed", "steps"):
            hint = nearest(str(key), ("seed", "steps"))
            raise CurateError(f"{name}: unknown entry {shown(key)}; known are seed and steps{hint}")
    seed = recipe.get("seed", 0)
    if type(seed) is not int or not 0 <= seed < _SEEDS:
        raise CurateError(
            f"{name}: seed is {shown(seed)}; expected a whole number from 0 to {_SEEDS - 1:,}"
        )
    return recipe


def _entries(recipe: Mapping[str, Any], name: str) -> tuple[int, list[Entry]]:
    if len(recipe["steps"]) > MOST_STEPS:
        raise CurateError(
            f"{name}: {len(recipe['steps']):,} steps; expected at most {MOST_STEPS:,}"
        )
    labels: Counter[str] = Counter()
    entries: list[Entry] = []
    for number, step in enumerate(recipe["steps"], 1):
        what, given = _named(step, number, name)
        entries.append((_numbered(what.rsplit(":", 1)[-1], labels), what, given))
    return int(recipe.get("seed", 0)), entries


def _named(step: Any, number: int, name: str) -> tuple[str, dict[str, Any]]:
    """What a step names, and its settings: from a name, or one name with settings."""
    if isinstance(step, str):
        return step, {}
    if not isinstance(step, Mapping) or len(step) != 1 or not isinstance(next(iter(step)), str):
        raise CurateError(
            f"{name}: step {number} is {shown(step)}; expected a name, or one name with settings"
        )
    what, given = next(iter(step.items()))
    if given is not None and not isinstance(given, Mapping):
        raise CurateError(
            f"{name}: step {number} ({what}) has settings {shown(given)}; expected field: value"
        )
    return what, dict(given or {})


def _target(labels: Sequence[str], target: str) -> tuple[int, str]:
    """The position of the step, and the setting, that `step.field` names."""
    label, dot, setting = target.partition(".")
    if not dot or not setting:
        raise CurateError(f"setting {shown(target)}: expected step.field")
    if label not in labels:
        hint = nearest(label, labels) or f"; the recipe has {', '.join(labels)}"
        raise CurateError(f"setting {shown(target)}: no step {shown(label)} in the recipe{hint}")
    return labels.index(label), setting


def _bind(what: str, given: dict[str, Any], seed: int, folder: Path) -> Filter | Fix:
    found = _find(what, folder)
    if not (inspect.isclass(found) and dataclasses.is_dataclass(found)):
        return _of_function(what, found, given)
    fields = {field.name: field for field in dataclasses.fields(found)}
    if "seed" in fields:
        given = {"seed": seed, **given}
    for name, value in given.items():
        if name in fields and fields[name].metadata.get("path"):
            given[name] = _found_beside(value, folder)
    if not issubclass(found, Filter | Fix):
        raise CurateError(
            f"step {what!r}: {found.__name__} is no filter; write class {found.__name__}"
            "(curate.Filter) with measure and judge, or (curate.Fix) with fix"
        )
    bound: Filter | Fix = found(**checked_settings(found, given, f"step {what!r}", found.renamed))
    if isinstance(bound, Filter):
        _check_reads(what, bound.reads or ())
    return bound


def _check_reads(what: str, reads: Sequence[str]) -> None:
    known = (*RECORDS.names(), *TEXTS)
    for column in reads:
        if column not in known:
            raise CurateError(
                f"step {what!r} reads {column!r}, which no record has; known are {', '.join(known)}"
            )


def _found_beside(value: Any, folder: Path) -> Any:
    """A path, a list of them, or `file.py:name`, looked up beside the recipe first."""
    if isinstance(value, list):
        return [_found_beside(item, folder) for item in value]
    if not isinstance(value, str):
        return value
    if is_there(folder / value):
        return str(folder / value)
    where, colon, name = value.rpartition(":")
    if where.endswith(".py") and is_there(folder / where):
        return f"{folder / where}{colon}{name}"
    return value


def filter_called(name: str, given: Mapping[str, Any]) -> Filter:
    """One registered filter with these settings."""
    bound = _bind(name, dict(given), 0, Path())
    assert isinstance(bound, Filter), f"{name} is a fix"
    return bound


def _find(what: str, folder: Path) -> Any:
    if what in KNOWN:
        return registered(what)
    if ":" in what:
        return _user_code(what, folder)
    hint = nearest(what, KNOWN) or f"; known are {', '.join(KNOWN)}"
    raise CurateError(f"unknown step {shown(what)}{hint}")


def registered(name: str) -> type[Filter] | type[Fix]:
    """The filter or fix of one of the names that are `KNOWN`."""
    return FILTERS[name] if name in FILTERS else FIXES[name]


def _user_code(what: str, folder: Path) -> Any:
    """`my_filters.py:no_urls` (beside the recipe, or from here) or `package.module:NoUrls`."""
    where, _, attribute = what.rpartition(":")
    is_file = where.endswith(".py")
    path = str(_beside(where, folder)) if is_file else where
    try:
        # Registered under its own name so that worker processes can unpickle what it defines.
        module = user_module(path, "user", register=True)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and not is_file:
            raise CurateError(f"step {shown(what)}: {brief(str(error))}") from error
        raise CurateError(
            f"step {shown(what)}: {Path(where).name} failed with {one_line(error)}"
        ) from error
    if not hasattr(module, attribute):
        known = [name for name in vars(module) if not name.startswith("_")]
        raise CurateError(f"step {what!r}: {where} has no {attribute!r}{nearest(attribute, known)}")
    return getattr(module, attribute)


def _beside(where: str, folder: Path) -> Path:
    for path in (folder / where, Path(where)):
        if is_there(path) and path.is_file():
            return path.resolve()
    raise CurateError(f"{brief(where)}: no such file beside the recipe or in the current folder")


def _of_function(what: str, found: Any, given: dict[str, Any]) -> Filter | Fix:
    if inspect.isclass(found) or not callable(found):
        raise CurateError(
            f"step {what!r}: expected a dataclass with measure and judge, or a function"
        )
    if given:
        raise CurateError(
            f"step {what!r}: a plain function takes no settings, got {', '.join(given)}"
        )
    return UserFunction(found, what)


def _check_order(steps: Sequence[Step]) -> None:
    earlier = {"record"}
    for step in steps:
        for column in step.action.needs if isinstance(step.action, Filter) else ():
            prefix = column.rpartition(".")[0]
            if not prefix:
                raise CurateError(
                    f"step {step.name!r} needs {column!r}, which names no step; write STEP.COLUMN, "
                    "such as record.score or reward.score"
                )
            if prefix not in earlier:
                raise CurateError(
                    f"step {step.name!r} needs {column!r}, but no earlier step is called {prefix!r}"
                )
        earlier.add(step.name)
