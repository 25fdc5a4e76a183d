"""One model on all files: its losses, its answers, and what they are like."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import templates
from curate.base.errors import CurateError
from curate.base.log import Log
from curate.base.progress import quiet_transformers
from curate.evals import suite_rows
from curate.evals.suite_files import SuiteFile, records_of
from curate.evals.suite_results import FileResult, ModelResult, SuiteOptions
from curate.evals.suite_rows import Format, ModelRows
from trainer.after import chat
from trainer.after.chat import Sampling, Talker
from trainer.after.suite import lengths, loss_results, losses, stops
from trainer.after.suite.asking import Asked, Kept, Written, ask
from trainer.after.suite.identity import model_hash
from trainer.after.suite.instructions import scoring
from trainer.after.suite.instructions.prompts import InstructionPrompt, make_prompts
from trainer.after.suite.instructions.scoring import PromptVerdict
from trainer.after.suite.lengths import AnswerLength
from trainer.after.suite.losses import RowLoss
from trainer.after.suite.stops import AnswerState

Reference = tuple[Sequence[str], Sequence[str]]  # texts, task groups
INSTRUCTIONS = "instructions"


@dataclasses.dataclass
class FileRows:
    """What is known of each row of a file, by the keys that name it in any model's rows."""

    losses: dict[str, RowLoss] = dataclasses.field(default_factory=dict)
    states: dict[str, AnswerState] = dataclasses.field(default_factory=dict)
    lengths: dict[str, AnswerLength] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Measured:
    """A model's results, and the rows behind them, which those of another are compared with."""

    result: ModelResult
    files: tuple[FileRows, ...]
    verdicts: tuple[PromptVerdict, ...]
    answers: tuple[Written, ...]
    notices: tuple[str, ...]


@dataclasses.dataclass
class SuiteRun:
    """One model under way: everything that is the same for all of its files."""

    model: str
    hash: str
    talker: Talker
    options: SuiteOptions
    reference: Reference | None
    kept: Kept
    log: Log
    format: Format | None = None
    answers: list[Written] = dataclasses.field(default_factory=list)
    notices: list[str] = dataclasses.field(default_factory=list)

    def measure(self, files: Sequence[SuiteFile]) -> Measured:
        """The model on every file, and on instructions."""
        found = [self._file(file) for file in files]
        verdicts = self._instructions() if INSTRUCTIONS in self.options.only else ()
        result = ModelResult(
            self.model,
            self.hash,
            {} if self.format is None else self.format.as_dict(),
            {"ids": sorted(self.talker.stop_ids), "strings": list(self.talker.stop_strings)},
            tuple(result for result, _ in found),
            scoring.summarize(verdicts, self.options.seed) if verdicts else None,
        )
        rows = tuple(rows for _, rows in found)
        return Measured(result, rows, verdicts, tuple(self.answers), tuple(self.notices))

    def _file(self, file: SuiteFile) -> tuple[FileResult, FileRows]:
        self.log(f"{self.model} on {file.name}")
        if file.text is not None:
            return self._text(file, file.text)
        rows = self._rows(file)
        if not len(rows.rows):
            reasons = ", ".join(f"{count:,} {name}" for name, count in rows.left_out.items())
            raise CurateError(f"{file.name}: {self.model} can read none of its rows ({reasons})")
        made, found = FileResult(file.name, len(rows.rows), rows.left_out), FileRows()
        if "loss" in self.options.only:
            scored = losses.row_losses(self.talker, rows.rows, self.log)
            found.losses = dict(zip(rows.keys, scored, strict=True))
            made = dataclasses.replace(made, loss=loss_results.summarize(scored, self.options.seed))
        self._check_known(file, made)
        return (self._answered(file, rows, made, found) if self.options.answers else made), found

    def _check_known(self, file: SuiteFile, made: FileResult) -> None:
        if made.loss is not None and made.loss.unknown:
            self.notices.append(
                f"{file.name}: {made.loss.unknown:,} of {made.loss.tokens:,} tokens are unknown to "
                f"the tokenizer of {self.model}, so its bits per byte are too low"
            )

    def _text(self, file: SuiteFile, text: str) -> tuple[FileResult, FileRows]:
        """A text has no answers: its loss alone is measured."""
        if "loss" not in self.options.only:
            return FileResult(file.name, 0, {}), FileRows()
        scored, unscored = losses.text_losses(self.talker, text, self.log)
        found = loss_results.summarize(scored, self.options.seed)
        made = FileResult(file.name, len(scored), {}, unscored_bytes=unscored, loss=found)
        self._check_known(file, made)
        return made, FileRows({each.id: each for each in scored})

    def _rows(self, file: SuiteFile) -> ModelRows:
        if file.tokens is not None:
            manifest = file.tokens
            self.talker = dataclasses.replace(
                self.talker,
                stop_ids=self.talker.stop_ids | set(manifest.stop_ids),
                stop_strings=tuple(
                    dict.fromkeys([*self.talker.stop_strings, *manifest.stop_strings])
                ),
            )
            return suite_rows.token_rows(
                self.talker, file, self.options.max_rows, self.options.seed
            )
        assert file.records is not None
        rendered = suite_rows.render(file.name, file.records, self._asked_with())
        self._stops_of(rendered)
        return suite_rows.rendered_rows(self.talker, file, rendered)

    def _asked_with(self) -> Format:
        """The template, chosen when one is needed first."""
        if self.format is None:
            self.format = suite_rows.format_of(self.talker, self.options.template)
            if self.format.is_assumed:
                self.notices.append(
                    f"{self.model}: has no chat template; it is asked with the plain template "
                    f"{suite_rows.PLAIN!r} (--template names another)"
                )
        return self.format

    def _stops_of(self, rendered: templates.Rendered) -> None:
        self.talker = suite_rows.with_stops(self.talker, rendered)
        none = f"{self.model}: no folder and no template names a stop, so every answer goes on to "
        none += "the cap"
        if not self.talker.stop_ids and not self.talker.stop_strings and none not in self.notices:
            self.notices.append(none)

    def _answered(
        self, file: SuiteFile, rows: ModelRows, made: FileResult, found: FileRows
    ) -> FileResult:
        asked, numbers, left = rows.asked(file.name, self.talker)
        asked, numbers = asked[: self.options.max_answers], numbers[: self.options.max_answers]
        made = dataclasses.replace(made, no_prompt=left)
        if not asked:
            return made
        written = self._ask(asked)
        controls = stops.control_texts(self.talker)
        states = [stops.state_of(each, controls) for each in written]
        groups = [rows.groups[row] for row in numbers]
        sizes = [
            lengths.measure(each.answer, each.tokens, group)
            for each, group in zip(written, groups, strict=True)
        ]
        keys = [each.id for each in asked]
        found.states = dict(zip(keys, states, strict=True))
        found.lengths = dict(zip(keys, sizes, strict=True))
        cap, seed = self.options.max_tokens, self.options.seed
        own = [
            lengths.measure(last.text, len(last.ids), group)
            for last, group in ((rows.last[row], rows.groups[row]) for row in numbers)
        ]
        at_cap = sum(not each.stopped for each in written)
        only = self.options.only
        return dataclasses.replace(
            made,
            stops=stops.summarize(states, cap, seed) if "stops" in only else None,
            lengths=(
                lengths.compare(sizes, self._reference or own, at_cap)
                if "lengths" in only
                else None
            ),
        )

    @cached_property
    def _reference(self) -> list[AnswerLength]:
        """The lengths of the reference's answers, in this model's tokens."""
        if self.reference is None:
            return []
        texts, groups = self.reference
        encode = self.talker.tokenizer
        with quiet_transformers():  # which warns of a text that is longer than the positions
            sizes = [len(encode(text, add_special_tokens=False)["input_ids"]) for text in texts]
        return [
            lengths.measure(text, size, group)
            for text, size, group in zip(texts, sizes, groups, strict=True)
        ]

    def _instructions(self) -> tuple[PromptVerdict, ...]:
        count = min(self.options.prompts, self.options.max_rows or self.options.prompts)
        prompts = make_prompts(count, self.options.seed)
        self.log(f"{self.model} on {len(prompts):,} prompts with instructions")
        asked = self._as_asked(prompts)
        written = {each.id: each.answer for each in self._ask(asked)}
        if left := len(prompts) - len(asked):
            self.notices.append(
                f"{self.model}: {left:,} of {len(prompts):,} prompts with instructions leave no "
                "room for an answer; they are left out"
            )
        return tuple(
            scoring.judge(prompt, written[str(prompt.number)])
            for prompt in prompts
            if str(prompt.number) in written
        )

    def _as_asked(self, prompts: Sequence[InstructionPrompt]) -> list[Asked]:
        records = records_of([each.text for each in prompts])
        rendered = suite_rows.render(INSTRUCTIONS, records, self._asked_with())
        self._stops_of(rendered)
        ids = rendered.examples.select("row", "input_ids", "labels").iter_rows()
        return [
            Asked(INSTRUCTIONS, str(prompts[row].number), prompt)
            for row, tokens, labels in ids
            for prompt in [tuple(tokens[: suite_rows.first_trained(labels)])]
            if self.talker.room(prompt, 1)
        ]

    def _ask(self, asked: Sequence[Asked]) -> list[Written]:
        options = self.options
        sampling = Sampling(options.temperature, options.max_tokens, options.seed)
        written = ask(self.talker, self.model, self.hash, asked, sampling, self.kept, self.log)
        self.answers += written
        return written


def measure(
    model: str,
    base: str | None,
    files: Sequence[SuiteFile],
    options: SuiteOptions,
    reference: Reference | None,
    kept: Kept,
    log: Log,
) -> Measured:
    """Load a model and measure it. Raises `CurateError` for what is none, or cannot be asked."""
    log(f"loading {model}")
    talker = chat.load(model, base, options.device, with_template=False)
    run = SuiteRun(model, model_hash(model, base), talker, options, reference, kept, log)
    return run.measure(files)
