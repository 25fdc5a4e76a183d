"""What TRL makes of our outputs, and two steps with it.

    trl_reader.py tokens TOKENS TRUTH MODEL TOKEN_TRUTH HOME
    trl_reader.py kept FILE TRUTH MODEL TOKEN_TRUTH HOME
    trl_reader.py export FOLDER TRUTH MODEL TOKEN_TRUTH HOME
    trl_reader.py export-tokens FOLDER TRUTH MODEL TOKEN_TRUTH HOME

An exported folder is run by `trl sft` with its configuration as it is, but for the CPU and two
steps. The ids of rows are compared with what transformers renders of the conversation, in which
arguments and tools are objects; the labels of tokens with ours.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from conversation import (
    compared,
    compared_tokens,
    finite,
    rendered,
    report,
    share_alike,
    truth,
)

BATCH, STEPS = 4, 2
Result = dict[str, Any]
CPU = {"use_cpu": True, "bf16": False, "max_steps": STEPS, "logging_steps": 1}
CPU |= {"report_to": "none", "save_strategy": "no", "disable_tqdm": True}


def loaded(kind: str, file: Path, home: Path) -> Any:
    import datasets

    cache = str(home / "cache")
    return datasets.load_dataset(kind, data_files=str(file), split="train", cache_dir=cache)


def trainer_of(rows: Any, model: str, home: Path) -> Any:
    """SFTTrainer after two steps."""
    from trl import SFTConfig, SFTTrainer

    settings = {"per_device_train_batch_size": BATCH, "max_length": 2048, **CPU}
    config = SFTConfig(output_dir=str(home / "trl"), **settings)
    trainer = SFTTrainer(model, config, train_dataset=rows)
    trainer.train()
    return trainer


def trainer_of_export(folder: Path, model: str, home: Path) -> Any:
    """The trainer that `trl sft --config sft.yaml` makes in the folder, after its two steps."""
    import trl
    from trl.scripts import sft

    made = []

    class Noted(trl.SFTTrainer):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            made.append(self)

    os.chdir(folder)
    options = {"model_name_or_path": model, "output_dir": str(home / "trl"), **CPU}
    options["gradient_accumulation_steps"] = 1
    given = ["--config", "sft.yaml"]
    given += [text for name, value in options.items() for text in (f"--{name}", str(value))]
    trl.SFTTrainer = Noted
    sft.main(*sft.make_parser().parse_args_and_config(given))
    return made[0]


def losses(trainer: Any) -> list[float]:
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def first_batch(trainer: Any) -> list[list[list[int]]]:
    """Ids and labels of the first rows as the collator hands them on, padding taken off."""
    first = [trainer.train_dataset[n] for n in range(BATCH)]
    batch = trainer.data_collator([{k: row[k] for k in ("input_ids", "labels")} for row in first])
    return [
        [batch[name][n][: len(row["labels"])].tolist() for name in ("input_ids", "labels")]
        for n, row in enumerate(first)
    ]


def of_tokens(trainer: Any, wanted: list[str]) -> Result:
    seen = compared_tokens(trainer.train_dataset, wanted)
    ids = ({"input_ids": ids, "labels": labels} for ids, labels in first_batch(trainer))
    batch = compared_tokens(ids, wanted[:BATCH])
    first = seen["first"] or batch["first"]
    return {**seen, "differ": seen["differ"] + batch["differ"], "first": first}


def tokens(path: Path, wanted: list[str], model: str, ours: Path, home: Path) -> Result:
    import datasets

    trainer = trainer_of(datasets.load_from_disk(str(path)), model, home)
    return {**of_tokens(trainer, wanted), "losses": losses(trainer)}


def export_tokens(path: Path, wanted: list[str], model: str, ours: Path, home: Path) -> Result:
    trainer = trainer_of_export(path, model, home)
    return {**of_tokens(trainer, wanted), "losses": losses(trainer)}


def kept(path: Path, wanted: list[str], model: str, ours: Path, home: Path) -> Result:
    """The lines as they are."""
    rows = loaded("json", path, home)
    seen, trainer = compared(rows, wanted), trainer_of(rows, model, home)
    result = rendered(trainer.train_dataset, wanted, trainer.processing_class, seen)
    return {**result, "losses": losses(trainer)}


def export(path: Path, wanted: list[str], model: str, ours: Path, home: Path) -> Result:
    """The file as it is read, and each row as it is rendered."""
    seen = compared(loaded("parquet", path / "train.parquet", home), wanted)
    trainer = trainer_of_export(path, model, home)
    rows, tokenizer = trainer.train_dataset, trainer.processing_class
    result = rendered(rows, wanted, tokenizer, seen)
    result["notes"].append(share_alike(rows, ours, tokenizer.eos_token_id))
    return {**result, "losses": losses(trainer)}


READERS = {"tokens": tokens, "kept": kept, "export": export, "export-tokens": export_tokens}


def main() -> None:
    import datasets
    import trl

    datasets.disable_progress_bars()
    kind, path, wanted, model, ours, home = sys.argv[1:]
    result = READERS[kind](Path(path), truth(Path(wanted)), model, Path(ours), Path(home))
    result["finite"] = finite(result["losses"], STEPS)
    report(result, trl=trl.__version__, datasets=datasets.__version__)


if __name__ == "__main__":
    main()
