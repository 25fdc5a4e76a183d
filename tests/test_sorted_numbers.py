from __future__ import annotations

import numpy as np
import pytest

from filters.common.arrays import ascending


@pytest.mark.parametrize("kind", [np.int64, np.uint32, np.uint64])
@pytest.mark.parametrize("count", [0, 1, 5_000])
def test_whole_numbers_of_any_size_are_sorted_as_numpy_does(kind: type, count: int) -> None:
    limits = np.iinfo(kind)
    drawn = np.random.default_rng(0).integers(limits.min, limits.max, count, kind, endpoint=True)
    values = np.concatenate([drawn, drawn[::3]])
    found = ascending(values)
    assert found.dtype == kind and np.array_equal(found, np.sort(values))
    assert np.array_equal(values[:count], drawn)
