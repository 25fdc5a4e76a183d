"""How chat templates spell their delimiters, by family (Rust regex syntax, no groups).

One list for `quality`, which drops rows that hold any, and `format`, which says whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping

MARKERS: Mapping[str, str] = {
    "chatml": r"<\|im_(?:start|end|sep)\|>",
    "llama3": r"<\|(?:start_header_id|end_header_id|eot_id|eom_id|begin_of_text|end_of_text)\|>",
    "zephyr": r"<\|(?:system|user|assistant|end)\|>",
    "special": r"<\|[A-Za-z_]{2,24}\|>|<(?:unk|pad|eos|bos)>|</s>\s*\z|\A\s*<s>",
    "llama2": r"\[/?INST\]|<</?SYS>>",
    "gemma": r"<(?:start|end)_of_turn>",
    "alpaca": (
        r"#{2,4} ?(?:Instruction|Response)s?:|### ?(?:Input|Human|Assistant|User):"
        r"|(?m:^Below is an instruction that describes)"
    ),
}

# Turns written out: at line starts only, as "The Human: a film" is prose.
DIALOGUE = (
    r"(?ms:^(?:Human|USER): ?.*^(?:Assistant|ASSISTANT):|\n\n(?:Human|USER): "
    r"|\A(?:Assistant|ASSISTANT): )"
)
