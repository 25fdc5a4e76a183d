"""See what a model will see: text, tokens, and which of them are trained.

python examples/preview.py [TEMPLATE [TOKENIZER]]
"""

import sys
from pathlib import Path

import curate

TINY = Path(__file__).parent.parent / "sample_data" / "tiny-base"
ROWS = [
    {
        "messages": [
            {"role": "user", "content": "What do hedgehogs eat?"},
            {"role": "assistant", "content": "Hedgehogs eat beetles and slugs."},
            {"role": "user", "content": "And in winter?"},
            {"role": "assistant", "content": "In winter they sleep."},
        ]
    },
    {"instruction": "Name a colour.", "output": "Blue is a colour."},
]


def main(template: str = "chatml", tokenizer: str = str(TINY)) -> None:
    print(curate.preview(ROWS, template=template, tokenizer=tokenizer, rows=[0, 1]))

    tokens = curate.render(ROWS, template=template, tokenizer=tokenizer, turns="last")
    print(f"\n{tokens!r}")
    for labels in tokens.examples["labels"].to_list():
        trained = sum(label != -100 for label in labels)
        print(f"{trained} of {len(labels)} tokens are trained when only the last answer is")


if __name__ == "__main__":
    main(*sys.argv[1:])
