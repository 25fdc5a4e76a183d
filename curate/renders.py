"""What rendering gives back, a preview or masked tokens, and how both are made."""

from __future__ import annotations

import html
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import polars as pl

import templates
from curate.base.errors import CurateError
from curate.base.extras import require
from curate.base.folder import changes_explained, check_out, copy_folder
from curate.base.log import Log
from curate.base.places import short_of_space
from curate.base.replacing import NAMELESS, Kind, check_replaced
from curate.base.settings import known_settings
from curate.base.spelling import option
from curate.base.terminal import printable_line
from curate.data import Data, Source, paths_of, read_data
from curate.pipeline import run_folder
from curate.pipeline.run_folder import RunFolder, is_run
from curate.runs import Run
from curate.sources import DETECTED, Dump, ReadOptions

if TYPE_CHECKING:
    import datasets

    from trainer import TrainResult
    from trainer.teaching import Logits

Style = Literal["ansi", "text", "html", "json"]


def open_folder(path: Source) -> Run | Tokens:
    """A RUN or a TOKENS folder; `CurateError` where it is neither."""
    place = Path(path)
    if templates.is_tokens(place):
        return Tokens(place)
    if is_run(place):
        return Run(place)
    raise CurateError(f"{path}: neither a folder of curate run nor of curate render")


@dataclass(frozen=True)
class Preview:
    """What a model will see: `str()` gives text, `.html` a page, `.data` plain JSON types."""

    make: Callable[[Style], str]
    notices: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.make("text")

    def __repr__(self) -> str:
        return self.make("ansi")

    def _repr_html_(self) -> str:
        # In a frame of its own: the page's styles stay inside, and nothing in it can run.
        page = html.escape(self.html)
        return f'<iframe sandbox srcdoc="{page}" style="width:100%;height:32em;border:0"></iframe>'

    @property
    def html(self) -> str:
        """A page that needs nothing else; all data in it is escaped."""
        return self.make("html")

    @property
    def data(self) -> dict[str, Any]:
        """Rows, parts and statistics as plain JSON types."""
        shown: dict[str, Any] = json.loads(self.make("json"))
        return shown


class Tokens:
    """Masked tokens: what `curate.render` made, or a TOKENS folder.

    `path` is the folder, None until it is saved; `notices` what a user should know.
    """

    def __init__(
        self,
        source: Path | templates.Rendered,
        matched: templates.Matched | None = None,
        notices: Sequence[str] = (),
        sources: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self.path = source if isinstance(source, Path) else None
        self.rendered = None if isinstance(source, Path) else source
        self.notices = tuple(notices)
        self._matched, self._sources = matched, sources

    def __repr__(self) -> str:
        where = f"Tokens in {self.path}" if self.path else "Tokens, not saved"
        return f"{where}: {self.examples.height:,} examples, {self.refused.height:,} rows refused"

    @cached_property
    def _folder(self) -> templates.Tokens:
        assert self.path is not None
        return templates.read(self.path)

    @property
    def examples(self) -> pl.DataFrame:
        """One row an example: id, row, input_ids, labels (-100: not trained), turns, source."""
        return (self.rendered or self._folder).examples

    @property
    def refused(self) -> pl.DataFrame:
        """Rows that cannot be rendered exactly, or read (`row` null): row, id, check, message."""
        return (self.rendered or self._folder).refused

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Template, tokenizer, stops, options and counts."""
        if self.rendered is None:
            return self._folder.manifest
        return templates.manifest_of(self.rendered, self._matched, self._sources)

    @cached_property
    def dataset(self) -> datasets.Dataset:
        """What trainers read, as a `datasets.Dataset`: input_ids, labels, attention_mask.

        Of pairs also `rejected_...` of each. Line n of `examples` says what its row n is from.
        """
        require("dataset", "train", "datasets")
        if self.rendered is not None:
            return templates.to_dataset(self.rendered)
        import datasets

        _ = self._folder  # what lies there is what was written, or this says what is not
        return datasets.Dataset.load_from_disk(str(self.path))

    def summary(self) -> str:
        """One line on what was rendered, and one for each check that refused rows."""
        return self.rendered.summary() if self.rendered is not None else repr(self)

    def endings(self) -> tuple[str, ...]:
        """Where answers end, and a checkpoint that was trained on them stops; none if not known."""
        return templates.ending_lines(self.rendered.cards) if self.rendered is not None else ()

    def save(self, out: Source, force: bool = False) -> Path:
        """Write the TOKENS folder. Raises `CurateError`.

        Earlier tokens there are replaced if they were made from the same data, or with `force`.
        """
        if note := check_replaced(out, KIND, self.manifest, force):
            self.notices += (note,)
        if self.rendered is not None:
            templates.write(self.rendered, Path(out), force, self._matched, self._sources)
            self.path = Path(out)
        elif self.path is not None:
            copy_folder(self.path, out, templates.MAKER, force)
        return Path(out)


def _tokenizer(given: Any, add: Sequence[str]) -> templates.Tokenizer | None:
    """A tokenizer by its folder or hub id, or that of an object of transformers."""
    if given is None or isinstance(given, templates.Tokenizer):
        return given
    if isinstance(given, str | PathLike):
        return templates.load_tokenizer(fspath(given), tuple(add))
    if not hasattr(given, "save_pretrained"):
        raise CurateError(
            f"tokenizer is {type(given).__name__}; expected a folder, a hub id or a tokenizer of "
            "transformers"
        )
    with tempfile.TemporaryDirectory(prefix="curate-") as folder:
        given.save_pretrained(folder)
        name = str(getattr(given, "name_or_path", "") or type(given).__name__)
        loaded = templates.load_tokenizer(folder, tuple(add))
        return replace(loaded, name=name, origin={"object": type(given).__name__})


def settings_of(manifest: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What tokens were made with: template, tokenizer, options. It may be a stranger's manifest."""
    made = {
        name: f"{part.get('name')} ({str(part.get('hash'))[:8]})"
        for name in ("template", "tokenizer")
        if isinstance(part := manifest.get(name), dict)
    }
    options = manifest.get("options")
    # As JSON has them: a list where the options themselves have a tuple.
    given = json.loads(json.dumps(options, default=str)) if isinstance(options, dict) else {}
    return {"": made | {name: str(value) for name, value in given.items()}}


# What tokens are, beside others that take the same folder.
KIND = Kind(templates.MAKER, "tokens", settings_of)


def read_source(source: Data, tell: Log, how: ReadOptions = DETECTED) -> Dump:
    """What to render: a run's kept rows, a dump's, or rows in memory.

    A run's rows are read as they are, whatever `how` says. `tell` hears of rows that cannot be
    read, here or in the run before. Raises `CurateError` where there is no readable row.
    """
    if (run := _run_of(source)) is not None:
        run.check("kept")
        source, how = run.path / run_folder.KEPT, DETECTED
        if not run.manifest["counts"]["kept"]:
            raise CurateError(
                f"{run.path}: the run kept no rows; curate report {run.path} says why"
            )
        if unread := run.manifest["counts"].get("rejects"):
            tell(
                f"the run could not read {unread:,} of its rows; they are in its rejects.jsonl, "
                "and not counted here"
            )
    elif len(paths := paths_of(source) or []) == 1 and not Path(paths[0]).exists():
        raise CurateError(f"{Path(paths[0])}: no such file or folder")
    return read_data(source, how, tell, can_map=how is not DETECTED)


def _unreadable(dump: Dump) -> list[str]:
    """Where each row is that could not be read, and why."""
    rows = (frame.select("source", "line", "reason").iter_rows() for frame in dump.reject_parts())
    return [
        printable_line(f"{source}:{line}: {reason}" if line else f"{source}: {reason}")
        for source, line, reason in chain.from_iterable(rows)
    ]


class Setup(NamedTuple):
    """How to render: a template and a tokenizer as they were named, and rendering's options."""

    template: str | None
    tokenizer: Any
    add_tokens: Sequence[str]
    options: Mapping[str, Any]


def make_preview(
    source: Data, setup: Setup, against: tuple[str | None, Any] | None, shown: Mapping[str, Any]
) -> Preview:
    """See `curate.preview`."""
    notices = list[str]()
    known = _tokenizer(setup.tokenizer, setup.add_tokens)
    how = render_options(setup.options)
    if isinstance(source, str | PathLike) and templates.is_tokens(Path(source)):
        source = Tokens(Path(source))
    chosen, other = None, None
    unreadable = list[str]()
    if isinstance(source, Tokens):
        if source.path is None:
            raise CurateError("these tokens are not saved; preview the run, or save them first")
        if against is not None or setup.template is not None:
            raise CurateError(
                f"{source.path}: a written folder is shown as it is; give a template with the RUN"
            )
        rows: pl.DataFrame | Path = source.path
    else:
        dump = read_source(source, notices.append)
        rows, unreadable = dump.records, _unreadable(dump)
        chosen = templates.load_template(setup.template, known)
        if against is not None:
            name, theirs = against[0], _tokenizer(against[1], setup.add_tokens) or known
            other = (chosen if name is None else templates.load_template(name, theirs), theirs)

    def make(style: Style) -> str:
        asked = templates.PreviewOptions(**shown, format=style, render=how)
        with changes_explained(rows):
            return templates.preview(rows, chosen, known, asked, other, unreadable)

    first = json.loads(make("json"))  # whatever is wrong is said now, not when it is shown
    if moved := first["statistics"].get("moved_thoughts"):
        notices.append(_moved(moved))
    return Preview(make, (*notices, *first["notices"]))


def _moved(count: int) -> str:
    answers = "1 answer holds thoughts" if count == 1 else f"{count:,} answers hold thoughts"
    kept = option("inline_think", "keep")
    return f"{answers} in the text; they became the reasoning that is written ({kept} leaves them)"


def render_options(options: Mapping[str, Any]) -> templates.RenderOptions:
    """Options of rendering by name; `CurateError` for an unknown one and for a wrong value."""
    known_settings(templates.RenderOptions, options, "render", templates.RENAMED)
    return templates.RenderOptions(**options)


def make_tokens(source: Data, setup: Setup, out: Source | None, force: bool) -> Tokens:
    """See `curate.render`."""
    notices = list[str]()
    how = render_options(setup.options)
    known = _tokenizer(setup.tokenizer, setup.add_tokens)
    if known is None:
        raise CurateError("render needs a tokenizer; name its folder")
    chosen = templates.load_template(setup.template, known)
    if out is not None:
        inputs = [fspath(path) for path in paths_of(source) or ()]
        if isinstance(setup.tokenizer, str | PathLike) and _holds(out, setup.tokenizer):
            inputs.append(fspath(setup.tokenizer))
        check_out(out, templates.MAKER, force, inputs, templates.FILES)
        if warning := short_of_space(out, inputs):
            notices.append(warning)
    dump = read_source(source, notices.append)
    sources = _named(source, dump)
    if out is not None:
        check_replaced(out, KIND, _planned(chosen, known, how, sources), force)
    rendered = templates.render(dump.records, chosen, known, how)
    rendered = rendered.with_unreadable(_unreadable(dump))
    notices += rendered.notices
    tokens = Tokens(rendered, _matched(source, dump.records), notices, sources)
    if out is not None:
        tokens.save(out, force)
    return tokens


def _holds(out: Source, folder: Source) -> bool:
    return Path(folder).exists() and Path(folder).resolve().is_relative_to(Path(out).resolve())


def _named(source: Data, dump: Dump) -> list[dict[str, str]]:
    """The files that the records are from, with their hashes."""
    nameless = isinstance(source, Run) and source.name in NAMELESS
    return [
        {"source": source.name if nameless else file.source, "sha256": file.sha256}
        for file in dump.files
    ]


def _planned(
    template: templates.ChatTemplate,
    tokenizer: templates.Tokenizer,
    options: templates.RenderOptions,
    sources: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    """What the manifest will say of inputs and settings, before a row was rendered."""
    return {
        "template": {"name": template.name, "hash": template.hash},
        "tokenizer": {"name": tokenizer.name, "hash": tokenizer.hash},
        "options": asdict(options),
        "sources": sources,
    }


def _run_of(source: Data) -> RunFolder | None:
    """The run that the data are; None where they are anything else."""
    paths = paths_of(source) or []
    return RunFolder(Path(paths[0])) if len(paths) == 1 and is_run(Path(paths[0])) else None


def _matched(source: Data, records: pl.DataFrame) -> templates.Matched | None:
    """What the last `length` step with a target matched a run's answers to; None without one."""
    run = _run_of(source)
    if run is None:
        return None
    steps = [step for step in run.manifest["steps"] if _has_target(step["numbers"])]
    if not steps:
        return None
    name, numbers = steps[-1]["name"], steps[-1]["numbers"]
    judged = run.ledger.filter(pl.col("step") == name, pl.col("verdict") == "keep")
    # Row n of kept.parquet is the nth row that was not dropped.
    kept = run.last_verdicts.filter(~pl.col("dropped")).with_row_index("line", offset=1)
    lengths = kept.join(judged.select("row", length="score"), on="row", how="left").drop("row")
    lengths = records.select("row", "line").join(lengths, on="line", how="left")
    median = numbers["target"]["quantiles"]["0.5"]
    return templates.Matched(name, numbers["unit"], numbers["of"], median, lengths)


def _has_target(numbers: Mapping[str, Any]) -> bool:
    """Whether these are findings of a `length` step that matched answers, not prompts."""
    target = numbers.get("target")
    return (
        isinstance(target, dict)
        and "0.5" in target.get("quantiles", ())
        and numbers.get("of") in ("response", "turn")
    )


def train_on(tokens: Tokens | Source, settings: Mapping[str, Any], log: Log) -> TrainResult:
    """See `curate.train`."""
    if not isinstance(tokens, Tokens | str | PathLike):
        raise CurateError(
            f"train takes tokens or their folder, not a {type(tokens).__name__}; curate.render "
            "makes them"
        )
    import trainer

    with _in_a_folder(tokens) as folder:
        config = trainer.TrainConfig.from_mapping({**settings, "tokens": folder})
        return trainer.train(config, log)


def teach_on(
    tokens: Tokens | Source, model: str, out: str, how: Mapping[str, Any], log: Log
) -> Logits:
    """See `curate.teacher`."""
    if not isinstance(tokens, Tokens | str | PathLike):
        raise CurateError(
            f"teacher takes tokens or their folder, not a {type(tokens).__name__}; curate.render "
            "makes them"
        )
    from trainer.teaching import teach

    with _in_a_folder(tokens) as folder:
        return teach(folder, model, out, **how, log=log)


@contextmanager
def _in_a_folder(tokens: Tokens | Source) -> Iterator[str]:
    if not isinstance(tokens, Tokens):
        yield fspath(tokens)
    elif tokens.path is not None:
        yield str(tokens.path)
    else:
        with tempfile.TemporaryDirectory(prefix="curate-") as folder:
            yield str(tokens.save(Path(folder) / "TOKENS"))
