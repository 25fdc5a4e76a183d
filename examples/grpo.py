"""Go on with GRPO: TRL's trainer asks a tuned model, and a reward model scores what it answers.

python examples/grpo.py SFT REWARD PROMPTS OUT [STEPS]

SFT and REWARD are folders of `curate train`, the second with --objective reward; of PROMPTS, any
dump, the questions are taken. Needs the train extra and trl 1.16.
"""

import json
import sys
from pathlib import Path

import curate


def questions(dump: str) -> list[dict]:
    """Every conversation up to its last answer, once, as TRL takes prompts."""
    found = {}
    for messages in curate.run(dump, steps=["exact"]).kept["messages"].to_list():
        asked = [{name: each[name] for name in ("role", "content")} for each in messages[:-1]]
        found[json.dumps(asked)] = {"prompt": asked}
    return list(found.values())


def main(sft: str, reward: str, dump: str, out: str, steps: str = "2") -> None:
    if "ForSequenceClassification" not in (Path(reward) / "config.json").read_text("utf-8"):
        sys.exit(f"{reward} has no score, and TRL would make one up; train it: --objective reward")
    # TRL ends an answer at tokens alone: at those of generation_config.json, which SFT taught.
    stops = json.loads((Path(sft) / "generation_config.json").read_text("utf-8"))
    if texts := stops.get("stop_strings"):
        sys.exit(f"{sft} stops at text; render its rows with --add-token {texts[0]}")

    import datasets
    import torch
    import trl

    config = trl.GRPOConfig(
        output_dir=out,
        max_steps=int(steps),
        per_device_train_batch_size=8,  # two questions with four answers each
        num_generations=4,
        max_completion_length=64,
        learning_rate=1e-5,
        bf16=torch.cuda.is_available(),
        logging_steps=1,
        log_completions=True,  # OUT/completions: every answer with its reward
        save_strategy="no",
        report_to="none",
    )
    # Both folders bring the template and the padding token that they were trained with.
    trainer = trl.GRPOTrainer(
        sft, reward, args=config, train_dataset=datasets.Dataset.from_list(questions(dump))
    )
    trainer.train()
    trainer.save_model(out)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) in (5, 6) else sys.exit(__doc__)
