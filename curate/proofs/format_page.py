"""The page of formats: what came of it, the matrices, every pair. One file, nothing runs in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from curate.base.folder import write_page as write_text
from curate.base.pages import POLICY
from curate.base.places import check_page
from curate.base.terminal import printable
from curate.proofs.format_results import FormatProof
from curate.proofs.metrics import METRICS
from curate.proofs.page import environment

_TEMPLATE = "formats.html.jinja"


def html(proof: FormatProof, about: Mapping[str, Any]) -> str:
    """A self-contained page: no script, nothing fetched, all text of others escaped.

    `about` is as for `curate.proofs.page.html`. The same values give the same bytes.
    """
    metrics = [(METRICS[name].title, proof.of_metric(name)) for name in proof.values]
    context = {
        "policy": POLICY,
        "proof": proof,
        "summaries": (),
        "metrics": metrics,
        "curves": (),
        "matrices": proof.matrices(),
        **{name: about.get(name, "") for name in ("model", "set")},
        **{name: about.get(name, ()) for name in ("sets", "commands", "notices")},
        "versions": about.get("versions", {}),
    }
    return printable(environment().get_template(_TEMPLATE).render(context))


def write_page(proof: FormatProof, about: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the page. Raises CurateError where `path` is no place for a page."""
    target = check_page(path)
    write_text(target, html(proof, about))
