"""What a step measures of the rows that are still kept: looked up where it is known, else computed.

Rows are measured in pieces whose boundaries follow from the input alone, so that neither the engine
nor what is known already changes what is computed together.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.base.contract import Filter, hold
from curate.base.parts import Part
from curate.base.schema import TEXTS, text_of, with_text
from curate.pipeline.cache import MeasureCache, StepCache, piece_name
from curate.pipeline.engine import Engine, Here
from curate.pipeline.frames import FolderFrames, Frames
from curate.pipeline.identity import measure_name

Bools = npt.NDArray[np.bool_]

# Rows that are measured together where a step loops over rows: what one worker gets at a time.
LOOPED = 5_000
# The same where measures are kept between runs: what a killed run loses at most.
CACHED = 20_000
# Below this many rows starting a process costs more than it saves.
SPREAD_FROM = 4_000


@dataclass(frozen=True)
class Rows:
    """Some rows of a part: of those from `start` to `stop` the ones that `wanted` (bits) marks.

    A worker gets no more of a frame in memory than these rows; `offset` of it were left behind.
    """

    part: Part
    start: int
    stop: int
    wanted: bytes
    offset: int = 0

    @classmethod
    def of(cls, part: Part, start: int, wanted: Bools) -> Rows:
        """The rows from `start` on that are wanted."""
        return cls(part, start, start + len(wanted), np.packbits(wanted).tobytes())

    def __reduce__(self) -> tuple[type[Rows], tuple[Part, int, int, bytes, int]]:
        part, offset = self.part, self.offset
        if part.frame is not None:
            frame = part.stretch(self.start - offset, self.stop - offset)
            part, offset = dataclasses.replace(part, frame=frame), self.start
        return Rows, (part, self.start, self.stop, self.wanted, offset)

    @property
    def name(self) -> str:
        """Where they stand in the input."""
        return f"{self.part.number:05}-{self.start:06}"

    @property
    def mask(self) -> Bools:
        """Which rows of the stretch are wanted."""
        bits = np.frombuffer(self.wanted, dtype=np.uint8)
        return np.unpackbits(bits, count=self.stop - self.start).astype(bool)

    def only(self, chosen: npt.NDArray[np.integer]) -> Rows:
        """Those of the wanted rows at these places among them."""
        mask = np.zeros(self.stop - self.start, dtype=bool)
        mask[np.flatnonzero(self.mask)[chosen]] = True
        bits = np.packbits(mask).tobytes()
        return dataclasses.replace(self, wanted=bits)

    def load(self) -> pl.DataFrame:
        """The records."""
        records = self.part.stretch(self.start - self.offset, self.stop - self.offset)
        mask = self.mask
        return records if mask.all() else records.filter(pl.Series(mask))


def read_columns(records: pl.DataFrame, reads: Sequence[str] | None) -> pl.DataFrame:
    """Of records, and their texts, the columns that a step reads and no others; None: all."""
    if reads is None:
        return with_text(records)
    texts = {
        name: text_of(pl.col("messages"), assistant=name == "response")
        for name in TEXTS
        if name in reads and name not in records.columns
    }
    return records.with_columns(**texts).select(reads)


@dataclass(frozen=True)
class Measure:
    """The task: what one step measures of some rows.

    The answer is the measures; with `answers` they are left there, under `folder` and the name of
    the rows.
    """

    step: Filter
    label: str
    folder: str = ""
    answers: FolderFrames | None = None

    def __call__(self, item: Rows) -> pl.DataFrame | None:
        """Measure these rows."""
        measured = self.of(item)
        if self.answers is None:
            return measured
        self.answers.put(f"{self.folder}/{item.name}.answer", measured)
        return None

    def of(self, item: Rows) -> pl.DataFrame:
        """The measures of these rows, checked to be theirs."""
        # Here and in a worker alike, lest a column that `reads` forgets be missed only there.
        records = read_columns(item.load(), self.step.reads)
        measured = self.step.measure(records)
        is_frame = isinstance(measured, pl.DataFrame)
        what = type(measured).__name__
        hold(is_frame, self.label, f"measure gave {what}; expected pl.DataFrame")
        hold(measured.height == records.height, self.label, "measure changed the number of rows")
        return measured

    def about(self, item: Rows) -> str:
        """See `Task`."""
        return f"step {self.label!r}, part {item.part.number + 1}"


class _Piece:
    """A stretch of a part: which of its rows are wanted, and what is known of them."""

    def __init__(self, rows: Rows, keys: pl.DataFrame, on: list[str]) -> None:
        self.rows, self.on = rows, on
        self.every = keys  # `row` and `id` of the whole stretch
        self.keys = keys.filter(pl.Series(rows.mask))
        self.known = self.keys.select(on).clear()
        self.asked = self.keys.clear()  # those that are measured now
        self.found = 0  # rows that were known before

    @property
    def unknown(self) -> pl.DataFrame:
        """`row` and `id` of the wanted rows that nothing is known of, and their places (`at`)."""
        wanted = self.keys.with_row_index("at")
        if not self.known.height:
            return wanted
        return wanted.join(
            self.known.select(self.on), on=self.on, how="anti", maintain_order="left"
        )

    @property
    def missing(self) -> pl.DataFrame:
        """`unknown`, of equal ones the first."""
        return self.unknown.unique(self.on, keep="first", maintain_order=True)

    @property
    def asked_rows(self) -> Rows:
        """The rows that are measured now."""
        return self.rows.only(self.asked["at"].to_numpy())

    def learn(self, more: pl.DataFrame) -> None:
        """Add measures with their keys."""
        if not self.known.height and more.columns[: len(self.on)] == self.on:
            self.known = more  # not copied
            return
        more = more.join(self.known.select(self.on), on=self.on, how="anti", maintain_order="left")
        self.known = pl.concat([self.known, more], how="diagonal_relaxed")

    def measures(self) -> pl.DataFrame:
        """What is known of the wanted rows, in their order, without keys."""
        wanted = self.keys.select(self.on)
        if wanted.equals(self.known.select(self.on)):
            return self.known.drop(self.on)
        found = wanted.join(self.known, on=self.on, how="left", maintain_order="left")
        return found.drop(self.on)


class Measures:
    """Measures steps over parts with an engine, and remembers.

    `frames` belong to one input: they serve a run that goes on where it was cut off, and one that
    is judged anew. `cache` serves any run.
    """

    def __init__(
        self,
        engine: Engine | None = None,
        cache: MeasureCache | None = None,
        frames: Frames | None = None,
    ) -> None:
        self.engine, self.cache, self.frames = engine or Here(), cache, frames

    def of(
        self,
        label: str,
        step: Filter,
        parts: Sequence[Part],
        keys: pl.DataFrame,
        alive: Bools,
        tick: Callable[[int, int], None] = lambda rows, known: None,
        context: str = "",
    ) -> pl.DataFrame:
        """What `step` measures of the rows that are `alive` (n,), in order.

        `keys` (n rows) are the `row` and `id` of all rows. `tick` hears of rows that are done, and
        how many of them were known. `context` says what measures that are not kept by content
        depend on beside the rows and the settings. Raises `CurateError`, also what the step raises.
        """
        pieces = _Measuring(self, label, step, context).over(parts, keys, alive)
        measured = []
        for piece in pieces:
            measured.append(piece.measures())
            tick(piece.keys.height, piece.found)
        if not measured:  # of no rows: the columns alone
            return Measure(step, label).of(Rows.of(_none(parts), 0, np.zeros(0, bool)))
        # In one piece: numpy then sees the very memory of lists and numbers, and copies nothing.
        # A step that leaves types to guess gives other ones for a piece where nothing was found.
        return pl.concat(measured, how="vertical_relaxed", rechunk=True)


def _none(parts: Sequence[Part]) -> Part:
    return dataclasses.replace(parts[0], height=0) if parts else Part(0, 0, 0, pl.DataFrame())


class _Measuring:
    """One step's measures."""

    def __init__(self, measures: Measures, label: str, step: Filter, context: str) -> None:
        self.label, self.step = label, step
        self.name = measure_name(step) + context
        self.engine = measures.engine
        # A step that asks keeps its answers itself, and asks again what failed.
        self.frames = None if step.asks else measures.frames
        self.cache: StepCache | None = measures.cache.of(step) if measures.cache else None
        # Kept between runs, measures depend on the content alone.
        self.on = ["id"] if step.cached else ["row", "id"]
        self._shapes: list[dict[str, str]] = []  # of no rows, then of one

    def over(self, parts: Sequence[Part], keys: pl.DataFrame, alive: Bools) -> Iterator[_Piece]:
        """All pieces in order, each once all of its rows are known."""
        spread = self.step.per_row and int(alive.sum()) >= SPREAD_FROM
        engine = self.engine if spread else Here()
        # What another process measured of many rows comes back as a file.
        apart = self.frames if not isinstance(engine, Here) else None
        answers = apart if isinstance(apart, FolderFrames) else None
        task = Measure(self.step, self.label, self.name, answers)
        looked_up: deque[_Piece] = deque()

        def items() -> Iterator[Rows]:
            for rows in self._stretches(parts, alive):
                start = rows.part.start + rows.start
                piece = _Piece(rows, keys.slice(start, rows.stop - rows.start), self.on)
                self._look_up(piece)
                piece.asked = piece.missing
                piece.found = piece.keys.height - piece.unknown.height
                looked_up.append(piece)
                if piece.asked.height:
                    yield piece.asked_rows

        for answer in engine.map(task, items()):
            while not looked_up[0].asked.height:
                yield looked_up.popleft()
            piece = looked_up.popleft()
            self._keep(piece, answer)
            yield piece
        yield from looked_up

    def _stretches(self, parts: Sequence[Part], alive: Bools) -> Iterator[Rows]:
        size = LOOPED if self.step.per_row else CACHED if self.step.cached else None
        size = self.step.rows_at_once or size
        for part in parts:
            mask = alive[part.start : part.start + part.height]
            for start in range(0, part.height, size or max(part.height, 1)):
                wanted = mask[start : start + size] if size else mask
                if wanted.any():
                    yield Rows.of(part, start, wanted)

    def _look_up(self, piece: _Piece) -> None:
        name = f"{self.name}/{piece.rows.name}"
        if self.frames is not None and (own := self.frames.get(name)) is not None:
            if isinstance(self.frames, FolderFrames):
                self._learn(piece, own)
            else:
                piece.learn(own)  # this very process measured it
        if self.cache is None or not piece.missing.height:
            return
        self._learn(piece, self.cache.get(piece_name(piece.every["id"])))
        if (missing := piece.missing).height:
            for found in self.cache.find(missing["id"]):
                self._learn(piece, found)

    def _learn(self, piece: _Piece, found: pl.DataFrame | None) -> None:
        """Believe what was kept, if it has the columns and types that are measured now."""
        if found is not None and self._is_measured(found.drop(self.on, strict=False).schema, piece):
            piece.learn(found)

    def _is_measured(self, schema: pl.Schema, piece: _Piece) -> bool:
        """Whether the step measures these columns: of no rows, or else of one.

        A step that leaves types to guess gives other ones for no rows.
        """
        shape = _shape(schema)
        return shape in self._shapes or any(
            self._shape_of(piece, rows) == shape for rows in range(len(self._shapes), 2)
        )

    def _shape_of(self, piece: _Piece, rows: int) -> dict[str, str]:
        measured = Measure(self.step, self.label).of(piece.rows.only(np.arange(rows)))
        self._shapes.append(_shape(measured.schema))
        return self._shapes[-1]

    def _keep(self, piece: _Piece, answer: pl.DataFrame | None) -> None:
        """Learn what was measured, and keep it."""
        name = f"{self.name}/{piece.rows.name}"
        if answer is None:
            assert isinstance(self.frames, FolderFrames)
            answer = self.frames.get(f"{name}.answer")
            self.frames.remove(f"{name}.answer")
            if answer is None:  # taken away, or damaged on the disk
                answer = Measure(self.step, self.label).of(piece.asked_rows)
        measured = pl.concat([piece.asked.select(self.on), answer], how="horizontal")
        piece.learn(measured)
        if self.frames is not None:
            self.frames.put(name, piece.known)
        if self.cache is not None:
            self.cache.put(piece_name(piece.every["id"]), piece.known)


def _shape(schema: pl.Schema) -> dict[str, str]:
    """Names and types; how wide vectors are is known only once there is one."""
    return {
        name: f"vectors of {kind.inner}" if isinstance(kind, pl.Array) else str(kind)
        for name, kind in schema.items()
    }
