"""What LLaMA-Factory's own loader makes of our outputs, and two steps with it.

    llamafactory_reader.py tokens TOKENS TRUTH MODEL TOKEN_TRUTH HOME
    llamafactory_reader.py load FOLDER TRUTH MODEL TOKEN_TRUTH HOME
    llamafactory_reader.py export FOLDER TRUTH MODEL TOKEN_TRUTH HOME
    llamafactory_reader.py export-tokens FOLDER TRUTH MODEL TOKEN_TRUTH HOME

TOKENS are its `tokenized_path`. An exported folder is run with its `sft.yaml` as it is, but for the
CPU, the model, its template and two steps. What its converter makes of each row is compared with
what was written, less what its format has no place for: names, and ids of calls. `load` ends there.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from conversation import compared_tokens, differences, dumps, finite, report, share_alike, truth

STEPS = 2
TEMPLATE = "qwen3_nothink"
Result = dict[str, Any]
TRAINING = {
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "full",
    "per_device_train_batch_size": 4,
}
ROLES = {"user": "user", "assistant": "assistant", "observation": "tool", "function": "assistant"}


def arguments(given: Mapping[str, Any], model: str, home: Path) -> dict[str, Any]:
    """Settings for two steps on the CPU."""
    cpu = {"use_cpu": True, "bf16": False, "max_steps": STEPS, "logging_steps": 1}
    named = {
        "model_name_or_path": model,
        "template": "qwen3_nothink",
        "output_dir": str(home / "lf"),
    }
    return {**given, **named, **cpu, "gradient_accumulation_steps": 1, "report_to": "none"}


class Loader:
    """Its arguments, tokenizer and template, as its own training makes them."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        from llamafactory.data import get_template_and_fix_tokenizer
        from llamafactory.hparams import get_train_args
        from llamafactory.model import load_tokenizer

        self.model_args, self.data_args, self.training_args, *_ = get_train_args(dict(given))
        self.module = load_tokenizer(self.model_args)
        self.template = get_template_and_fix_tokenizer(self.module["tokenizer"], self.data_args)

    def dataset(self) -> Any:
        """The rows that its trainer gets."""
        from llamafactory.data import get_dataset

        given = (self.template, self.model_args, self.data_args, self.training_args)
        return get_dataset(*given, stage="sft", **self.module)["train_dataset"]

    def converted(self) -> Any:
        """The rows behind its converter."""
        from llamafactory.data.loader import _get_merged_dataset

        given = (self.data_args.dataset, self.model_args, self.data_args, self.training_args)
        return _get_merged_dataset(*given, stage="sft")


def losses(given: Mapping[str, Any]) -> list[float]:
    """The losses of its own training."""
    from llamafactory.train.tuner import run_exp

    run_exp(dict(given))
    state = json.loads((Path(given["output_dir"]) / "trainer_state.json").read_text("utf-8"))
    return [line["loss"] for line in state["log_history"] if "loss" in line]


def plain(row: Mapping[str, Any]) -> str:
    """A converted row in our words; a row that it skips has no messages."""
    system = [{"role": "system", "content": row["_system"]}] if row["_system"] else []
    turns = [_turn(message) for message in (*row["_prompt"], *row["_response"])]
    tools = json.loads(row["_tools"]) if row["_tools"] else []
    return dumps({"messages": [*system, *turns], "tools": tools})


def _turn(message: Mapping[str, str]) -> dict[str, Any]:
    text = message["content"]
    thought = re.match(r"<think>\n(.*?)\n</think>\n\n", text, re.DOTALL)
    turn: dict[str, Any] = {"role": ROLES[message["role"]], "content": text}
    if thought:
        turn |= {"reasoning": thought[1], "content": text[thought.end() :]}
    if message["role"] == "function":
        turn |= {"calls": json.loads(turn["content"]), "content": ""}
    return turn


def reduced(lines: list[str]) -> Iterator[str]:
    """The truth without what the format has no place for."""
    for line in lines:
        row = json.loads(line)
        for message in row["messages"]:
            for name in ("name", "tool_call_id", "trained"):
                message.pop(name, None)
            for call in message.get("calls", ()):
                call.pop("id", None)
        yield dumps({"messages": row["messages"], "tools": row["tools"]})


def of_tokens(given: Mapping[str, Any], wanted: list[str]) -> Result:
    return {**compared_tokens(Loader(given).dataset(), wanted), "losses": losses(given)}


def tokens(path: Path, wanted: list[str], model: str, ours: Path, home: Path) -> Result:
    # Its parser wants the name of a data set, which is not read.
    given = {**TRAINING, "tokenized_path": str(path), "dataset": "none"}
    return of_tokens(arguments(given, model, home), wanted)


def exported(folder: Path, model: str, home: Path) -> dict[str, Any]:
    import yaml

    os.chdir(folder)
    return arguments(yaml.safe_load((folder / "sft.yaml").read_text("utf-8")), model, home)


def export_tokens(path: Path, wanted: list[str], model: str, ours: Path, home: Path) -> Result:
    return of_tokens(exported(path, model, home), wanted)


def export(path: Path, wanted: list[str], model: str, ours: Path, home: Path) -> Result:
    """Each row behind its converter, and how many its trainer gets."""
    given = exported(path, model, home)
    loader = Loader(given)
    seen = differences(map(plain, loader.converted()), list(reduced(wanted)))
    rows, stop = loader.dataset(), loader.module["tokenizer"].eos_token_id
    notes = [f"{len(rows):,} rows reach its trainer", share_alike(rows, ours, stop)]
    differ = seen["differ"] + (len(rows) != len(wanted))
    return {**seen, "differ": differ, "notes": notes, "losses": losses(given)}


def load(path: Path, wanted: list[str], model: str, ours: Path, home: Path) -> Result:
    loader = Loader(exported(path, model, home))
    return differences(map(plain, loader.converted()), list(reduced(wanted)))


READERS = {"tokens": tokens, "load": load, "export": export, "export-tokens": export_tokens}


def main() -> None:
    import datasets

    kind, path, wanted, model, ours, home = sys.argv[1:]
    result = READERS[kind](Path(path), truth(Path(wanted)), model, Path(ours), Path(home))
    if "losses" in result:
        result["finite"] = finite(result["losses"], STEPS)
    report(result, llamafactory=version("llamafactory"), datasets=datasets.__version__)


if __name__ == "__main__":
    main()
