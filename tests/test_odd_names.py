"""Names of every kind, and what is behind them that is no file: rows, or one sentence."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.cli import main
from curate.sources import Dump, read
from curate.sources.files import named_pipes
from curate.sources.files.inputs import expand

GOOD = b'{"instruction": "Add.", "output": "3"}\n'


def put(path: Path, data: bytes = GOOD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def asserted(dump: Dump) -> Dump:
    """The dump, all rows of which are accounted for."""
    counts = [(file.rows, file.rejected) for file in dump.files]
    assert dump.height == sum(rows for rows, _ in counts)
    assert dump.rejected == sum(rejected for _, rejected in counts)
    return dump


def reasons(dump: Dump) -> list[str]:
    return dump.rejects["reason"].to_list()


SIGNS = [
    "a[1].jsonl",
    "a?.jsonl",
    "*.jsonl",
    "[a-z].jsonl",
    "a{b}.jsonl",
    "~.jsonl",
    "-",
    " .jsonl",
]
CONTROLS = [
    "a\nb.jsonl",
    "a\x1b[31mb.jsonl",
    "a\tb.jsonl",
    "\u202egnp.jsonl",
    "a\x7f.jsonl",
    "é.jsonl",
]


@pytest.mark.parametrize("name", [*SIGNS, *CONTROLS])
def test_a_file_of_any_name_is_read_by_its_path_its_folder_and_a_glob(
    tmp_path: Path, name: str
) -> None:
    path = put(tmp_path / name)
    assert asserted(read([str(path)])).height == 1
    assert asserted(read([str(tmp_path / "*")])).height == 1
    if path.suffix:
        assert asserted(read([str(tmp_path)])).records["source"].to_list() == [path.as_posix()]


@pytest.mark.parametrize("name", SIGNS)
def test_a_folder_whose_name_has_signs_of_globs_is_looked_into(tmp_path: Path, name: str) -> None:
    put(tmp_path / name / "a.jsonl")
    put(tmp_path / name / "b.jsonl")
    assert asserted(read([str(tmp_path / name)])).height == 2
    assert asserted(read([str(tmp_path / name / "*.jsonl")])).height == 2


def test_a_file_called_as_standard_input_is_no_standard_input_in_a_glob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "-")
    monkeypatch.chdir(tmp_path)
    assert asserted(read(["*"])).records["source"].to_list() == ["-"]


def test_a_name_that_is_not_utf8_is_shown_with_its_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.jsonl"
    try:
        Path(os.fsdecode(name)).write_bytes(GOOD)
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    for given in (os.fsdecode(name), str(tmp_path)):
        dump = asserted(read([given]))
        assert dump.records["source"].to_list() == [f"{tmp_path.as_posix()}/caf\\xe9.jsonl"]
    out = tmp_path / "RUN"
    assert main(["run", os.fsdecode(name), "--quiet", "--out", str(out)]) == 0
    assert json.loads((out / "manifest.json").read_text())["counts"]["read"] == 1
    capsys.readouterr()
    assert main(["run", os.fsdecode(name) + "x", "--quiet", "--out", str(out)]) == 1
    assert "no such file or folder" in capsys.readouterr().err


NO_NAMES = ["", "a\0b", "x" * 5000, "\ud800", "nothing/here.jsonl", "[", "*.nothing"]


@pytest.mark.parametrize("name", NO_NAMES, ids=range(len(NO_NAMES)))
def test_a_name_behind_which_nothing_can_be_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CurateError) as caught:
        read([name])
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_named_and_costs_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = put(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").symlink_to("gone.jsonl")
    (tmp_path / "c.jsonl").symlink_to("c.jsonl")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # the path of a socket may be short only
        listener.bind("d.jsonl")
        put(tmp_path / "e.jsonl", b"")
        (tmp_path / "f.jsonl").symlink_to("a.jsonl")
        dump = asserted(read([str(tmp_path)]))
        assert (dump.height, dump.rejected) == (2, 4)
        said = ["a link that leads nowhere, or in a circle"] * 2
        for reason, words in zip(reasons(dump), [*said, "a socket", "is empty"], strict=True):
            assert reason.startswith("unreadable_file: ") and words in reason
        dump = asserted(read([str(tmp_path / "*.jsonl")]))
        assert (dump.height, dump.rejected) == (2, 4)
    assert asserted(read([str(good), "/dev/null"])).rejected == 1
    for name, words in (("b.jsonl", "a link that leads nowhere"), ("d.jsonl", "a socket")):
        with pytest.raises(CurateError, match=words):
            read([str(tmp_path / name)])
    with pytest.raises(CurateError, match="a device, not a file"):
        read(["/dev/zero"])


def test_files_that_cannot_be_read_do_not_hold_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "in" / "a.jsonl")
    (tmp_path / "in" / "b.jsonl").symlink_to("gone")
    (tmp_path / "in" / "c.jsonl").symlink_to("gone")
    assert main(["run", str(tmp_path / "in"), "--out", str(tmp_path / "RUN")]) == 0
    said = capsys.readouterr()
    assert "same bytes" not in said.err and "unreadable_file" in said.err


def test_a_folder_that_is_a_link_is_named_and_not_entered(tmp_path: Path) -> None:
    put(tmp_path / "other" / "a.jsonl")
    put(tmp_path / "in" / "b.jsonl")
    (tmp_path / "in" / "more").symlink_to(tmp_path / "other")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    dump = asserted(read([str(tmp_path / "in")]))
    assert dump.height == 1
    (note,) = dump.files[0].notes
    assert "or are links, are not read: 2 files" in note and "in/more" in note


# --- pipes


def test_a_pipe_without_a_writer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_pipes, "NO_WRITER", 0.2)
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(CurateError, match=r"a pipe that nobody wrote to for 0\.2 s"):
        read([str(tmp_path / "a.jsonl")])
    put(tmp_path / "b.jsonl")
    dump = asserted(read([str(tmp_path)]))
    assert (dump.height, dump.rejected) == (1, 1)


def test_a_pipe_is_read_and_a_writer_that_gives_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_pipes, "STALLED", 0.05)
    os.mkfifo(tmp_path / "a.jsonl")

    def write() -> None:
        with (tmp_path / "a.jsonl").open("wb", buffering=0) as pipe:
            pipe.write(GOOD)
            time.sleep(0.4)
            pipe.write(GOOD)

    writer = threading.Thread(target=write)
    writer.start()
    said: list[str] = []
    dump = asserted(read([str(tmp_path / "a.jsonl")], tell=said.append))
    writer.join()
    assert dump.height == 2
    assert said and "a.jsonl: its writer gave nothing for" in said[0]
    assert len(said) <= 3  # ever more seldom


# --- saved datasets


def saved(folder: Path, *names: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame([{"instruction": "Add.", "output": "3"}]).write_ipc_stream(folder / "data.arrow")
    files = [{"filename": name} for name in names]
    (folder / "state.json").write_text(json.dumps({"_data_files": files}))
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "../secret.jsonl",
        "/etc/passwd",
        "a/../../secret.jsonl",
        "link.arrow",
        "sub/x.arrow",
        5,
        None,
        "",
        "a\0b",
        "..",
        ["data.arrow"],
    ],
)
def test_a_saved_dataset_names_only_files_inside_itself(tmp_path: Path, name: object) -> None:
    secret = put(tmp_path / "secret.jsonl")
    folder = saved(tmp_path / "set", "data.arrow", name)
    (folder / "link.arrow").symlink_to(secret)
    (folder / "sub").symlink_to(tmp_path)
    put(tmp_path / "x.arrow")
    for given in (folder, tmp_path):
        with pytest.raises(CurateError, match="no file in its folder; nothing outside of it"):
            read([str(given)])


def test_a_saved_dataset_in_the_hubs_cache_is_links_to_blobs_beside_it(tmp_path: Path) -> None:
    home = tmp_path / "datasets--a--b"
    folder = saved(home / "snapshots" / "1f0e", "data.arrow")
    (home / "blobs").mkdir()
    (folder / "data.arrow").rename(home / "blobs" / "77aa")
    (folder / "data.arrow").symlink_to("../../blobs/77aa")
    assert asserted(read([str(folder)])).height == 1


@pytest.mark.parametrize("state", ["{}", "[]", "no", '{"_data_files": 5}', "[" * 3000, "\udcff"])
def test_a_state_that_is_none_is_one_sentence(tmp_path: Path, state: str) -> None:
    folder = saved(tmp_path / "set", "data.arrow")
    (folder / "state.json").write_bytes(state.encode(errors="surrogateescape"))
    with pytest.raises(CurateError, match="not the state of a saved dataset"):
        read([str(folder)])


def test_a_file_that_is_written_to_meanwhile_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", GOOD * 2)
    (source,) = expand([str(path)])
    for data in (GOOD, GOOD * 3):
        path.write_bytes(data)
        with pytest.raises(CurateError, match="changed while it was read"):
            source.check_unchanged()
