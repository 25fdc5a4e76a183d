"""The door for Python: what `import curate` offers. The command line stands on it.

Nothing prints unless a `log` is given, and every mistake is a `CurateError`. Heavy packages are
imported when a function is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError
from curate.base.extras import require
from curate.base.folder import changes_explained
from curate.base.log import Log, no_log
from curate.base.packages import check_ours

if TYPE_CHECKING:
    from curate.base.contract import Estimate
    from curate.evals.labels import LabelEvaluation
    from curate.evals.suite_results import SuiteEvaluation
    from curate.exports.export import Exported
    from curate.pipeline.engine import Engine
    from curate.pipeline.recipe import StepLike
    from curate.renders import Preview, Tokens
    from curate.runs import Plan, Run
    from trainer import TrainResult
    from trainer.after.geometry.diagnosis import Diagnosis
    from trainer.after.gguf.export import Exported as ExportedGguf
    from trainer.after.merge import Merged
    from trainer.evaluation.label_choice import Prior, Scoring
    from trainer.teaching import Logits

# One path or several, rows held in memory (dicts, a datasets.Dataset, a polars or pandas frame).
Data = Any


def run(
    data: Data,
    *,
    recipe: str | PathLike[str] | None = None,
    steps: Sequence[StepLike] | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: str | PathLike[str] | None = None,
    force: bool = False,
    workers: int | None = 1,
    engine: str = "processes",
    address: str | None = None,
    work: str | PathLike[str] | None = None,
    cache: bool = True,
    remember: bool = True,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    paths: str = "best",
    answerer: str | None = None,
    undesirable: bool = False,
    max_unpacked: int | None = None,
    log: Log = no_log,
    warn: Log | None = None,
    live: Log | None = None,
) -> Run:
    """Clean a dump: read it, apply the steps, account for every row.

    `data` is a path, a list of paths, a list of dicts, a `datasets.Dataset`, or a polars or pandas
    frame. `recipe` is a bundled recipe's name or a file (none: the default recipe); `steps` are
    given instead of it: names, `{name: settings}`, filters, fixes, functions. `settings` change
    single ones, `{"near.threshold": 0.7}`. `seed` is for `steps`; a recipe has its own.

    The run is a folder: `out`, or a temporary one that goes with the object (`run.save` keeps it).
    `workers` are processes, None for all cores (with more than 1, a script needs its
    `if __name__ == "__main__"`); with the `engine` "ray" they are Ray's, of this machine or of the
    cluster at `address`. `work` is a folder for what is under way (none: beside `out`), which all
    nodes of a cluster must see. `cache` keeps costly measures between runs, `remember` holds all
    of them for `Run.with_settings`. `format`, `columns` ({"response": "answer_text"}), `paths`
    (OASST trees: best, all or a number), `answerer` (who answers in a chat of several people),
    `undesirable` (read answers that are marked so) and `max_unpacked` (to how many bytes a packed
    file may be unpacked) say how to read. `log` gets progress, a line
    every 30 s in a long step; `live` gets it instead, several times a second, each line to be shown
    in place of the one before. `warn` gets what a user should know, which is in `Run.notices`
    otherwise. Raises `CurateError`.

    >>> import curate
    >>> rows = [{"instruction": "Say hi.", "output": "Hi!"}] * 2
    >>> curate.run(rows, steps=["exact"]).dropped["reason"].to_list()
    ['exact_duplicate']
    """
    check_ours()
    from dataclasses import replace

    from curate.runs import start

    how = _read_options(format, columns, paths, answerer, undesirable, max_unpacked)
    place = None if work is None else Path(work)
    shared = Path(out).parent if place is None and out is not None else place
    if address is not None and shared is None:
        raise CurateError("address needs out or work, a folder that all nodes of the cluster see")
    plan = _plan(recipe, steps, settings, seed, _engine(workers, engine, address, shared), cache)
    plan = replace(plan, how=how, out=out, force=force, remember=remember, work=place)
    with changes_explained(*_given(data)):
        return start(data, replace(plan, log=log, warn=warn, live=live))


def estimate(
    data: Data,
    *,
    recipe: str | PathLike[str] | None = None,
    steps: Sequence[StepLike] | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    workers: int | None = 1,
    cache: bool = True,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    paths: str = "best",
    answerer: str | None = None,
    undesirable: bool = False,
    max_unpacked: int | None = None,
    log: Log = no_log,
    warn: Log | None = None,
    live: Log | None = None,
) -> dict[str, Estimate]:
    """What `run` would ask of judges: rows, questions, tokens and cost of each step that asks.

    The arguments are those of `run`. The steps before the first judge are applied; its rows are
    taken for all judges, as nobody knows which ones it would drop. Nothing is asked but what a
    server can do, and nothing is written but measures. Raises `CurateError`.
    """
    check_ours()
    from dataclasses import replace

    from curate.runs import forecast

    how = _read_options(format, columns, paths, answerer, undesirable, max_unpacked)
    plan = _plan(recipe, steps, settings, seed, _engine(workers), cache)
    return dict(forecast(data, replace(plan, how=how, log=log, warn=warn, live=live)))


def _plan(
    recipe: str | PathLike[str] | None,
    steps: Sequence[StepLike] | None,
    settings: Mapping[str, Any] | None,
    seed: int,
    engine: Engine,
    cache: bool,
) -> Plan:
    from curate.pipeline.cache import MeasureCache, default_folder
    from curate.runs import Plan, chosen_recipe

    if not isinstance(settings or {}, Mapping):
        raise CurateError(f"settings is {settings!r}; expected {{'step.field': value}}")
    chosen = chosen_recipe(recipe, steps, seed, settings)
    return Plan(chosen, engine, MeasureCache(default_folder()) if cache else None)


def _engine(
    workers: int | None,
    name: str = "processes",
    address: str | None = None,
    shared: Path | None = None,
) -> Engine:
    from curate.pipeline.engine import engine_of

    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise CurateError(f"workers is {workers!r}; expected a whole number from 1, or None")
    return engine_of(workers, name, address, shared)


def open(path: str | PathLike[str]) -> Run | Tokens:
    """A RUN folder as a `Run`, or a TOKENS folder as `Tokens`.

    Raises `CurateError` for a folder that is neither.
    """
    check_ours()
    from curate.renders import open_folder

    return open_folder(path)


def inspect(
    data: Data,
    *,
    tokenizer: str | None = None,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    paths: str = "best",
    answerer: str | None = None,
    undesirable: bool = False,
    max_unpacked: int | None = None,
) -> dict[str, Any]:
    """What is in a dump before anything is decided: formats, counts, lengths, likely problems.

    `data` and how it is read are as in `run`. With a `tokenizer` (a folder) lengths are in tokens
    too. The result holds plain JSON types. Raises `CurateError`.
    """
    check_ours()
    from curate import data as given

    how = _read_options(format, columns, paths, answerer, undesirable, max_unpacked)
    with changes_explained(*_given(data)):
        return given.inspect(data, how, tokenizer)


def preview(
    source: Data,
    *,
    template: str | None = None,
    tokenizer: Any = None,
    rows: int | Sequence[int] = (0,),
    turn: int | None = None,
    failures: bool = False,
    ids: bool = False,
    against: tuple[str | None, Any] | None = None,
    add_tokens: Sequence[str] = (),
    **options: Any,
) -> Preview:
    """What a model will see: the rendered text, its tokens, and which of them are trained.

    `source` is a `Run`, a `Tokens`, a folder or file of either, or rows as `run` takes them.
    `template` is a bundled template's name, a `.jinja` file, or none for the tokenizer's own.
    `tokenizer` is a folder, a hub id or a tokenizer of transformers; without one, texts are shown.
    `rows` are row numbers, `turn` shows one message alone, `failures` lists the rows that are
    refused, `ids` shows token ids, `against` is another (template, tokenizer) to compare with,
    `add_tokens` are texts that become tokens of their own, `options` those of
    `templates.RenderOptions`. Raises `CurateError`.
    """
    check_ours()
    from curate import renders

    setup = renders.Setup(template, tokenizer, add_tokens, options)
    shown = {
        "rows": (rows,) if isinstance(rows, int) else tuple(rows),
        "turn": turn,
        "failures": failures,
        "ids": ids,
    }
    with changes_explained(source):
        return renders.make_preview(source, setup, against, shown)


def render(
    source: Data,
    *,
    tokenizer: Any,
    template: str | None = None,
    out: str | PathLike[str] | None = None,
    force: bool = False,
    add_tokens: Sequence[str] = (),
    **options: Any,
) -> Tokens:
    """Render conversations into masked tokens, each row proven or refused.

    Arguments are those of `preview`. With `out` the TOKENS folder is written (`Tokens.save` does so
    later). Raises `CurateError`; rows that cannot be rendered exactly, or read, are in
    `Tokens.refused`.
    """
    check_ours()
    from curate import renders

    setup = renders.Setup(template, tokenizer, add_tokens, options)
    with changes_explained(source):
        return renders.make_tokens(source, setup, out, force)


def train(
    tokens: Tokens | str | PathLike[str],
    *,
    model: str | PathLike[str],
    out: str | PathLike[str],
    log: Log = no_log,
    **settings: Any,
) -> TrainResult:
    """Fine-tune a model on masked tokens, choose an epoch, and leave it in `out`.

    `tokens` is a `Tokens` or the folder of one, `model` a folder or hub id, `settings` are fields
    of `trainer.TrainConfig` (`preset`, `learning_rate`, `num_train_epochs`, ...). `log` gets plain
    lines. Raises `CurateError`, for instance for data that does not pass the checks.
    """
    check_ours()
    from curate import renders

    with changes_explained(tokens):
        return renders.train_on(tokens, {"model": model, "out": out, **settings}, log)


def merge(
    source: str | PathLike[str],
    *,
    out: str | PathLike[str],
    epoch: int | None = None,
    adapter: str | PathLike[str] | None = None,
    model: str | PathLike[str] | None = None,
    force: bool = False,
    log: Log = no_log,
) -> Merged:
    """Merge an adapter into its base and leave a whole model in `out`.

    `source` is a CKPT, of which the chosen epoch is merged, or `epoch`; or the folder of an adapter
    of peft. `adapter` names such a folder instead, to be put on the model in `source`. `model` is
    the base where it is not the one that the adapter names. Raises `CurateError` for what cannot be
    merged.
    """
    check_ours()
    from trainer.after import merge as merging

    return merging.merge(
        fspath(source),
        fspath(out),
        epoch=epoch,
        adapter=None if adapter is None else fspath(adapter),
        model=None if model is None else fspath(model),
        force=force,
        log=log,
    )


def diagnose(
    source: str | PathLike[str],
    texts: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    out: str | PathLike[str] | None = None,
    model: str | PathLike[str] | None = None,
    tokens: int = 4096,
    spectra: bool = True,
    device: str = "auto",
    force: bool = False,
    log: Log = no_log,
) -> Diagnosis:
    """What training changed in each layer of the model in `source`, beside its base, on `texts`.

    `source` is a CKPT, one of its epochs, or an adapter's folder; `model` is the base where that
    does not name it. Texts are files (.txt, .jsonl) or TOKENS, of which `tokens` tokens are read;
    without `spectra` nothing is computed of singular values. `out` is a page (.html) or a folder.
    Raises `CurateError`.
    """
    check_ours()
    from curate.evals import diagnosis

    named = [texts] if isinstance(texts, str | PathLike) else list(texts)
    return diagnosis.diagnose(source, named, out, model, tokens, spectra, device, force, log)


def teacher(
    tokens: Tokens | str | PathLike[str],
    *,
    model: str | PathLike[str],
    out: str | PathLike[str],
    top: int = 50,
    temperature: float = 1.0,
    dtype: str = "float32",
    device: str = "auto",
    force: bool = False,
    log: Log = no_log,
) -> Logits:
    """Write what a model would say at every trained token, to train a smaller one on.

    `tokens` is a `Tokens` or the folder of one, `model` the teacher. The folder `out` holds the
    `top` likeliest words of each target and the probability of all others together, at a
    `temperature`; it is the `teacher` of `curate.train`. Raises `CurateError`.
    """
    check_ours()
    from curate import renders

    how = {"top": top, "temperature": temperature, "dtype": dtype, "device": device, "force": force}
    return renders.teach_on(tokens, fspath(model), fspath(out), how, log)


def evaluate_labels(
    source: str | PathLike[str],
    data: str | PathLike[str],
    *,
    labels: str | PathLike[str] | Sequence[str] | Mapping[str, str],
    field: str | None = None,
    against: Sequence[str | PathLike[str]] = (),
    model: str | PathLike[str] | None = None,
    template: str | None = None,
    scoring: Scoring = "sum",
    prior: Prior = "model",
    seed: int = 0,
    device: str = "auto",
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    out: str | PathLike[str] | None = None,
    force: bool = False,
    log: Log = no_log,
) -> LabelEvaluation:
    """Measure models as classifiers of labelled rows, with intervals over the rows.

    `source` is a CKPT, an adapter or a model's folder, `against` others that are measured on the
    same rows, `model` the base of the adapter where it is not the one it names. `data` is a TOKENS
    folder, whose trained answers are the labels, or a file or RUN; `format` and `columns` say how
    to read it, and each model's own template (or `template`) writes its prompts.

    `labels` is a list of classes, a file of them, an object that gives the class for what a row
    holds, the field of a row that holds its label, or `auto`: the last answers of the rows. With a
    list, `field` is where the label is if it is not the last answer. `scoring` is sum, mean, trie
    or generate; with `prior` even no class has a lead over all rows. `seed` draws the rows of the
    intervals. `out` is a folder for all of it, each row too. Raises `CurateError` for what cannot
    be evaluated; rows that cannot be are in `LabelEvaluation.left_out`.
    """
    check_ours()
    require("evaluating", "train", "torch", "transformers", "datasets", "peft")
    from curate.evals import label_data
    from curate.evals.label_folder import evaluate_into
    from curate.evals.labels import LabelOptions, check_options, evaluate

    base = None if model is None else fspath(model)
    options = LabelOptions(scoring=scoring, prior=prior, base=base, device=device, seed=seed)
    check_options(options)
    models = [fspath(each) for each in (source, *against)]
    how = _read_options(format, columns, "best", None, False)
    with changes_explained(data):
        rows = label_data.read(data, labels, field, template, how)
    if out is None:
        return evaluate(models, rows, options, log)
    return evaluate_into(out, models, rows, options, force, log)


def evaluate_suite(
    source: str | PathLike[str],
    files: Sequence[str | PathLike[str]] = (),
    *,
    against: Sequence[str | PathLike[str]] = (),
    model: str | PathLike[str] | None = None,
    reference: str | PathLike[str] | None = None,
    template: str | None = None,
    only: Sequence[str] | None = None,
    max_rows: int | None = 500,
    prompts: int = 300,
    max_tokens: int = 256,
    temperature: float = 0.0,
    seed: int = 0,
    device: str = "auto",
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    out: str | PathLike[str] | None = None,
    force: bool = False,
    log: Log = no_log,
) -> SuiteEvaluation:
    """Measure models on held-out files and on instructions that code can check.

    `source` is a CKPT, an adapter or a model's folder, `against` others that are measured on the
    same rows, `model` the base of an adapter where it is not the one it names. `files` are
    conversations in any shape, a RUN, TOKENS folders, or texts (`.txt`). `reference` is a RUN or
    file whose answers' lengths are compared with, instead of each file's own. `template` is asked
    with instead of each model's own. `only` are some of loss, stops, lengths, instructions. Of a
    file at most `max_rows` rows are taken, drawn by the seed (None for all). Answers have at most
    `max_tokens` tokens. `format` and `columns` say how to read files, as in `run`. With `out` all
    numbers and answers are written to a folder, and a run that was interrupted goes on. Raises
    `CurateError`.
    """
    check_ours()
    require("evaluating", "train", "torch", "transformers", "datasets", "peft")
    from curate.evals.suite import evaluate
    from curate.evals.suite_results import PARTS, SuiteOptions

    options = SuiteOptions(
        only=PARTS if only is None else tuple(part.strip() for part in only),
        template=template,
        max_rows=max_rows,
        prompts=prompts,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        device=device,
        base=None if model is None else fspath(model),
    )
    others, given = (
        [each] if isinstance(each, str | PathLike) else list(each) for each in (against, files)
    )
    models = [fspath(each) for each in (source, *others)]
    how = _read_options(format, columns, "best", None, False)
    with changes_explained(*given):
        return evaluate(models, given, options, how, reference, out, force, log)


def export(
    source: Run | Tokens | str | PathLike[str],
    *,
    to: str,
    out: str | PathLike[str],
    model: str | PathLike[str] | None = None,
    force: bool = False,
) -> Exported:
    """Write a run or tokens as another tool reads them, with a configuration that it runs.

    `source` is a `Run`, a `Tokens`, or the folder of either; `to` is trl, axolotl, llamafactory, or
    hub (a dataset card). `model` stands in the configuration: a folder or hub id. Rows that the
    tool cannot express are in `Exported.left_out`, each with its reason. Raises `CurateError`.
    """
    check_ours()
    from curate.exports.export import export

    with changes_explained(source):
        return export(source, to, out, model, force)


def export_gguf(
    source: str | PathLike[str],
    *,
    out: str | PathLike[str],
    number_format: str | None = None,
    force: bool = False,
    log: Log = no_log,
) -> ExportedGguf:
    """Write a model as one GGUF file, with its tokenizer, template and stops, for llama.cpp.

    `source` is a CKPT or any model's folder; an adapter is merged first (`curate.merge`).
    `number_format` is f32, f16 or bf16, the checkpoint's own where none is given. Raises
    `CurateError` for an architecture that llama.cpp's own converter must be used for.
    """
    check_ours()
    from trainer.after.gguf.export import export

    return export(fspath(source), fspath(out), number_format=number_format, force=force, log=log)


def baselines(run: Any, out: str | PathLike[str], force: bool = False) -> dict[str, int]:
    """Write the sets that a run's selection is to be compared with, one file each.

    `run` is a `Run` or its folder. Gives rows by file name. Raises `CurateError`.
    """
    check_ours()
    from curate.pipeline.baselines import write_baselines
    from curate.runs import Run

    with changes_explained(run):
        return write_baselines(run.path if isinstance(run, Run) else Path(run), out, force)


def _given(data: Data) -> Sequence[Any]:
    """What was given, one by one."""
    return data if isinstance(data, list | tuple) else [data]


def _read_options(
    format: str | None,
    columns: Mapping[str, str] | None,
    paths: str,
    answerer: str | None,
    undesirable: bool,
    max_unpacked: int | None = None,
) -> Any:
    from curate import sources

    named = dict(columns or {})
    return sources.ReadOptions(format, named, paths, answerer, undesirable, max_unpacked)
