"""Recipes and values of `--set`: whatever they hold, a run, or one sentence.

Steps that would ask a server or load a model are bound, and not run.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import random
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

import trainer
from curate.base.errors import CurateError
from curate.pipeline import recipe
from curate.verbs.common import assignments
from filters import FILTERS, FIXES
from fuzz.command import check_said, command
from fuzz.contract import Case, Fault, Fuzzer
from fuzz.values import mutated_often, text, value

ODD = (
    *(
        "!!python/object:os.system x",
        "!!timestamp 9999-99-99",
        "!!binary =",
        "&a [*a]",
        "*a",
        "<<: 1",
    ),
    *(
        "? {a: 1}\n: b",
        "{a",
        "- -",
        "%YAML 9.9",
        "---\n---",
        "!!set {a}",
        "!!float x",
        "\t- a",
        "[" * 900,
    ),
    *("9" * 5_000, "1e999", ".nan", "0x10", "1_000", "{1: 2}", "{[]: 1}", "{true: 1}", "'\\ud800'"),
)
PLAUSIBLE = (
    *(
        "0",
        "1",
        "2",
        "0.5",
        "0.9",
        "-1",
        "100",
        "1e-9",
        "true",
        "false",
        "null",
        "[]",
        "[en]",
        "{}",
    ),
    *("prompt", "response", "both", "report", "cap", "drop", "[a, b]", "{a: 1}", "score", ".inf"),
)
ASKS = ("model", "url", "encoder", "judge", "difficulty", "semantic", "references", "against")
ROWS = [{"instruction": f"Name {n} fruits.", "output": f"{n} apples and a pear."} for n in range(6)]


STEPS: dict[str, Any] = {**FILTERS, **FIXES}


@cache
def recipes() -> list[dict[str, Any]]:
    """The bundled recipes, and one for each filter and fix with all of its settings."""
    folder = resources.files("curate") / "recipes"
    found = [
        yaml.safe_load(path.read_text("utf-8"))
        for path in sorted(folder.iterdir(), key=lambda path: path.name)
        if path.name.endswith(".yaml")
    ]
    for name, kind in STEPS.items():
        given = {
            field.name: _plain(field.default)
            for field in dataclasses.fields(kind)
            if field.default is not dataclasses.MISSING
        }
        found.append({"seed": 0, "steps": [{name: given}]})
    return found


def _plain(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default


@cache
def names() -> tuple[str, ...]:
    """Names of steps and their settings."""
    found = dict.fromkeys((*FILTERS, *FIXES, "seed", "steps"))
    for kind in STEPS.values():
        found |= dict.fromkeys(field.name for field in dataclasses.fields(kind))
    return tuple(found)


@cache
def training() -> tuple[str, ...]:
    """Names of the settings of training."""
    return tuple(field.name for field in dataclasses.fields(trainer.TrainConfig))


def make(chance: random.Random) -> Case:
    """A changed recipe as text and some values to set, or settings of training."""
    if chance.random() < 0.3:
        given = [chance.choice((*PLAUSIBLE, _written(chance))) for _ in range(2)]
        return {"train": [f"{chance.choice(training())}={value}" for value in given]}
    whole = copy.deepcopy(chance.choice(recipes()))
    if chance.random() < 0.5:
        whole = mutated_often(chance, whole, names())
    written = yaml.safe_dump(whole, sort_keys=False)
    if chance.random() < 0.2:
        at = chance.randrange(len(written))
        written = written[:at] + chance.choice(ODD) + written[at + chance.choice((0, 0, 1, 9)) :]
    given = [_setting(chance, whole) for _ in range(chance.choice((0, 1, 1, 2)))]
    return {"recipe": written, "set": given, "run": chance.random() < 0.5}


def _setting(chance: random.Random, whole: Any) -> str:
    """A value for `--set`, mostly of a setting that a step of the recipe has."""
    steps = whole.get("steps") if isinstance(whole, dict) else None
    step = chance.choice(steps) if isinstance(steps, list) and steps else None
    name = next(iter(step)) if isinstance(step, dict) and step else step
    kind = STEPS.get(name) if isinstance(name, str) else None
    if kind is None or chance.random() < 0.2:
        return f"{chance.choice(names())}.{chance.choice(names())}={_written(chance)}"
    fields = dataclasses.fields(kind)
    field = chance.choice(fields).name if fields else "x"
    plausible = chance.choice(PLAUSIBLE) if chance.random() < 0.7 else _written(chance)
    return f"{name}.{field}={plausible}"


def _written(chance: random.Random) -> str:
    kind = chance.randrange(4)
    if kind == 0:
        return chance.choice(ODD)
    return text(chance) if kind == 1 else json.dumps(value(chance))


def check(case: Case, folder: Path) -> str:
    """Bind the settings; of some recipes the whole run."""
    try:
        if "train" in case:
            given = {"tokens": "T", "model": "M", "out": "O"} | assignments(case["train"])
            trainer.TrainConfig.from_mapping(given)
            return "settings of training"
        path = folder / "recipe.yaml"
        path.write_text(case["recipe"], "utf-8", errors="surrogatepass")
        recipe.load(str(path), assignments(case["set"]))
    except CurateError as error:
        if not str(error).strip():
            raise Fault("a sentence is empty") from error
        return "a sentence"
    whole = case["recipe"] + str(case["set"])
    if not case["run"] or any(word in whole for word in ASKS):
        return "a recipe"
    return _run(path, case["set"], folder)


def _run(path: Path, given: list[str], folder: Path) -> str:
    dump = folder / "dump.jsonl"
    dump.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    words = ["run", str(dump), "--recipe", str(path), "--out", str(folder / "RUN"), "--quiet"]
    words += [f"--set={one}" for one in given]
    said = command([*words, "--workers", "1"])
    check_said("run", said)
    if said.code:
        return "a sentence of the run"
    counts = json.loads((folder / "RUN" / "manifest.json").read_text())["counts"]
    if counts["read"] != counts["kept"] + counts["dropped"] + counts["rejects"]:
        raise Fault(f"rows are lost: {counts}")
    return "a run"


FUZZER = Fuzzer(make, check)
