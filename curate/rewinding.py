"""The door for Python to rewinding: from a checkpoint back towards its base, and how far."""

from __future__ import annotations

from os import PathLike, fspath
from typing import TYPE_CHECKING

from curate.base.folder import changes_explained
from curate.base.log import Log, no_log
from curate.base.packages import check_ours

if TYPE_CHECKING:
    from trainer.after.rewind.results import Rewound


def rewind(
    source: str | PathLike[str],
    *,
    retention: str | PathLike[str],
    out: str | PathLike[str],
    target: str | PathLike[str] | None = None,
    max_retention_loss: float | None = None,
    model: str | PathLike[str] | None = None,
    lines: bool = False,
    device: str = "auto",
    force: bool = False,
    log: Log = no_log,
) -> Rewound:
    """Measure the path from the base to a checkpoint, and leave the best place on it in `out`.

    `source` is a CKPT, whose saved epochs are measured as well, one of them, the folder of an
    adapter, or a whole model with its base in `model`. `retention` is a text of what was known
    before (as of `curate.train`), `target` a TOKENS folder, by default the rows that the run held
    out. Of the points whose loss on the retention text rises by at most `max_retention_loss` above
    the base's, nats a token, the one with the lowest target loss is written; where none does, or no
    bound is given, the one with the largest hypervolume. With `lines` the path that moves later
    layers further (LiNeS) is measured too. `out` holds a model like any other, or an adapter where
    the path allows one, with `rewind.html`. Raises `CurateError` for what has no path.
    """
    check_ours()
    from curate.rewinds.page import files
    from trainer.after.rewind import rewind as rewinding
    from trainer.after.rewind.rewind import Asked

    given = None if target is None else fspath(target)
    base = None if model is None else fspath(model)
    asked = Asked(fspath(source), fspath(retention), given, max_retention_loss, base, lines, device)
    with changes_explained(*([] if target is None else [target])):
        return rewinding.rewind(asked, fspath(out), draw=files, force=force, log=log)


def forecast_rewind(
    source: str | PathLike[str],
    *,
    retention: str | PathLike[str],
    target: str | PathLike[str] | None = None,
    max_retention_loss: float | None = None,
    model: str | PathLike[str] | None = None,
    lines: bool = False,
    device: str = "auto",
    log: Log = no_log,
) -> float:
    """What `rewind` would measure, as lines for `log`, and about how many seconds it would take.

    One point is measured, and nothing is written. Raises `CurateError` as `rewind` does.
    """
    check_ours()
    from trainer.after.rewind.rewind import Asked, forecast

    given = None if target is None else fspath(target)
    base = None if model is None else fspath(model)
    asked = Asked(fspath(source), fspath(retention), given, max_retention_loss, base, lines, device)
    with changes_explained(*([] if target is None else [target])):
        return forecast(asked, log)
