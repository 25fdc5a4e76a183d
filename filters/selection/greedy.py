"""InsTag's complexity-first diverse sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from filters.common.arrays import Ints
from filters.common.budget import Allowance


class Tagged(NamedTuple):
    """`turn` (n,) is the round in which a row was taken, 0 if it was not; `brings` what was new."""

    turn: Ints
    brings: list[str]


def tag_greedy(tags: Sequence[Sequence[str]], order: Ints, room: Allowance) -> Tagged:
    """Walk down `order`; take a row if it has a tag that no row of this round has brought.

    `tags` (n,) names each row's tags, each once. When a round is over, the next begins with no
    tags seen, until nothing fits or no row with tags is left (Lu et al. 2024, arXiv 2308.07074,
    algorithm 1). Bits of one number stand for a row's tags.
    """
    names = sorted({tag for row in tags for tag in row})
    bit = {name: 1 << place for place, name in enumerate(names)}
    masks = [sum(bit[tag] for tag in row) for row in tags]
    turn = np.zeros(len(tags), dtype=np.int64)
    brings = [""] * len(tags)
    number = 0
    while True:
        left = [at for at in order.tolist() if masks[at] and room.fits(at)]
        if not left:
            if room.lift_shares():
                continue
            return Tagged(turn, brings)
        number += 1
        every = 0
        for at in left:
            every |= masks[at]
        seen = 0
        # What is new depends on the rows taken before, hence a loop.
        for at in left:
            new = masks[at] & ~seen
            if new and room.fits(at):
                room.take(at)
                seen |= masks[at]
                turn[at] = number
                brings[at] = ", ".join(tag for tag in tags[at] if bit[tag] & new)
                if seen == every:
                    break
