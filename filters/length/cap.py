"""Cap the concentration of lengths by dropping the fewest, worst rows of the densest window."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from filters.common import stats
from filters.common.arrays import Bools, Floats, Ints

_USED_UP = np.iinfo(np.int64).max


class Cap(NamedTuple):
    """What was kept, and which window each dropped row made too dense.

    `share` is the concentration that was reached: at most `max_share`, unless that is impossible.
    `window` (n,) is the centre and `density` (n,) the share of the window when the row was dropped.
    """

    keep: Bools
    window: Ints
    density: Floats
    share: float


def cap(lengths: Ints, rank: Ints, groups: Ints, max_share: float, min_rows: int) -> Cap:
    """Drop the lowest-ranked row of the densest +-10 % window until C10 <= `max_share`.

    `rank` (n,) are distinct numbers, lowest dropped first; `groups` (n,) are group numbers, and
    no group falls below `min_rows` rows or its own size. A set within `max_share` is left
    alone. When it cannot be reached, the rows kept are those at the point where it got stuck.
    """
    keep = np.ones(len(lengths), dtype=np.bool_)
    window = np.zeros(len(lengths), dtype=np.int64)
    density = np.zeros(len(lengths))
    windows = stats.windows_of(lengths)
    held = stats.window_rows(windows)
    if not held.size:
        return Cap(keep, window, density, 0.0)
    queue = _Queue(lengths, rank, groups, min_rows, windows)
    # Window w holds value v when w <= v < ends[w]: the windows that hold v are a range up to v.
    values = np.arange(len(windows.values))
    reach = np.searchsorted(windows.ends, values, side="right").tolist()
    first, ends, left = windows.first, windows.ends.tolist(), len(lengths)
    # One turn per dropped row: each drop changes which window is densest. All that a turn costs
    # is a few NumPy calls over windows and lengths, never over rows.
    while left:
        densest = int(held.argmax())
        share = int(held[densest]) / left
        if share <= max_share:
            break
        found = queue.take(first + densest, ends[densest])
        if found is None:
            break
        row, value = found
        left -= 1
        held[reach[value] : value - first + 1] -= 1
        keep[row], window[row], density[row] = False, densest, share
    dropped = ~keep
    centres = [stats.centre(windows, each) for each in window[dropped].tolist()]
    window[dropped] = centres
    return Cap(keep, window, density, share)


class _Queue:
    """Per length, the rows that may still be dropped, lowest rank first."""

    def __init__(
        self, lengths: Ints, rank: Ints, groups: Ints, min_rows: int, windows: stats.Windows
    ) -> None:
        order = np.lexsort((rank, lengths))
        last = np.cumsum(windows.counts)
        # Plain lists: reading one number from an array costs more than the work around it.
        self.rows, self.ranks = order.tolist(), rank[order].tolist()
        self.groups = groups[order].tolist()
        self.next, self.last = (last - windows.counts).tolist(), last.tolist()
        self.next_rank = rank[order[last - windows.counts]]
        self.surplus = np.maximum(np.bincount(groups) - min_rows, 0).tolist()

    def take(self, first: int, end: int) -> tuple[int, int] | None:
        """The lowest-ranked unprotected row of the values first..end, and its value's place."""
        while True:
            value = first + int(self.next_rank[first:end].argmin())
            if self.next_rank[value] == _USED_UP:
                return None
            at = self.next[value]
            # A protected row is passed over for good: its group never grows again.
            self.next[value] = at + 1
            used_up = at + 1 == self.last[value]
            self.next_rank[value] = _USED_UP if used_up else self.ranks[at + 1]
            if self.surplus[self.groups[at]]:
                self.surplus[self.groups[at]] -= 1
                return self.rows[at], value
