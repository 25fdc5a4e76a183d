"""What `axolotl preprocess` makes of our outputs. It shuffles rows, so their order is not compared.

    axolotl_reader.py tokens TOKENS TRUTH MODEL TOKEN_TRUTH HOME
    axolotl_reader.py kept FILE TRUTH MODEL TOKEN_TRUTH HOME
    axolotl_reader.py export FOLDER TRUTH MODEL TOKEN_TRUTH HOME
    axolotl_reader.py export-tokens FOLDER TRUTH MODEL TOKEN_TRUTH HOME

TOKENS go to its pre-tokenised reader, rows to its `chat_template` strategy. An exported folder
has its configuration, which is run as it is.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from conversation import (
    compared,
    compared_tokens,
    rendered,
    report,
    share_alike,
    truth,
)

Result = dict[str, Any]
CONFIG = """\
datasets:
  - path: {path}
    ds_type: {kind}
    type: {reader}
sequence_len: 4096
micro_batch_size: 4
gradient_accumulation_steps: 1
num_epochs: 1
learning_rate: 0.0001
optimizer: adamw_torch
output_dir: out
dataset_prepared_path: prepared
"""


def loaded(kind: str, file: Path, home: Path) -> Any:
    import datasets

    cache = str(home / "cache")
    return datasets.load_dataset(kind, data_files=str(file), split="train", cache_dir=cache)


def prepared(config: Path, model: str) -> Any:
    """The rows that its command leaves for training, in the folder of the configuration."""
    import datasets
    import yaml

    command = [Path(sys.executable).with_name("axolotl"), "preprocess", config.name]
    done = subprocess.run([*command, "--base-model", model], cwd=config.parent)
    if done.returncode:
        raise SystemExit("Error: axolotl preprocess ended with an error")
    named = yaml.safe_load(config.read_text("utf-8"))["dataset_prepared_path"]
    (folder,) = (path for path in (config.parent / named).iterdir() if path.is_dir())
    return datasets.load_from_disk(str(folder))


def configured(path: Path, kind: str, reader: str, home: Path) -> Path:
    config = home / "config.yaml"
    config.write_text(CONFIG.format(path=path, kind=kind, reader=reader), "utf-8")
    return config


def exported(folder: Path, home: Path) -> Path:
    """A copy of the folder, because preparing writes beside the configuration."""
    return Path(shutil.copytree(folder, home / "export")) / "axolotl.yaml"


def tokens(path: Path, wanted: list[str], model: str, ours: Path, home: Path) -> Result:
    return compared_tokens(
        prepared(configured(path, "arrow", "", home), model), wanted, shuffled=True
    )


def kept(path: Path, wanted: list[str], model: str, ours: Path, home: Path) -> Result:
    """The lines as they are."""
    from transformers import AutoTokenizer

    seen = compared(loaded("json", path, home), wanted)
    rows = prepared(configured(path, "json", "chat_template", home), model)
    return rendered(rows, wanted, AutoTokenizer.from_pretrained(model), seen, shuffled=True)


def export_tokens(path: Path, wanted: list[str], model: str, ours: Path, home: Path) -> Result:
    return compared_tokens(prepared(exported(path, home), model), wanted, shuffled=True)


def export(path: Path, wanted: list[str], model: str, ours: Path, home: Path) -> Result:
    """The file as it is read, and each row as it is rendered and masked."""
    from transformers import AutoTokenizer

    seen = compared(loaded("parquet", path / "train.parquet", home), wanted)
    rows, tokenizer = prepared(exported(path, home), model), AutoTokenizer.from_pretrained(model)
    result = rendered(rows, wanted, tokenizer, seen, shuffled=True)
    result["notes"].append(share_alike(rows, ours, tokenizer.eos_token_id))
    return result


READERS = {"tokens": tokens, "kept": kept, "export": export, "export-tokens": export_tokens}


def main() -> None:
    from importlib.metadata import version

    import datasets

    datasets.disable_progress_bars()
    kind, path, wanted, model, ours, home = sys.argv[1:]
    result = READERS[kind](Path(path), truth(Path(wanted)), model, Path(ours), Path(home))
    report(result, axolotl=version("axolotl"), datasets=datasets.__version__)


if __name__ == "__main__":
    main()
