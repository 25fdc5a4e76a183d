"""Clean a dump, look at what was dropped, and judge again with another threshold.

python examples/clean.py [DUMP]
"""

import sys
from pathlib import Path

import curate

HERE = Path(__file__).parent.parent / "sample_data"


def no_links(record: dict) -> bool | str:
    """A filter of one's own: True keeps, a reason drops."""
    return "has_link" if "http" in record["response"] else True


def main(dump: str) -> None:
    run = curate.run(
        dump,
        steps=[
            "exact",
            {"near": {"threshold": 0.8}},
            "quality",
            {"language": {"allow": ["en"]}},
            no_links,
        ],
    )
    print(run.summary())

    for step, reason in run.dropped.select("step", "reason").unique(maintain_order=True).rows():
        print(f"dropped by {step}: {reason}")
    print()
    print(run.explain(run.dropped["row"][0]))

    looser = run.with_settings({"near.threshold": 0.95})
    print(f"\n{run.kept.height} rows are kept; with near.threshold 0.95 it is {looser.kept.height}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(HERE / "raw"))
