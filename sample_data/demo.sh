#!/bin/sh
# The whole job on the sample data: a raw dump becomes a report, a preview and a fine-tuned model.
set -eu
here=$(dirname "$0")
out=${1:-.demo}
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

say curate run "$here/raw" --recipe "$here/recipe.yaml" --out "$out/run"
say curate preview "$out/run" --template chatml --tokenizer "$here/tiny-base"
say curate render "$out/run" --template chatml --tokenizer "$here/tiny-base" --out "$out/tokens"
say curate train "$out/tokens" --model "$here/tiny-base" --set "{demo: settings}" --out "$out/model"

cat <<END

Where everything is
  $out/run/report.html       the funnel, with examples of every reason: open it in a browser
  $out/run/kept.jsonl        the curated rows; dropped.jsonl and rejects.jsonl hold the others
  $out/tokens                masked tokens; datasets.load_from_disk reads them
  $out/model                 the chosen checkpoint; curves.svg and metrics.jsonl beside it
Ask why a row went:  curate explain $out/run 3
END
