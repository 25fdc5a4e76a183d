"""TOKENS read by `datasets.load_from_disk`, compared with what was written.

tokens.py TOKENS TRUTH HOME
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from conversation import compared_tokens, report, truth


def main() -> None:
    import datasets

    tokens, wanted, _ = sys.argv[1:]
    rows = datasets.load_from_disk(tokens)
    report(compared_tokens(rows, truth(Path(wanted))), datasets=datasets.__version__)


if __name__ == "__main__":
    main()
