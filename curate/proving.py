"""The door for Python to proofs: a run's rows beside others, by `import curate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base.extras import require
from curate.base.folder import changes_explained
from curate.base.log import Log, no_log
from curate.base.packages import check_ours

if TYPE_CHECKING:
    from curate.proofs.amount_results import AmountProof
    from curate.proofs.design import Design
    from curate.proofs.format_results import FormatProof
    from curate.proofs.options import ProveOptions
    from curate.proofs.proof import Proof
    from curate.proofs.schedule import Running
    from curate.runs import Run


def prove(
    run: Run | str | PathLike[str],
    *,
    model: str | PathLike[str],
    out: str | PathLike[str],
    template: str | None = None,
    targets: Sequence[str | PathLike[str]] = (),
    baselines: Sequence[str] = ("random", "longest", "full", "raw"),
    tokens: int | None = None,
    seeds: int = 5,
    margin: float = 0.01,
    max_rows: int = 200,
    answers: int | None = None,
    instructions: int = 0,
    max_tokens: int = 128,
    reward: str | PathLike[str] | None = None,
    judge: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    jobs: int = 1,
    keep_models: bool = False,
    force: bool = False,
    log: Log = no_log,
) -> Proof:
    """Train on a run's kept rows and on others of the same size, and say what the difference is.

    `run` is a `Run` or its folder, `model` what is trained anew each time, `targets` are files of
    held-out conversations (rows of the run itself without any). Each of the `baselines` (random,
    longest, full, raw) is trained `seeds` times on `tokens` trained tokens: by default as many as
    the kept rows have, times `num_train_epochs`. A difference below `margin`, a share of bits per
    byte, is none. Of each target `max_rows` rows are scored, and the first `answers` of them
    answered with at most `max_tokens` tokens; `instructions` are prompts that code checks. Answers
    of the kept rows' models are compared with the baselines' by `reward`, the folder of a reward
    model, and by `judge`, settings of a judge such as `{"model": ..., "url": ...}`.
    `training` are settings of `curate.train`. `jobs` trainings run at once. A proof that was
    stopped in the folder `out` goes on. Raises `CurateError`.
    """
    _check()
    from curate.proofs import runner

    folder, options, design = proof_options(
        run,
        margin,
        model=fspath(model),
        template=template,
        targets=targets,
        baselines=baselines,
        tokens=tokens,
        seeds=seeds,
        max_rows=max_rows,
        answers=answers,
        instructions=instructions,
        max_tokens=max_tokens,
        reward=reward,
        judge=judge,
        training=dict(training or {}),
    )
    how = _running(out, jobs, keep_models, force)
    with changes_explained(folder, *targets):
        return runner.prove(folder, options, design, how, log)


def prove_formats(
    run: Run | str | PathLike[str],
    templates: Sequence[str],
    *,
    model: str | PathLike[str],
    out: str | PathLike[str],
    targets: Sequence[str | PathLike[str]] = (),
    tokens: int | None = None,
    seeds: int = 5,
    margin: float = 0.01,
    max_rows: int = 200,
    answers: int = 32,
    max_tokens: int = 128,
    training: Mapping[str, Any] | None = None,
    jobs: int = 1,
    keep_models: bool = False,
    force: bool = False,
    log: Log = no_log,
) -> FormatProof:
    """Train on a run's kept rows with each template, prompt with each, and say what that does.

    `templates` are two or more. Each model, `seeds` of each template, is measured with
    every template: bits per byte of held-out answers, and of the first `answers` rows of each
    target whether answers stop, and show control tokens. The other arguments are those of `prove`.
    Raises `CurateError`.
    """
    _check()
    from curate.proofs import format_runner

    folder, options, design = proof_options(
        run,
        margin,
        model=fspath(model),
        templates=templates,
        targets=targets,
        tokens=tokens,
        seeds=seeds,
        max_rows=max_rows,
        answers=answers,
        max_tokens=max_tokens,
        training=dict(training or {}),
    )
    how = _running(out, jobs, keep_models, force)
    with changes_explained(folder, *targets):
        return format_runner.prove_formats(folder, options, design, how, log)


def prove_amounts(
    run: Run | str | PathLike[str],
    amounts: Sequence[int],
    *,
    model: str | PathLike[str],
    out: str | PathLike[str],
    template: str | None = None,
    targets: Sequence[str | PathLike[str]] = (),
    baselines: Sequence[str] = ("random", "longest", "full", "raw"),
    seeds: int = 5,
    margin: float = 0.01,
    max_rows: int = 200,
    answers: int | None = None,
    instructions: int = 0,
    max_tokens: int = 128,
    reward: str | PathLike[str] | None = None,
    judge: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    jobs: int = 1,
    keep_models: bool = False,
    force: bool = False,
    log: Log = no_log,
) -> AmountProof:
    """`prove` at several `amounts` of trained tokens, ascending, and where more stop helping.

    Each set is also compared with itself at the next smaller amount. The other arguments are those
    of `prove`. Raises `CurateError`.
    """
    _check()
    from curate.proofs import amounts as runner

    folder, options, design = proof_options(
        run,
        margin,
        model=fspath(model),
        template=template,
        amounts=amounts,
        targets=targets,
        baselines=baselines,
        seeds=seeds,
        max_rows=max_rows,
        answers=answers,
        instructions=instructions,
        max_tokens=max_tokens,
        reward=reward,
        judge=judge,
        training=dict(training or {}),
    )
    how = _running(out, jobs, keep_models, force)
    with changes_explained(folder, *targets):
        return runner.prove_sweep(folder, options, design, how, log)


def prove_shares(
    run: Run | str | PathLike[str],
    group: str,
    shares: Sequence[float],
    *,
    model: str | PathLike[str],
    out: str | PathLike[str],
    template: str | None = None,
    targets: Sequence[str | PathLike[str]] = (),
    baselines: Sequence[str] = ("random", "longest", "full", "raw"),
    tokens: int | None = None,
    seeds: int = 5,
    margin: float = 0.01,
    max_rows: int = 200,
    answers: int | None = None,
    instructions: int = 0,
    max_tokens: int = 128,
    reward: str | PathLike[str] | None = None,
    judge: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    jobs: int = 1,
    keep_models: bool = False,
    force: bool = False,
    log: Log = no_log,
) -> AmountProof:
    """`prove` for several `shares` of a `group` in the selected rows, at the same trained tokens.

    The group is a source or category of the kept rows; rows are drawn from these, anew for each
    seed and none twice. Without `tokens` they are what all shares can give. The selected rows at a
    share are also compared with those at the next smaller one. The other arguments are those of
    `prove`. Raises `CurateError`.
    """
    _check()
    from curate.proofs import amounts as runner

    folder, options, design = proof_options(
        run,
        margin,
        model=fspath(model),
        template=template,
        group=group,
        shares=shares,
        targets=targets,
        baselines=baselines,
        tokens=tokens,
        seeds=seeds,
        max_rows=max_rows,
        answers=answers,
        instructions=instructions,
        max_tokens=max_tokens,
        reward=reward,
        judge=judge,
        training=dict(training or {}),
    )
    how = _running(out, jobs, keep_models, force)
    with changes_explained(folder, *targets):
        return runner.prove_sweep(folder, options, design, how, log)


def forecast_proof(
    run: Run | str | PathLike[str],
    *,
    margin: float = 0.01,
    out: str | PathLike[str] | None = None,
    jobs: int = 1,
    force: bool = False,
    log: Log = no_log,
    **options: Any,
) -> float:
    """What `prove` would do, as lines for `log`, and about how many seconds it would take.

    The arguments are those of `prove`; with `templates` those of `prove_formats`, with `amounts`
    those of `prove_amounts`, with `group` and `shares` those of `prove_shares`. What is in `out` is
    not counted. Nothing is written. Raises `CurateError`, also for an `out` that `prove` would
    refuse.
    """
    _check()
    from curate.proofs import forecast

    folder, chosen, design = proof_options(run, margin, **options)
    with changes_explained(folder):
        how = None if out is None else _running(out, jobs, False, force)
        return forecast.forecast(folder, chosen, design, jobs, how, log)


def _check() -> None:
    check_ours()
    require("proving", "train", "torch", "transformers", "datasets", "peft")


def _running(out: str | PathLike[str], jobs: int, keep_models: bool, force: bool) -> Running:
    from curate.proofs.schedule import Running

    return Running(fspath(out), jobs, keep_models, force)


def proof_options(run: Any, margin: float, **options: Any) -> tuple[Path, ProveOptions, Design]:
    """The run's folder, what is asked for, and the design. Raises `CurateError`."""
    from curate.proofs.design import Design
    from curate.proofs.options import USUAL_ANSWERS, ProveOptions
    from curate.runs import Run

    folder = run.path if isinstance(run, Run) else Path(run)
    targets, baselines = options.pop("targets", ()), options.pop("baselines", None)
    given = [targets] if isinstance(targets, str | PathLike) else targets
    options["targets"] = tuple(fspath(each) for each in given)
    if baselines is not None:
        named = [baselines] if isinstance(baselines, str) else baselines
        options["baselines"] = tuple(named)
    elif options.get("templates"):
        options["baselines"] = ()
    options["reward"] = None if options.get("reward") is None else fspath(options["reward"])
    options["judge"] = dict(options.get("judge") or {})
    if options.get("answers") is None:
        is_usual = options.get("templates") or options["reward"] or options["judge"]
        options["answers"] = USUAL_ANSWERS if is_usual else 0
    for name in ("templates", "amounts", "shares"):
        several = options.get(name, ())
        options[name] = (several,) if isinstance(several, str | int | float) else tuple(several)
    # 0, -0.0 and 0.0 are one share, under one name.
    options["shares"] = tuple(
        each + 0.0 if isinstance(each, int | float) else each for each in options["shares"]
    )
    return folder, ProveOptions(**options), Design(margin=margin)
