"""The verb that makes RM: a small reward model fitted on preference pairs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from curate.verbs.common import read, speaker, warn
from curate.verbs.pairs import counts_text

if TYPE_CHECKING:
    from filters.reward.linear_fit import Fitted


def reward(arguments: argparse.Namespace) -> None:
    """`curate reward fit`: see its help."""
    from curate.base.folder import atomic_folder, writing
    from curate.base.replacing import Kind, check_replaced
    from curate.pairs import of_rejected, pair_texts
    from filters.reward import accuracy, linear, linear_fit

    say = speaker(arguments.quiet)
    with atomic_folder(
        arguments.out, linear.MAKER, arguments.force, arguments.dump, linear.FILES
    ) as folder:
        dump = read(arguments)
        sources = [{"source": file.source, "sha256": file.sha256} for file in dump.files]
        kind = Kind(linear.MAKER, "model", lambda made: {"": {"seed": str(made.get("seed"))}})
        new = {"seed": arguments.seed, "sources": sources}
        if note := check_replaced(arguments.out, kind, new, arguments.force):
            warn(note)
        # That nothing at all was answered is a way to lose, and one that a score should know.
        made = of_rejected(dump.records, empty_rejected=True)
        say(counts_text(dump.read, dump.rejects.height, made))
        fitted = linear_fit.fit(accuracy.Pairs(*pair_texts(made.pairs)), arguments.seed)
        about = {
            **new,
            "counts": {"read": dump.read, "rejects": dump.rejects.height, **made.counts()},
            "penalty": fitted.penalty._asdict(),
            "tried": [
                {**each.penalty._asdict(), "loss": each.loss, "error": each.error}
                for each in fitted.tried
            ],
            "held_out": fitted.held_out.numbers(),
            "held_out_without_length": fitted.without_length.numbers(),
        }
        with writing(arguments.out):
            linear.save(fitted.model, folder, about)
    say(_verdict(fitted))
    say(f"written to {arguments.out}; use it in a recipe: reward: {{model: {arguments.out}}}")


def _verdict(fitted: Fitted) -> str:
    """Held-out accuracy beside the two baselines, and whether the difference means anything."""
    held, bare = fitted.held_out, fitted.without_length
    found = (
        "no better than picking the longer answer"
        if held.gain.high < 0
        else "not shown to be better than picking the longer answer"
        if held.gain.low <= 0
        else "better than picking the longer answer"
    )
    return "\n".join(
        (
            f"accuracy on held-out prompts, {held.pairs:,} pairs on {held.prompts:,} prompts:",
            f"  linear            {held.model}",
            f"  without length    {bare.model}",
            f"  longer wins       {held.longer}",
            "  coin              0.500",
            f"linear less longer wins: {held.gain}; {found}",
        )
    )
