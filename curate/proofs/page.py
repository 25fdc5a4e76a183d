"""The page of a proof: verdicts first, then what they rest on. One file, nothing runs in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from curate.base.folder import write_page as write_text
from curate.base.pages import POLICY, page_templates
from curate.base.places import check_page
from curate.base.terminal import printable, printable_line
from curate.proofs.answers import Shown
from curate.proofs.comparisons import BETTER, NO_DIFFERENCE, NOT_SHOWN, WORSE, Comparison
from curate.proofs.forest import forest
from curate.proofs.metrics import METRICS
from curate.proofs.pieces import drawn
from curate.proofs.proof import Proof
from curate.proofs.sentences import bracketed, decimals, number, p_text, sentences, verdict_text
from curate.proofs.win_lines import notices
from curate.proofs.win_rates import rate_of
from curate.report.excerpts import Piece, excerpt
from curate.report.page import percent

if TYPE_CHECKING:
    import jinja2

_TEMPLATE = "proof.html.jinja"
_LOOKS = {BETTER: "better", WORSE: "worse", NO_DIFFERENCE: "same"}
_MARKS = {BETTER: "✓", WORSE: "✕", NO_DIFFERENCE: "=", NOT_SHOWN: "?"}
_PROMPT, _ANSWER = 600, 1200  # characters shown of a prompt and of an answer


def html(proof: Proof, about: Mapping[str, Any]) -> str:
    """A self-contained page: no script, nothing fetched, all text of others escaped.

    `about` may have, in plain values: `model`, `template` and `set` (names), `sets` (each with
    `name`, `rows`, `sha256` and perhaps `tokens`), `commands`, `notices` (sentences), `versions`
    by name, and `texts` (for each target its rows, with `prompt` and `answer`, in order); and
    `curves` and `matrices` of `curate.proofs.pieces`. The same values give the same bytes.
    """
    return printable(environment().get_template(_TEMPLATE).render(_context(proof, about)))


def write_page(proof: Proof, about: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the page. Raises CurateError where `path` is no place for a page."""
    target = check_page(path)
    write_text(target, html(proof, about))


def _context(proof: Proof, about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the template names."""
    return {
        "policy": POLICY,
        "headline": headline(proof),
        "proof": proof,
        "summaries": proof.summaries,
        "verdicts": list(
            zip(proof.overall, sentences(proof.primary, proof.summaries, proof.seeds), strict=True)
        ),
        "forest": forest(proof.primary),
        "targets": list(proof.summaries[0].targets),
        "secondary": _secondary(proof),
        "wins": proof.wins,
        "answers": [_answer(each, about.get("texts", {})) for each in proof.answers],
        "model": about.get("model", ""),
        "chat_template": about.get("template", ""),
        "set": about.get("set", ""),
        "sets": about.get("sets", ()),
        "commands": about.get("commands", ()),
        "notices": [*proof.warnings, *about.get("notices", ())],
        "versions": about.get("versions", {}),
        "curves": [(each, drawn(each)) for each in about.get("curves", ())],
        "matrices": about.get("matrices", ()),
    }


def headline(proof: Proof) -> str:
    """All verdicts in a few words: `better than random; not shown against longest`."""
    forms = {
        (BETTER, True): "better than {}",
        (BETTER, False): "better than {} on average",
        (WORSE, True): "worse than {}",
        (WORSE, False): "worse than {} on average",
        (NO_DIFFERENCE, None): "no different from {}",
        (NOT_SHOWN, None): "not shown against {}",
    }
    parts = []
    for (verdict, always), form in forms.items():
        names = [
            printable_line(each.baseline, 40)
            for each in proof.overall
            if each.verdict == verdict and always in (None, each.in_each_training)
        ]
        if names:
            parts.append(form.format(_listed(names)))
    return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _secondary(proof: Proof) -> list[tuple[str, list[Comparison]]]:
    """Other metrics over all targets, by title."""
    names = dict.fromkeys(each.metric for each in proof.secondary)
    return [
        (
            METRICS[name].title,
            [each for each in proof.secondary if each.metric == name and each.target is None],
        )
        for name in names
    ]


def _answer(shown: Shown, texts: Mapping[str, Any]) -> dict[str, Any]:
    """A prompt with its held-out answer, if there is one, and every model's."""
    rows = texts.get(shown.target, ())
    row = rows[shown.at] if shown.at < len(rows) else {}
    held_out = [("held out", excerpt(row["answer"], limit=_ANSWER))] if "answer" in row else []
    models = [(name, excerpt(text, limit=_ANSWER)) for name, text in shown.answers.items()]
    sides: list[tuple[str, list[Piece]]] = [*held_out, *models]
    prompt = excerpt(row.get("prompt", shown.prompt), limit=_PROMPT)
    return {"target": shown.target, "seed": shown.seed, "prompt": prompt, "sides": sides}


@cache
def environment() -> jinja2.Environment:
    """Templates of pages of proofs, with what they call."""
    filters = {
        "count": lambda count: f"{count:,.0f}",
        "percent": percent,
        "width": lambda share: f"{100 * share:.2f}%",
        "bits": lambda value: number(value, 4),
        "p": p_text,
        "difference": _difference,
        "reach": lambda each: (
            "nothing varied" if each.is_constant else _amount(each, each.would_see)
        ),
        "look": lambda verdict: _LOOKS.get(verdict, "open"),
        "sign": lambda verdict: _MARKS.get(verdict, ""),
        "verdict": lambda each: verdict_text(each, decimals(each)),
        "estimate": lambda each, places: (
            f"{number(each.low, places)} to {number(each.high, places)}"
        ),
        "level": lambda value, metric: _level(value, metric),
        "rate": rate_of,
        "win_notices": lambda found: list(notices(found)),
    }
    return page_templates("proofs", "report", filters=filters)


def _difference(comparison: Comparison) -> str:
    if not METRICS[comparison.metric].is_share:
        return bracketed(comparison, decimals(comparison))
    found = comparison.difference
    value, low, high = (f"{100 * each:+.1f}" for each in (found.value, found.low, found.high))
    return f"{value} points ({low} to {high})"


def _amount(comparison: Comparison, value: float) -> str:
    if METRICS[comparison.metric].is_share:
        return f"{100 * value:.1f} points"
    return number(value, decimals(comparison))


def _level(value: float, metric: str) -> str:
    if METRICS[metric].is_share:
        return percent(value)
    return number(value, 4 if "byte" in metric else 2)
