"""Whether a scorer is independent of a run: rows that it chose itself it will like."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from curate.base.errors import CurateError
from curate.base.folder import MANIFEST, read_manifest
from curate.base.log import Log
from curate.base.replacing import shown_settings
from curate.base.spelling import option
from curate.pipeline.run_folder import RunFolder
from curate.proofs.scorers import JudgeScorer, RewardScorer, Scorer, reward_hash
from filters.reward.linear import is_linear
from trainer.after.suite.identity import model_hash

_SCORING = ("Reward(", "LLMJudge(")  # as the manifest shows the settings of such steps


class _Chooser(NamedTuple):
    """A model that a step of a run read rows with: its name or folder, and a server's address."""

    step: str
    model: str
    url: str | None
    names: tuple[str, ...]  # as a server called it

    @property
    def folder(self) -> str | None:
        """Its folder, where it has one that is there."""
        return self.model if self.url is None and Path(self.model).is_dir() else None


def check_independent(run: RunFolder, scorer: Scorer, tell: Log) -> None:
    """Raise `CurateError` where a step of the run scored rows by this very scorer.

    What nobody can say for certain is said: a model of a step that is not there any more, and a
    reward model that was fitted on files which the run was made from.
    """
    for chooser in _choosers(run):
        if _is_same(chooser, scorer):
            raise CurateError(
                f"{run.path}: its step {chooser.step} scored rows by {chooser.model}, which is the "
                f"{scorer.kind} {scorer.name}, so it would be asked whether it likes its own "
                f"choice; name another one in {option(scorer.kind)}"
            )
        if chooser.url is None and chooser.folder is None:
            tell(
                f"step {chooser.step} of the run scored rows by {chooser.model}, which is not "
                f"there any more, so nobody can say whether {scorer.kind} {scorer.name} is the same"
            )
    if isinstance(scorer, RewardScorer):
        _say_fitted(run, scorer, tell)


def say_own_kind(base: str, scorer: Scorer, tell: Log) -> None:
    """Say where a judge is the very model that is trained, before any training."""
    own = scorer.plan.get("sha256")
    if isinstance(scorer, JudgeScorer) and own is not None and own == model_hash(base):
        tell(
            f"judge {scorer.name} is the model that is trained, before training: it may like best "
            "what it would write itself"
        )


def _choosers(run: RunFolder) -> Iterator[_Chooser]:
    """The models that the manifest names: in settings of steps, and as servers called them."""
    for step in run.manifest["steps"]:
        if not step.get("settings", "").startswith(_SCORING):
            continue
        settings = {
            name: _value(text) for name, text in shown_settings(step.get("settings", "")).items()
        }
        model, url = settings.get("model"), settings.get("url")
        if isinstance(model, str):
            numbers = step.get("numbers", {})
            seen = numbers.get("models") if isinstance(numbers, Mapping) else None
            names = tuple(map(str, seen)) if isinstance(seen, Mapping) else ()
            yield _Chooser(str(step["name"]), model, url if isinstance(url, str) else None, names)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_same(chooser: _Chooser, scorer: Scorer) -> bool:
    """By content where both are folders, by name where both are on servers."""
    if isinstance(scorer, JudgeScorer) and scorer.judge.url is not None:
        return chooser.url is not None and scorer.name in (chooser.model, *chooser.names)
    if chooser.url is not None:
        return False
    if Path(chooser.model).absolute() == Path(scorer.name).absolute():
        return True
    return chooser.folder is not None and _hash(chooser.folder) == scorer.plan["sha256"]


def _hash(folder: str) -> str | None:
    """None for a folder that holds no model any more."""
    try:
        return reward_hash(folder)
    except (CurateError, OSError):
        return None


def _say_fitted(run: RunFolder, scorer: RewardScorer, tell: Log) -> None:
    """Say which files the run and the fit of the reward model have in common."""
    if not is_linear(scorer.folder):
        return
    fitted = read_manifest(Path(scorer.folder)).get("sources")
    hashes = {
        each.get("sha256"): str(each.get("source"))
        for each in (fitted if isinstance(fitted, list) else [])
        if isinstance(each, Mapping)
    }
    own = [each["source"] for each in run.manifest["sources"] if each.get("sha256") in hashes]
    if own:
        tell(
            f"reward {scorer.name} was fitted on {own[0]}"
            + (f" and {len(own) - 1:,} more files" if len(own) > 1 else "")
            + ", of which the run was made ("
            + f"{Path(scorer.folder, MANIFEST)}): it may like what it was fitted on"
        )
