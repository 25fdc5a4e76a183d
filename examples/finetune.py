"""Clean, render and fine-tune the tiny model of the sample data. Needs the train extra.

python examples/finetune.py OUT
"""

import sys
from pathlib import Path

import curate

HERE = Path(__file__).parent.parent / "sample_data"


def main(out: str) -> None:
    model = HERE / "tiny-base"
    run = curate.run(str(HERE / "raw"), recipe=HERE / "recipe.yaml")
    tokens = curate.render(run, template="chatml", tokenizer=str(model))
    print(tokens.summary())
    result = curate.train(
        tokens,
        model=model,
        out=out,
        preset="alpaca",
        learning_rate=0.002,
        num_train_epochs=2,
        batch_size=16,
        log=print,
    )
    before, after = result.before, result.after
    if before and after:
        print(f"held-out loss per token: {before.loss:.3f} before, {after.loss:.3f} after")
    print(f"load it with AutoModelForCausalLM.from_pretrained({str(result.out)!r})")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
