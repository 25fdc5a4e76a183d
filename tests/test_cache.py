from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from curate.base.contract import Filter, Judgement
from curate.base.errors import CurateError
from curate.base.parts import Part
from curate.base.settings import setting
from curate.pipeline import measuring
from curate.pipeline.cache import MeasureCache, default_folder
from curate.pipeline.frames import FolderFrames
from curate.pipeline.identity import measure_name
from curate.pipeline.measuring import Measures

measured: list[int] = []


@dataclass(frozen=True)
class Slow(Filter):
    name: ClassVar[str] = "slow"
    reasons: ClassVar[Mapping[str, str]] = {"short": "too short"}
    cached: ClassVar[bool] = True
    measured_by: ClassVar[tuple[str, ...]] = ("unit",)

    limit: int = setting(1, "characters")
    unit: str = setting("chars", "what is counted")

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        if records.height:  # of none they are the columns alone
            measured.append(records.height)
        return records.select(
            size=pl.col("response").str.len_chars(), parts=pl.col("response").str.split(" ")
        )

    def judge(self, measures: pl.DataFrame) -> Judgement:
        return Judgement.of(measures["size"] >= self.limit, "short")


@pytest.fixture(autouse=True)
def fresh() -> None:
    measured.clear()


def measures(step: Filter, records: pl.DataFrame, cache: Path, alive: Any = None) -> pl.DataFrame:
    """What a run with this cache takes for the measures of the rows (that are `alive`)."""
    part = Part(0, 0, records.height, records)
    mask = np.ones(records.height, bool) if alive is None else np.array(alive)
    known = Measures(cache=MeasureCache(cache))
    return known.of(step.name, step, [part], records.select("row", "id"), mask)


def test_what_was_measured_once_is_looked_up_and_equal(tmp_path: Path, conversation: Any) -> None:
    records = conversation(("q", "a"), ("q", "b b"), ("q", "a"))
    first = measures(Slow(), records, tmp_path)
    second = measures(Slow(limit=9), records, tmp_path)
    assert measured == [2]  # two distinct contents, once
    assert first.equals(Slow().measure(records)) and second.equals(first)


def test_only_rows_that_are_new_are_measured(tmp_path: Path, conversation: Any) -> None:
    measures(Slow(), conversation(("q", "a"), ("q", "b")), tmp_path)
    more = conversation(("q", "c"), ("q", "b"), ("q", "a"), ("q", "d"))
    assert measures(Slow(), more, tmp_path)["size"].to_list() == [1, 1, 1, 1]
    assert measured == [2, 2]


def test_rows_that_an_earlier_step_kept_this_time_are_measured_and_no_others(
    tmp_path: Path, conversation: Any
) -> None:
    records = conversation(("q", "a"), ("q", "bb"), ("q", "ccc"), ("q", "dddd"))
    measures(Slow(), records, tmp_path, [True, False, True, False])
    again = measures(Slow(), records, tmp_path, [True, True, False, False])
    assert again["size"].to_list() == [1, 2]
    everything = measures(Slow(), records, tmp_path)
    assert everything["size"].to_list() == [1, 2, 3, 4]
    assert measured == [2, 1, 1]


def test_a_setting_that_changes_the_measure_is_another_measure(
    tmp_path: Path, conversation: Any
) -> None:
    for unit in ("chars", "words", "chars"):
        measures(Slow(unit=unit), conversation(("q", "a")), tmp_path)
    assert measured == [1, 1]


whole = Slow.measure


def interrupted(step: Slow, records: pl.DataFrame) -> pl.DataFrame:
    """Stops as a person stops a run, before the third piece."""
    if len(measured) == 2 and records.height:
        raise KeyboardInterrupt
    return whole(step, records)


def test_a_run_that_was_cut_off_goes_on_where_it_was(
    tmp_path: Path, conversation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "CACHED", 2)
    records = conversation(*[("q", "x" * n) for n in range(7)])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Slow, "measure", interrupted)
        measures(Slow(), records, tmp_path)
    resumed = measures(Slow(), records, tmp_path)
    assert measured == [2, 2, 2, 1]
    assert resumed["size"].to_list() == list(range(7))


def entries(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*.frame"))


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("damage", [cut, flipped, lambda data: b""])
def test_a_damaged_piece_is_measured_again(tmp_path: Path, conversation: Any, damage: Any) -> None:
    records = conversation(("q", "a"))
    measures(Slow(), records, tmp_path)
    (piece,) = entries(tmp_path)
    piece.write_bytes(damage(piece.read_bytes()))
    again = measures(Slow(), records, tmp_path)
    assert measured == [1, 1] and again["size"].to_list() == [1]


def test_what_somebody_else_wrote_changes_no_number(tmp_path: Path, conversation: Any) -> None:
    records = conversation(("q", "a"))
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    measures(Slow(), records, mine)
    measures(Slow(), conversation(("q", "much longer")), theirs)
    (own,), (other,) = entries(mine), entries(theirs)
    own.write_bytes(other.read_bytes())  # made with another key
    assert measures(Slow(), records, mine)["size"].to_list() == [1]
    own.parent.joinpath("extra.frame").write_bytes(own.read_bytes())  # ours, of another name
    plain = pl.DataFrame({"id": records["id"], "size": [7], "parts": [["a"]]})
    plain.write_ipc(own.parent / "plain.frame")
    plain.write_ipc(own)
    assert measures(Slow(), records, mine)["size"].to_list() == [1]
    assert measured == [1, 1, 1, 1]


@dataclass(frozen=True)
class Wider(Slow):
    """What `Slow` became, and nobody counted its version up."""

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return super().measure(records).with_columns(more=pl.lit(1.5))


@dataclass(frozen=True)
class Retyped(Slow):
    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return super().measure(records).with_columns(pl.col("size").cast(pl.Float32))


for later in (Wider, Retyped):
    later.__qualname__ = Slow.__qualname__


@pytest.mark.parametrize("step", [Wider(), Retyped()])
def test_measures_with_other_columns_or_types_are_made_anew(
    tmp_path: Path, conversation: Any, step: Slow
) -> None:
    records = conversation(("q", "a"), ("q", "b"))
    measures(Slow(), records, tmp_path, [True, False])
    for _ in range(2):
        now = measures(step, records, tmp_path)
        assert now.equals(step.measure(records))
    assert measured == [1, 1, 2, 2, 2]  # the first, one to see its types, both, and by hand


@dataclass(frozen=True)
class Untyped(Slow):
    """Leaves the types of its columns to guess, and of no rows there is nothing to guess from."""

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return pl.DataFrame(super().measure(records).to_dict(as_series=False), strict=False)


def test_a_step_that_leaves_types_to_guess_is_looked_up_too(
    tmp_path: Path, conversation: Any
) -> None:
    records = conversation(("q", "a"), ("q", "b b"), ("q", "c"))
    first = measures(Untyped(), records, tmp_path)
    assert measures(Untyped(), records, tmp_path).equals(first)
    assert measured == [3, 1]  # one row, to see its types


def test_one_file_is_opened_for_a_piece_that_is_known(
    tmp_path: Path, conversation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "CACHED", 2)
    records = conversation(*[("q", "x" * n) for n in range(8)])
    measures(Slow(), records, tmp_path)
    opened: list[str] = []
    get = FolderFrames.get
    monkeypatch.setattr(
        FolderFrames, "get", lambda self, name: opened.append(name) or get(self, name)
    )
    measures(Slow(), records, tmp_path)
    assert len(opened) == len(set(opened)) == 4


def test_the_cache_stays_within_its_limit_but_for_what_is_in_use(
    tmp_path: Path, conversation: Any
) -> None:
    cache = MeasureCache(tmp_path)
    measures(Slow(), conversation(("q", "a")), tmp_path)
    cache.trim(limit=1)
    assert len(entries(tmp_path)) == 1  # a run under way may want it
    cache.trim(limit=10**9, idle=0)
    assert len(entries(tmp_path)) == 1
    cache.trim(limit=1, idle=0)
    assert not entries(tmp_path)


@pytest.mark.parametrize("where", ["cache", "a measure in it"])
def test_a_cache_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, conversation: Any, where: str
) -> None:
    cache = tmp_path / "cache"
    if where == "cache":
        cache.write_text("a file")
    else:
        cache.mkdir()
        (cache / measure_name(Slow())).write_text("a file")
    with pytest.raises(CurateError, match=r"cache: could not be written .*--no-cache"):
        measures(Slow(), conversation(("q", "a")), cache)


@dataclass(frozen=True)
class Other(Slow):
    """A filter of somebody else, which has the same name."""

    def measure(self, records: pl.DataFrame) -> pl.DataFrame:
        return super().measure(records).select(-pl.col("size").cast(pl.Int32))


def test_filters_of_one_name_do_not_take_each_others_measures(
    tmp_path: Path, conversation: Any
) -> None:
    assert measure_name(Slow()) != measure_name(Other())


def test_runs_may_keep_the_same_piece_at_once(tmp_path: Path) -> None:
    frames = MeasureCache(tmp_path).frames
    frame = pl.DataFrame({"id": [f"{n:016x}" for n in range(100_000)]})
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: frames.put("slow/piece", frame), range(40)))
    found = frames.get("slow/piece")
    assert found is not None and found.equals(frame)
    assert [path.name for path in (tmp_path / "slow").iterdir()] == ["piece.frame"]


def test_what_nobody_may_delete_in_a_cache_of_others_is_as_good_as_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MeasureCache(tmp_path).frames.put("slow/piece", pl.DataFrame({"id": ["a"]}))
    (tmp_path / "key").unlink()

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    frames = MeasureCache(tmp_path).frames
    monkeypatch.setattr(Path, "unlink", refuse)
    assert frames.get("slow/piece") is None
    MeasureCache(tmp_path).trim(limit=0, idle=-1)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    for name in ("CURATE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CurateError, match="set CURATE_CACHE"):
        default_folder()
