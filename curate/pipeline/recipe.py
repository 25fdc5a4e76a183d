"""Recipes: YAML in, bound steps out. The only place where a name becomes code."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from curate.base import values
from curate.base.contract import Filter, Fix
from curate.base.errors import CurateError, nearest
from curate.base.schema import RECORDS, TEXTS
from curate.base.settings import checked_settings
from curate.pipeline.functions import UserFunction, failed
from curate.pipeline.runner import Step
from filters import FILTERS, FIXES

BUNDLED = ("default", "lima", "longest", "alpagasus", "deita", "superfilter")
KNOWN: dict[str, type[Filter] | type[Fix]] = {**FILTERS, **FIXES}


Entry = tuple[str, str, dict[str, Any]]  # label, what it names, settings


@dataclass(frozen=True)
class Recipe:
    """Bound steps, the seed they share, and the text they came from."""

    name: str
    seed: int
    steps: tuple[Step, ...]
    text: str


def load(name: str | None, overrides: Sequence[str] = ()) -> Recipe:
    """Read and bind a recipe: a bundled one by name, a file, or the default one for None.

    `overrides` are `step.field=value` with a YAML value. Every mistake is a `CurateError`
    raised before any data is read.
    """
    name = name or "default"
    folder = Path()
    if name in BUNDLED:
        text = (resources.files("curate") / "recipes" / f"{name}.yaml").read_text("utf-8")
    elif Path(name).is_file():
        folder = Path(name).parent
        try:
            text = Path(name).read_text("utf-8")
        except UnicodeDecodeError as error:
            raise CurateError(f"{name}: not a text file in UTF-8 ({error.reason})") from error
    else:
        bundled = ", ".join(BUNDLED)
        raise CurateError(
            f"{name}: no such recipe file, nor a bundled recipe (there is: {bundled})"
        )
    seed, entries = _entries(_parse(text, name), name)
    for override in overrides:
        _override(entries, override)
    try:
        steps = tuple(_step(entry, seed, folder) for entry in entries)
    except _Unbound as error:
        if name not in BUNDLED:
            raise CurateError(str(error)) from error
        # Whoever runs a bundled recipe has no file to write the setting into.
        raise CurateError(f"recipe {name}: {error} (--set {error.label}.SETTING=VALUE)") from error
    _check_order(steps)
    return Recipe(name, seed, steps, text)


class _Unbound(CurateError):
    """A step of this label cannot be made from its settings."""

    def __init__(self, label: str, error: CurateError) -> None:
        super().__init__(str(error))
        self.label = label


def _step(entry: Entry, seed: int, folder: Path) -> Step:
    label, what, given = entry
    try:
        return Step(label, _bind(what, given, seed, folder))
    except CurateError as error:
        raise _Unbound(label, error) from error


def _parse(text: str, name: str) -> Mapping[str, Any]:
    try:
        recipe = values.load(text)
    except yaml.YAMLError as error:
        raise CurateError(f"{name}: not valid YAML ({error})") from error
    if not isinstance(recipe, dict) or not isinstance(recipe.get("steps"), list):
        raise CurateError(f"{name}: a recipe needs a list called 'steps'")
    for key in recipe:
        if key not in ("seed", "steps"):
            hint = nearest(str(key), ("seed", "steps"))
            raise CurateError(f"{name}: unknown entry {key!r}; known are seed and steps{hint}")
    if not isinstance(recipe.get("seed", 0), int):
        raise CurateError(f"{name}: seed is {recipe['seed']!r}; expected a whole number")
    return recipe


def _entries(recipe: Mapping[str, Any], name: str) -> tuple[int, list[Entry]]:
    seen: Counter[str] = Counter()
    entries: list[Entry] = []
    for number, step in enumerate(recipe["steps"], 1):
        what, given = (step, None) if isinstance(step, str) else _single(step, number, name)
        if given is not None and not isinstance(given, dict):
            raise CurateError(
                f"{name}: step {number} ({what}) has settings {given!r}; expected field: value"
            )
        label = what.rsplit(":", 1)[-1]
        seen[label] += 1
        if seen[label] > 1:
            label = f"{label}-{seen[label]}"
        entries.append((label, what, dict(given or {})))
    return int(recipe.get("seed", 0)), entries


def _single(step: Any, number: int, name: str) -> tuple[str, Any]:
    if not isinstance(step, dict) or len(step) != 1 or not isinstance(next(iter(step)), str):
        raise CurateError(
            f"{name}: step {number} is {step!r}; expected a name, or one name with settings"
        )
    return next(iter(step.items()))


def _override(entries: list[Entry], override: str) -> None:
    target, equals, value = override.partition("=")
    label, dot, field = target.partition(".")
    if not equals or not dot:
        raise CurateError(f"--set {override}: expected step.field=value")
    labels = [entry[0] for entry in entries]
    if label not in labels:
        hint = nearest(label, labels) or f"; the recipe has {', '.join(labels)}"
        raise CurateError(f"--set {override}: no step {label!r} in the recipe{hint}")
    try:
        entries[labels.index(label)][2][field] = values.load(value)
    except yaml.YAMLError as error:
        raise CurateError(f"--set {override}: the value is not valid YAML ({error})") from error


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
    if (folder / value).exists():
        return str(folder / value)
    where, colon, name = value.rpartition(":")
    if where.endswith(".py") and (folder / where).is_file():
        return f"{folder / where}{colon}{name}"
    return value


def filter_called(name: str, given: Mapping[str, Any]) -> Filter:
    """One registered filter with these settings."""
    bound = _bind(name, dict(given), 0, Path())
    assert isinstance(bound, Filter), f"{name} is a fix"
    return bound


def _find(what: str, folder: Path) -> Any:
    if what in KNOWN:
        return KNOWN[what]
    if ":" in what:
        return _user_code(what, folder)
    hint = nearest(what, list(KNOWN)) or f"; known are {', '.join(KNOWN)}"
    raise CurateError(f"unknown step {what!r}{hint}")


def _user_code(what: str, folder: Path) -> Any:
    """`my_filters.py:no_urls` (beside the recipe, or from here) or `package.module:NoUrls`."""
    where, _, attribute = what.rpartition(":")
    if where.endswith(".py"):
        module = _load_file(_beside(where, folder), what)
    else:
        try:
            module = importlib.import_module(where)
        except ModuleNotFoundError as error:
            raise CurateError(f"step {what!r}: {error}") from error
    if not hasattr(module, attribute):
        known = [name for name in vars(module) if not name.startswith("_")]
        raise CurateError(f"step {what!r}: {where} has no {attribute!r}{nearest(attribute, known)}")
    return getattr(module, attribute)


def _beside(where: str, folder: Path) -> Path:
    for path in (folder / where, Path(where)):
        if path.is_file():
            return path.resolve()
    raise CurateError(f"{where}: no such file beside the recipe or in the current folder")


def _load_file(path: Path, what: str) -> Any:
    # Registered under its own name so that worker processes can unpickle what it defines.
    name = f"curate_user_{path.stem}"
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CurateError(f"step {what!r}: {path.name} cannot be loaded as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise CurateError(f"step {what!r}: {path.name} {failed(error)}") from error
    return module


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
