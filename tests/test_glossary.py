"""The words of the project, entry by entry: each old word is gone from where its scope says.

Common words are free elsewhere, so an entry names its places:

- settings: fields of filters, fixes, `RenderOptions` and `TrainConfig`, verbs and options of the
  command line, columns of verdicts and of the ledger
- names: classes, functions and files of the four packages; a part of a name counts (`twin_of`)
- classes: the same, but the whole name
- messages: texts of the program (not docstrings), and the pages, without code and sessions

Tables of former names (`RENAMED`, the changelog) are exempt: they are there to name them.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import trainer
from curate.base.contract import VERDICTS
from curate.grammar import parser
from curate.pipeline.ledger import LEDGER
from filters import FILTERS, FIXES
from templates import RenderOptions

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("curate", "filters", "templates", "trainer")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


class Entry(NamedTuple):
    """Words that are gone, what stands in their place, and where."""

    gone: tuple[str, ...]
    instead: str
    scope: str  # of the functions below
    within: str = ""  # only below this path


ENTRIES = [
    # Settings, options, columns.
    Entry(("twin", "twins"), "duplicate_of", "settings"),
    Entry(("spare",), "exempt", "settings"),
    Entry(("keep_each",), "min_per_group", "settings"),
    Entry(("fence",), "iqr_factor", "settings"),
    Entry(("tau",), "max_share", "settings"),
    Entry(("arm", "arms"), "baselines", "settings"),
    Entry(("open_field",), "continue_final_field", "settings"),
    Entry(("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8"), "prompt_not_prefix, ...", "settings"),
    Entry(("lr",), "learning_rate", "training_settings"),
    Entry(("epochs",), "num_train_epochs", "training_settings"),
    Entry(("warmup",), "warmup_ratio", "training_settings"),
    Entry(("batch",), "batch_size", "training_settings"),
    Entry(("clip",), "max_grad_norm", "training_settings"),
    Entry(("recompute",), "gradient_checkpointing", "training_settings"),
    Entry(("targets",), "target_modules", "training_settings"),
    Entry(("keep",), "save_total_limit", "training_settings"),
    Entry(("floor",), "min_lr_ratio", "training_settings"),
    Entry(("neftune",), "neftune_noise_alpha", "training_settings"),
    # Names in the code.
    Entry(("twin", "twins"), "duplicate_of", "names"),
    Entry(("arm", "arms"), "baselines", "names"),
    Entry(("told", "said"), "evidence, message", "names"),
    Entry(("payload", "header"), "answer text, template text", "names", "templates"),
    Entry(("payload", "header"), "answer text, template text", "names", "trainer"),
    Entry(("Own",), "ControlTokenSpan", "classes", "templates"),
    Entry(("Foreign",), "SlowTokenizer", "classes", "templates"),
    Entry(("Pieces",), "Segments", "classes", "templates"),
    Entry(("Words",), "PretokenCache", "classes", "templates"),
    Entry(("Draft",), "PendingEncoding", "classes", "templates"),
    Entry(("Tail",), "BoundaryContext", "classes", "templates"),
    Entry(("Flat",), "TokenBatch", "classes", "templates"),
    Entry(("Region",), "TrainedSpan", "classes", "templates"),
    Entry(("Proof",), "VerifiedRender", "classes", "templates"),
    Entry(("Leaf",), "TracedText", "classes", "templates"),
    Entry(("Question",), "PathCondition", "classes", "templates"),
    Entry(("Route",), "Path", "classes", "templates"),
    Entry(("Beyond",), "Unsupported", "classes", "templates"),
    Entry(("Recall",), "cache", "classes", "templates"),
    Entry(
        ("heed", "glance", "weigh"),
        "charge_deep, charge_shallow, charge_text",
        "classes",
        "templates",
    ),
    Entry(("Way",), "LossMode", "classes", "trainer"),
    Entry(("Laid",), "PackedLayout", "classes", "trainer"),
    Entry(("Wanted",), "LengthTarget", "classes", "trainer"),
    Entry(("follow",), "run_worker", "classes", "trainer"),
    Entry(("unheard",), "no_log", "classes", "trainer"),
    Entry(("Made",), "PairResult", "classes", "curate"),
    Entry(("Reading",), "ReadOptions", "classes", "curate"),
    Entry(("leanings",), "score_length_bias", "classes", "curate"),
    Entry(("moves",), "length_shift", "classes", "curate"),
    Entry(("spread",), "histograms", "classes", "curate"),
    Entry(("tally",), "counts", "classes", "curate"),
    Entry(("survey",), "inspection", "classes", "curate"),
    Entry(("Walk",), "PipelineRun", "classes", "curate"),
    Entry(("page",), "step_rows", "classes", "curate/pipeline/ledger.py"),
    Entry(("bound",), "bind_steps", "classes", "curate"),
    Entry(("whole",), "atomic_folder", "classes", "curate"),
    Entry(("watch",), "evaluation", "files", "trainer"),
    Entry(("rows",), "data", "files", "trainer"),
    Entry(("saving",), "checkpoints", "files", "trainer"),
    Entry(("together",), "cross_field", "files", "trainer/config"),
    # Messages and pages.
    Entry(("laws? of", "laws? on", "two laws"), "distribution", "messages"),
    Entry(("twins?",), "duplicate_of; the row that it duplicates", "messages", "curate"),
    Entry(("twins?",), "duplicate_of; the row that it duplicates", "messages", "filters"),
    Entry(
        (r"(rows?|records?)( that)? (goes|stays?|go(?! on))",), "is dropped, is kept", "messages"
    ),
    Entry(("arms?",), "baselines", "messages"),
    Entry(("kinds? of requests?",), "task groups", "messages"),
    Entry(("leans? to", "leaning to"), "is biased towards", "messages"),
    Entry(("beyond chance",), "shifts significantly", "messages"),
    Entry(("vouch(ed|es)? for",), "passed the checks", "messages"),
    Entry(("payloads?",), "answer text", "messages"),
    Entry(("headers?",), "template text", "messages", "templates"),
    Entry(("headers?",), "template text", "messages", "docs/templates.md"),
    Entry(("I[1-8]",), "prompt_not_prefix, ...", "messages"),
    Entry(("--open-field",), "--continue-final-field", "messages"),
    Entry(("likeness",), "token_f1", "messages"),
    Entry(("mean of rows",), "example_loss", "messages"),
    Entry(("verbatim",), "memorised", "messages", "trainer"),
    Entry(("verbatim",), "memorised", "messages", "docs/training.md"),
    Entry(("house", "rooms?"), "package, module", "messages", "docs"),
    Entry(("house", "rooms?"), "package, module", "messages", "README"),
    Entry((r"(?<!by )(a|the|this|that|no) walls?(?! (clock|time))",), "layer", "messages"),
    Entry(("walks?( through)? the", "walks? through"), "flows", "messages"),
    # The table of epochs.
    Entry(("likeness",), "token_f1", "epoch_columns"),
    Entry(("mean_of_rows",), "example_loss", "epoch_columns"),
    Entry(("verbatim",), "memorised", "epoch_columns"),
    Entry(("gap",), "generalisation_gap", "epoch_columns"),
]


def settings(within: str) -> Iterator[str]:
    """Every name that a user can set or read as a column."""
    for kind in (*FILTERS.values(), *FIXES.values(), RenderOptions, trainer.TrainConfig):
        yield from (field.name for field in dataclasses.fields(kind))
    yield from (*VERDICTS.names(), *LEDGER.names())
    verbs = next(
        action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    for name, verb in verbs.choices.items():
        yield name
        for action in verb._actions:
            for option in action.option_strings:
                yield option.strip("-").replace("-", "_")


def training_settings(within: str) -> Iterator[str]:
    """Fields of `TrainConfig`; the short options of the command line stay."""
    yield from (field.name for field in dataclasses.fields(trainer.TrainConfig))


def epoch_columns(within: str) -> Iterator[str]:
    """What is measured after each epoch, as fields, and as texts of one word in the trainer."""
    for kind in (trainer.Epoch, trainer.Evaluation):
        yield from (field.name for field in dataclasses.fields(kind))
    for path in below("trainer"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value.replace(" ", "_")


def classes(within: str) -> Iterator[str]:
    """Names of classes, functions and files, without a leading underscore."""
    for path in below(within):
        yield path.stem.strip("_")
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name.strip("_")


def files(within: str) -> Iterator[str]:
    """What lies directly in a package."""
    for path in (ROOT / within).iterdir():
        yield path.stem


def names(within: str) -> Iterator[str]:
    """Parts of the names of classes, functions and files: `TwinRow` and `twin_of` hold `twin`."""
    for name in classes(within):
        yield from (part.lower() for part in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name))


def messages(within: str) -> Iterator[str]:
    """Texts of several words in the code, and paragraphs of the pages."""
    for path in below(within):
        tree = parsed(path)
        passed_over = set(map(id, docstrings(tree))) | set(map(id, former_names(tree)))
        for node in ast.walk(tree):
            if id(node) in passed_over or not isinstance(node, ast.Constant):
                continue
            if isinstance(node.value, str) and " " in node.value.strip():
                yield node.value
    for page in PAGES:
        if str(page.relative_to(ROOT)).startswith(within):
            text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.M)
            yield from re.split(r"\n{2,}", text)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def below(within: str) -> list[Path]:
    return [path for path in FILES if path.relative_to(ROOT).as_posix().startswith(within)]


def docstrings(tree: ast.Module) -> Iterator[ast.AST]:
    """Texts that stand for themselves."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def former_names(tree: ast.Module) -> Iterator[ast.AST]:
    """What is inside tables of renamed settings."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and target.id.upper() == "RENAMED":
                yield from ast.walk(node)


SCOPES = {
    scope.__name__: scope
    for scope in (settings, training_settings, epoch_columns, classes, files, names, messages)
}


def label(entry: Entry) -> str:
    return "-".join([entry.scope, *entry.gone[:1], *([entry.within] if entry.within else [])])


@pytest.mark.parametrize("entry", ENTRIES, ids=label)
def test_a_word_of_the_glossary_is_gone_from_its_scope(entry: Entry) -> None:
    found = list(SCOPES[entry.scope](entry.within))
    assert found, f"nothing is in the scope {entry.scope} below {entry.within!r}"
    if entry.scope == "messages":
        pattern = re.compile("|".join(rf"(?<![\w-])({word})(?!\w)" for word in entry.gone))
        left = [text for text in found if pattern.search(text)]
    else:
        left = sorted({name for name in found if name in entry.gone})
    assert left == [], f"say: {entry.instead}"


def test_rejects_dropped_and_refused_are_defined_once_each() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    for word in ("reject", "dropped", "refused"):
        assert page.count(f"| **{word}** |") == 1
