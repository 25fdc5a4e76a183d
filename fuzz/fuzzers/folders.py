"""RUN and TOKENS folders that somebody changed, and every verb that reads them.

Half of the changed files get a fitting hash in the manifest, as somebody who means harm would see
to. Nothing outside of the folder that is written may change.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tempfile
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import Any

from fuzz import octets
from fuzz.command import check_said, command
from fuzz.contract import Case, Fault, Fuzzer
from fuzz.values import mutated_often
from tests.templates_toys import byte_level

OTHERS = "OTHERS"  # a file of somebody else's beside the folders
THEIRS = "years of work"
RECIPE = "steps: [exact, quality, {length: {action: cap}}]\n"
HOSTILE = (
    "../OTHERS",
    "/etc/passwd",
    "\x1b[31mred",
    "\u202eabc",
    "a\nb",
    "<script>",
    "",
    "a" * 300,
)


@cache
def made() -> Path:
    """A folder with a RUN and a TOKENS folder as they should be, and what they were made of."""
    home = Path(tempfile.mkdtemp(prefix="made-"))
    rows = [{"instruction": f"Name {n} fruits.", "output": "Apples, and pears."} for n in range(9)]
    lines = [json.dumps(row) for row in [*rows, rows[0], {"instruction": "?", "output": ""}]]
    lines += [json.dumps({"prompt": "Hi", "chosen": "Hello", "rejected": "No."}), "{broken"]
    (home / "dump.jsonl").write_text("\n".join(lines) + "\n")
    (home / "recipe.yaml").write_text(RECIPE)
    (home / "tokenizer").mkdir()
    (home / "tokenizer" / "tokenizer.json").write_text(byte_level().backend.to_str())
    (home / "tokenizer" / "tokenizer_config.json").write_text('{"eos_token": "<|eos|>"}')
    (home / OTHERS).write_text(THEIRS)
    with chdir(home):  # names of files are relative: so a manifest is the same each time
        for words in (run_words("RUN"), render_words("TOKENS")):
            said = command(words)
            assert said.code == 0, said.error
        _without_seconds(Path("RUN") / "manifest.json")
    return home


def _without_seconds(manifest: Path) -> None:
    whole = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(whole | {"seconds": dict.fromkeys(whole["seconds"], 1.0)}))


def run_words(out: str) -> list[str]:
    """`curate run` of the dump here."""
    words = ["run", "dump.jsonl", "--recipe", "recipe.yaml", "--out", out]
    return [*words, "--workers", "1", "--quiet"]


def render_words(out: str) -> list[str]:
    """`curate render` of the run here."""
    words = ["render", "RUN", "--template", "chatml", "--tokenizer", "tokenizer"]
    return [*words, "--out", out, "--quiet"]


# By folder and verb: the words; `GOOD` stands for a folder with what nobody changed.
VERBS: dict[str, dict[str, list[str]]] = {
    "RUN": {
        "report": ["report", "RUN"],
        "explain": ["explain", "RUN", "0"],
        "explain all": ["explain", "RUN", "--grep", "e"],
        "explain a step": ["explain", "RUN", "--step", "exact"],
        "diff": ["diff", "RUN", "GOOD/RUN"],
        "diff of it": ["diff", "GOOD/RUN", "RUN", "--json"],
        "inspect": ["inspect", "RUN"],
        "run of it": ["run", "RUN", "--out", "AGAIN"],
        "run into it": run_words("RUN"),
        "preview": ["preview", "RUN", "--template", "chatml"],
        "render": render_words("NEW"),
        "export": ["export", "RUN", "--to", "trl", "--out", "E"],
        "export to the hub": ["export", "RUN", "--to", "hub", "--out", "E"],
        "baselines": ["baselines", "RUN", "--out", "B"],
        "pairs": ["pairs", "RUN", "--from", "rejected", "--out", "P"],
        "judge check": ["judge", "check", "RUN", "--labels", "category"],
    },
    "TOKENS": {
        "preview": ["preview", "TOKENS"],
        "preview as JSON": ["preview", "TOKENS", "--json"],
        "preview of refusals": ["preview", "TOKENS", "--failures"],
        "export": ["export", "TOKENS", "--to", "axolotl", "--out", "E"],
        "export to TRL": ["export", "TOKENS", "--to", "trl", "--out", "E"],
        "render into it": render_words("TOKENS"),
    },
}


def make(chance: random.Random) -> Case:
    """A folder, a changed file in it, and a verb."""
    which = chance.choice(("RUN", "RUN", "TOKENS"))
    files = sorted(path.name for path in (made() / which).iterdir() if path.is_file())
    name = "manifest.json" if chance.random() < 0.4 else chance.choice(files)
    case = {"folder": which, "file": name, "verb": chance.choice(list(VERBS[which]))}
    return case | change(chance, made() / which / name)


def change(chance: random.Random, path: Path) -> Case:
    """What becomes of a file: other bytes, nothing, a folder, a link."""
    data = path.read_bytes()
    if chance.random() < 0.15:
        return {"becomes": chance.choice(("nothing", "folder", "link", "empty")), "bytes": ""}
    if path.suffix == ".json" and chance.random() < 0.85:
        whole = json.loads(data)
        names = tuple(whole) if isinstance(whole, dict) else ()
        whole = _planted(chance, mutated_often(chance, whole, names))
        data = json.dumps(whole).encode("utf-8", errors="surrogatepass")
    else:
        data = octets.mutated(chance, data, data)
    rehashed = chance.random() < 0.5
    return {"becomes": "other", "bytes": octets.written(data), "rehashed": rehashed}


def _planted(chance: random.Random, whole: Any) -> Any:
    if isinstance(whole, dict) and chance.random() < 0.3:
        hostile = chance.choice(HOSTILE)
        kind = chance.randrange(3)
        if kind == 0 and isinstance(whole.get("files"), list):
            whole["files"].append(hostile)
        elif kind == 1 and isinstance(whole.get("sha256"), dict):
            whole["sha256"][hostile] = hashlib.sha256(THEIRS.encode()).hexdigest()
        else:
            whole[chance.choice(list(whole) or ["x"])] = hostile
    return whole


def tamper(case: Case, home: Path) -> None:
    """Change the file of a folder as the case says."""
    path = home / case["folder"] / case["file"]
    path.unlink()
    match case["becomes"]:
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(home / OTHERS)
        case "empty":
            path.touch()
        case "other":
            path.write_bytes(octets.read(case["bytes"]))
            if case["rehashed"] and path.name != "manifest.json":
                _rehash(path)


def _rehash(path: Path) -> None:
    manifest = path.with_name("manifest.json")
    whole = json.loads(manifest.read_text())
    whole.setdefault("sha256", {})[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(whole))


def check(case: Case, folder: Path) -> str:
    """Change a copy of the folders, and let the verb at it."""
    good, home = made(), folder / "home"
    shutil.copytree(good, home)
    tamper(case, home)
    verb = case["verb"]
    words = VERBS[case["folder"]][verb]
    with chdir(home):
        said = command([word.replace("GOOD", str(good)) for word in words])
    check_said(verb, said)
    if (home / OTHERS).read_text() != THEIRS:
        raise Fault(f"{verb} changed a file of somebody else's")
    return "a sentence" if said.code else "done"


FUZZER = Fuzzer(make, check, prepare=made, cases_a_child=500)
