"""What curate writes, read by the readers of other tools, each in an environment of its own.

    python benchmarks/interop.py --install --docs

A mixed set of 100 MB is made up: plain chats first, and in its last rows alone calls, long
integers, results of tools, reasoning, weights, scores, categories and rejected answers. It is
cleaned and rendered, and every reader gets the files as they are. A reader that loads them is not
enough: each row is compared with what was written, calls with their arguments parsed.

`--install` makes the environments by pip, with the pins of each tool. Without them only the readers
that are installed here are tried. The script ends with 1 if a reader fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent / "readers"))
sys.path.insert(0, str(Path(__file__).parent))

from interop_made import Made, left_out, make, truth_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# Each environment and what pip is asked for; all else are the pins of the tool itself.
PEERS = {
    "datasets4": ("datasets==4.0.*",),
    "trl": ("trl==1.16.*", "torch==2.13.*", "datasets==5.2.*"),
    "axolotl": ("axolotl==0.19.*",),
    "llamafactory": ("llamafactory==0.9.5",),
}
PAGE = ROOT / "docs" / "interop.md"
MARK, END = "<!-- benchmarks/interop.py --docs -->", "<!-- end of the table -->"
OWN = "here"  # the environment that this script runs in
SOURCES = {
    "run": "RUN",
    "odd": "odd rows",
    "plain": "odd rows without calls",
    "calls": "rows with calls",
    "single": "one answer a row",
    "tokens": "TOKENS",
}
# What a tool ends with that is given calls as text, before it trains.
REFUSALS = r"JSONDecodeError|UndefinedError|TemplateError|not JSON serializable"
LIMIT = 600  # seconds for one reader
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
    "AXOLOTL_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
}


@dataclass(frozen=True)
class Reader:
    """One reader over one output: its environment, what it is called, and its process."""

    peer: str
    name: str
    reads: str
    script: str
    arguments: tuple[str, ...]
    notes: tuple[str, ...] = ()
    refuses: bool = False  # it has to stop with an error, and must not train


@dataclass(frozen=True)
class Line:
    """A line of the table; `good` is None where the reader was not tried."""

    reader: Reader
    versions: str
    verdict: str
    good: bool | None


def readers(made: Made) -> Iterator[Reader]:
    """Every reader over every output."""
    yield from of_files(made)
    yield from of_tokens(made)
    yield from of_exports(made)


def of_files(made: Made) -> Iterator[Reader]:
    lines = {
        "datasets": 'load_dataset("json")',
        "polars": "read_ndjson",
        "pandas": "read_json(lines=True)",
    }
    tables = {**dict.fromkeys(lines, "read_parquet"), "datasets": 'load_dataset("parquet")'}
    for file, calls in (("kept.jsonl", lines), ("kept.parquet", tables)):
        path = made.run / file
        wanted = truth_of(path if file == "kept.parquet" else made.run)
        for peer, name in (("datasets4", "datasets"), *((OWN, name) for name in calls)):
            given = (name, str(path), str(wanted))
            yield Reader(peer, f"{name}: {calls[name]}", f"RUN, {file}", "tables", given)
    hub = made.exports["hub-run"]
    for peer in ("datasets4", OWN):
        given = ("datasets", str(hub), str(truth_of(hub)))
        yield Reader(peer, "datasets: load_dataset(DIR)", "RUN, exported to hub", "tables", given)


def of_tokens(made: Made) -> Iterator[Reader]:
    given = (str(made.tokens), str(truth_of(made.tokens)))
    for peer in ("datasets4", OWN):
        yield Reader(peer, "datasets: load_from_disk", "TOKENS", "tokens", given)
    trainer = ("tokens", *given, str(made.model), str(truth_of(made.tokens)))
    for peer, name in (
        ("trl", "TRL: SFTTrainer, 2 steps"),
        ("axolotl", "Axolotl: pre-tokenised"),
        ("llamafactory", "LLaMA-Factory: tokenized_path, 2 steps"),
    ):
        yield Reader(peer, name, "TOKENS", f"{peer}_reader", trainer)


def of_exports(made: Made) -> Iterator[Reader]:
    after = (str(made.model), str(truth_of(made.tokens)))
    for source in ("plain", "odd", "calls"):
        run = made.home / source
        given = ("kept", str(run / "kept.jsonl"), str(truth_of(run)), *after)
        for peer, name in (
            ("trl", "TRL: SFTTrainer, 2 steps"),
            ("axolotl", "Axolotl: chat_template"),
        ):
            reads, script = f"{SOURCES[source]}, kept.jsonl", f"{peer}_reader"
            yield Reader(peer, name, reads, script, given, refuses=source != "plain")
    for source, target, name, kind in (
        ("run", "trl", 'datasets: load_dataset("parquet")', "tables"),
        ("run", "axolotl", 'datasets: load_dataset("parquet")', "tables"),
        ("run", "llamafactory", "LLaMA-Factory: its converter", "load"),
        ("odd", "trl", "TRL: trl sft, 2 steps", "export"),
        ("single", "trl", "TRL: trl sft, 2 steps", "export"),
        ("odd", "axolotl", "Axolotl: axolotl preprocess", "export"),
        ("odd", "llamafactory", "LLaMA-Factory: its training, 2 steps", "export"),
        ("tokens", "trl", "TRL: trl sft, 2 steps", "export-tokens"),
        ("tokens", "axolotl", "Axolotl: axolotl preprocess", "export-tokens"),
        ("tokens", "llamafactory", "LLaMA-Factory: its training, 2 steps", "export-tokens"),
    ):
        out = made.exports[f"{target}-{source}"]
        script, given = f"{target}_reader", (kind, str(out), str(truth_of(out)), *after)
        if kind == "tables":
            script, given = kind, ("datasets", str(out / "train.parquet"), str(truth_of(out)))
        reads = f"{SOURCES[source]}, exported to {target}"
        yield Reader(target, name, reads, script, given, _left_out_words(out))


def _left_out_words(export: Path) -> tuple[str, ...]:
    reasons = Counter(left_out(export).values())
    if not reasons:
        return ()
    listed = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))
    return (f"export left out {reasons.total():,} ({listed})",)


def tried(reader: Reader, python: Path, home: Path) -> Line:
    """A reader's process, in a folder of its own; what it printed is shown if it fails."""
    work = Path(tempfile.mkdtemp(dir=home, prefix="reader-"))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | QUIET
    environment |= {"HF_HOME": str(work / "hub"), "HF_DATASETS_CACHE": str(work / "cache")}
    script = HERE / "readers" / f"{reader.script}.py"
    command = [str(python), str(script), *reader.arguments, str(work)]
    text = output(command, work, environment)
    shutil.rmtree(work)
    results = [line for line in text.splitlines() if line.startswith("RESULT ")]
    if results:
        return judged(reader, json.loads(results[-1].removeprefix("RESULT ")))
    if reader.refuses and (refusal := re.findall(rf"^.*(?:{REFUSALS}).*", text, re.MULTILINE)):
        words = f"stops before it trains, as it should, because calls are text: {refusal[-1][:120]}"
        return Line(reader, version(python, reader), words, True)
    print(f"{reader.name}, {reader.reads}: failed\n{text[-3000:]}\n", file=sys.stderr)
    errors = re.findall(r"^[\w.]*(?:Error|Exception)\b.*|^no answer after .*", text, re.MULTILINE)
    reason = errors[-1] if errors else "it printed no result"
    return Line(reader, version(python, reader), f"**failed**: {reason[:200]}", False)


def output(command: list[str], work: Path, environment: Mapping[str, str]) -> str:
    """All that a process prints; it and those that it started end after `LIMIT` seconds."""
    log = work / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=work, env=environment, stdout=file, stderr=file, start_new_session=True
        )
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            file.write(f"\nno answer after {LIMIT} s\n".encode())
    return log.read_text("utf-8", errors="replace")


def judged(reader: Reader, result: Mapping[str, Any]) -> Line:
    """What a reader found, in words."""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    if reader.refuses:
        words = f"**failed**: trains on calls that are text; {'; '.join(result.get('notes', []))}"
        return Line(reader, versions, words, False)
    same = result["rows"] == result["expected"] and not result["differ"]
    words = [f"all {result['rows']:,} rows as written"]
    if not same:
        print(f"{reader.name}, {reader.reads}: {json.dumps(result['first'])}", file=sys.stderr)
        seen = f"{result['rows']:,} rows of {result['expected']:,}"
        words = [f"**failed**: {seen}, {result['differ']:,} not as written"]
    if "losses" in result:
        words.append(f"losses {', '.join(f'{loss:.3f}' for loss in result['losses'])}")
    words += [*result.get("notes", []), *reader.notes]
    return Line(reader, versions, "; ".join(words), same and result.get("finite", True))


def version(python: Path, reader: Reader) -> str:
    """The version of a peer whose reader failed."""
    package = reader.name.split(":")[0].lower().replace("-", "")
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    return f"{package} {done.stdout.strip()}"


def install(folder: Path) -> dict[str, str]:
    """Environments that are missing, by pip; why one could not be made, by its name."""
    failed = {}
    for name, packages in PEERS.items():
        if (folder / name / "done").exists():
            continue
        print(f"installing {' '.join(packages)}", flush=True)
        venv.create(folder / name, with_pip=True, clear=True)
        python = folder / name / "bin" / "python"
        command = [str(python), "-m", "pip", "install", "-q", *packages]
        done = subprocess.run(command, capture_output=True, text=True)
        (folder / f"{name}.log").write_text(done.stdout + done.stderr, "utf-8")
        if done.returncode:
            failed[name] = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        else:
            (folder / name / "done").touch()
    return failed


def table(lines: Iterable[Line]) -> str:
    """The lines as Markdown."""
    rows = [
        (line.reader.name, line.versions, line.reader.reads, line.verdict.replace("|", "/"))
        for line in lines
    ]
    head = [("reader", "versions", "what it read", "verdict"), ("---",) * 4]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (*head, *rows))


def write_docs(made: Made, lines: Iterable[Line]) -> None:
    """Put the table into its page."""
    before, _, rest = PAGE.read_text("utf-8").partition(f"{MARK}\n")
    after = rest.partition(f"{END}\n")[2]
    text = f"The set: {made.size}.\n\n{table(lines)}"
    PAGE.write_text(f"{before}{MARK}\n{text}{END}\n{after}", "utf-8")


def one(reader: Reader, peers: Path, missing: Mapping[str, str], home: Path) -> Line:
    """A reader, if its environment is there."""
    python = Path(sys.executable) if reader.peer == OWN else peers / reader.peer / "bin" / "python"
    if python.exists() and reader.peer not in missing:
        return tried(reader, python, home)
    why = missing.get(reader.peer, "not installed here")
    return Line(reader, "", f"not tried: {why}", None)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=100, help="size of the set")
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("CURATE_INTEROP", ".venv/interop")),
        help="their environments (default: $CURATE_INTEROP or .venv/interop)",
    )
    parser.add_argument("--install", action="store_true", help="make those environments first")
    parser.add_argument("--only", default="", help="readers with this in what the table says")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/interop.md")
    asked = parser.parse_args()
    if asked.docs and asked.only:
        parser.error("--docs needs every reader: leave out --only")
    peers = asked.peers.absolute()
    missing = install(peers) if asked.install else {}
    # Axolotl takes a model for MPT if its path has these letters, such as a folder `tmpt...`.
    with tempfile.TemporaryDirectory(prefix="interop-") as folder:
        made = make(Path(folder), asked.megabytes)
        print(made.size, flush=True)
        lines = []
        for reader in readers(made):
            if asked.only in f"{reader.name}, {reader.reads}":
                started = time.perf_counter()
                lines.append(one(reader, peers, missing, made.home))
                took = time.perf_counter() - started
                print(
                    f"{reader.reads}, {reader.name}: {lines[-1].verdict} ({took:.0f} s)", flush=True
                )
    print(f"\n{table(lines)}")
    if asked.docs:
        write_docs(made, lines)
    failed = sum(line.good is False for line in lines)
    if failed:
        raise SystemExit(f"{failed} of {len(lines)} readers failed")


if __name__ == "__main__":
    main()
