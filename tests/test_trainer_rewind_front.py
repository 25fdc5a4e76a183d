from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.after.rewind.choosing import choose, points_of, reference_of, volumes_of
from trainer.after.rewind.front import front, hypervolume
from trainer.after.rewind.results import Numbers, Place
from trainer.after.rewind.scales import Scale

POINTS = [(1, 3), (2, 2), (3, 1), (2, 1)]


def test_the_front_leaves_out_what_another_point_beats() -> None:
    assert front(POINTS) == [0, 1, 2]


def test_equal_points_stay_together() -> None:
    assert front([(1, 1), (2, 2), (2, 2)]) == [1, 2]


def test_the_hypervolume_is_the_area_above_the_reference() -> None:
    assert hypervolume(POINTS, (0, 0)) == 6
    assert hypervolume([*POINTS, (3, 3)], (0, 0)) == 9


def test_the_reference_decides_between_points_that_tie_at_another() -> None:
    one, other = (1.0, 3.0), (3.0, 1.0)
    assert hypervolume([one], (0, 0)) == hypervolume([other], (0, 0)) == 3
    assert hypervolume([one], (0.5, 0.9)) == pytest.approx(1.05)
    assert hypervolume([other], (0.5, 0.9)) == pytest.approx(0.25)


def test_points_below_the_reference_cover_nothing() -> None:
    assert hypervolume([(1, 3), (-1, 5), (5, -1)], (0, 0)) == 3


_pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=8)


@given(_pairs)
def test_the_hypervolume_is_the_count_of_cells_that_a_point_covers(points: list[tuple]) -> None:
    cells = {(x, y) for a, b in points for x in range(a) for y in range(b)}
    assert hypervolume(points, (0, 0)) == len(cells)
    kept = [points[at] for at in front(points)]
    assert hypervolume(kept, (0, 0)) == len(cells)


def found(**places: tuple[float, float]) -> dict[Place, tuple[float, Numbers]]:
    """Points with target and retention loss: `a3` is at alpha 0.3, `e1` the end of epoch 1."""
    made = {}
    for name, (target, kept) in places.items():
        numbers = Numbers(target, kept, 0.0, 1.0)
        if name[0] == "e":
            made[Place("epoch", 1.0, int(name[1:]))] = (1.0, numbers)
        else:
            alpha = int(name[1:]) / 10
            made[Place("path", alpha)] = (alpha, numbers)
    return made


# Base, three points and the checkpoint, and an epoch that is worse than the point beside it.
PATH = found(a0=(3, 2), a3=(2, 2.02), a5=(1.5, 2.04), a8=(1.2, 2.3), a10=(1, 3), e1=(1.9, 2.05))


def test_a_bound_takes_the_lowest_target_loss_among_those_that_keep_it() -> None:
    place, why = choose(PATH, 0.05, "before.txt")
    assert str(place) == "alpha 0.5"
    assert why == (
        "lowest target loss of the 3 points whose loss on before.txt rose by at most 0.05 nats a "
        "token"
    )


def test_the_base_is_never_taken() -> None:
    losing = found(a0=(1, 2), a5=(2, 3), a10=(3, 4))
    assert str(choose(losing, 5.0, "before.txt")[0]) == "alpha 0.5"


def test_without_a_bound_the_largest_hypervolume_is_taken() -> None:
    place, why = choose(PATH, None, "before.txt")
    # Above (3, 3): 0.98, 1.44, 1.26; the ends have none.
    assert str(place) == "alpha 0.5"
    assert why == "largest hypervolume, 1.44, above target 3.0000, retention 3.0000"


def test_a_bound_that_no_point_keeps_is_spoken_of_before_the_hypervolume() -> None:
    place, why = choose(PATH, 0.01, "before.txt")
    assert str(place) == "alpha 0.5"
    assert why.startswith("no point keeps the loss on before.txt within 0.01 of the base; largest")


def test_where_nothing_is_better_than_the_worse_ends_the_lowest_target_loss_is_taken() -> None:
    bad = found(a0=(1, 1), a5=(4, 4), a10=(2, 2))
    place, why = choose(bad, None, "before.txt")
    assert str(place) == "alpha 1" and "no point is better than both ends at their worst" in why


def test_the_reference_is_the_worse_of_both_ends_whatever_lies_between() -> None:
    assert reference_of(PATH) == (3, 3)
    assert reference_of({**PATH, **found(a7=(9, 9))}) == (3, 3)


def test_every_point_says_what_it_loses_and_whether_another_beats_it() -> None:
    points = points_of(PATH, Place("path", 0.5))
    assert [point.is_front for point in points] == [True, True, True, True, True, False]
    assert [point.rise for point in points] == pytest.approx([0, 0.02, 0.04, 0.3, 1, 0.05])
    assert [str(point.place) for point in points if point.is_chosen] == ["alpha 0.5"]


def test_each_track_has_a_volume_of_its_own() -> None:
    volumes = volumes_of(PATH)
    assert volumes["epoch"] == pytest.approx(1.1 * 0.95)
    assert volumes["path"] > volumes["epoch"]


def test_by_layer_the_first_layers_go_as_far_as_alpha_and_the_last_all_the_way() -> None:
    scale = Scale(0.2, layers=5, by_layer=True)
    parts = [scale.of(f"base_model.model.model.layers.{layer}.mlp.up_proj") for layer in range(5)]
    assert parts == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert scale.of("model.embed_tokens.weight") == 0.2
    assert scale.of("transformer.wte.weight") == 0.2
    assert scale.of("lm_head.weight") == 1.0
    assert scale.of("transformer.h.2.ln_1.weight") == pytest.approx(0.6)
    assert Scale(1.0, layers=5, by_layer=True).of("model.layers.0.x.weight") == 1.0
    assert Scale(0.2, layers=5).of("model.layers.4.x.weight") == 0.2
