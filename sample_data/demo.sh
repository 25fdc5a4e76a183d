#!/bin/sh
# The whole job on the sample data: a raw dump becomes a report, a preview and a fine-tuned model;
# and a proof says whether the rows that were kept are better than others.
set -eu
cd "$(dirname "$0")/.."
out=${1:-.demo}
run() { printf '\n$ %s\n' "$*"; "$@"; }

# Training again replaces what an earlier demo left: --force touches nothing else.
run curate run sample_data/raw --recipe sample_data/recipe.yaml --out "$out/run"
run curate preview "$out/run" --template chatml --tokenizer sample_data/tiny-base
run curate render "$out/run" --template chatml --tokenizer sample_data/tiny-base --out "$out/tokens"
run curate train "$out/tokens" --model sample_data/tiny-base --preset alpaca \
    --lr 0.002 --epochs 6 --batch 16 --force --out "$out/model"
run curate prove "$out/run" --model sample_data/tiny-base --template chatml --method full \
    --baselines random,longest --lr 0.002 --epochs 2 --seeds 3 --force --out "$out/proof"

cat <<END

Where everything is
  $out/run/report.html   the funnel, with examples of every reason: open it in a browser
  $out/run/kept.jsonl    the curated rows; dropped.jsonl and rejects.jsonl hold the others
  $out/tokens            masked tokens; datasets.load_from_disk reads them
  $out/model             the chosen checkpoint; curves.svg and metrics.jsonl beside it
  $out/proof/proof.html  the kept rows against others of the same size: open it in a browser
Ask why a row went:      curate explain $out/run 7
Hand the rows on:        curate export $out/run --to trl --out DIR
END
