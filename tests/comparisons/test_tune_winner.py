"""Which finalist goes into the file, and what is said of it."""

from __future__ import annotations

from flows.comparisons.tuning.winner import Applied, Finalist, ordered

RECIPE = Finalist(0, {}, (0.9, 1.0), 100)
LARGE = Finalist(3, {"model.width": 64}, (1.0, 0.9), 900)
SMALL = Finalist(4, {"model.width": 4}, (0.95, 0.95), 10)
BETTER = Finalist(5, {"train.learning_rate": 0.1}, (0.97, 0.97), 100)


def test_of_equal_means_the_recipe_stays_then_the_smaller_network_is_first() -> None:
    found = ordered([LARGE, SMALL, RECIPE], higher_is_better=True)
    assert [one.number for one in found] == [0, 4, 3]
    applied = Applied(tuple(found), 0.0, 0.1, True, bool(found[0].settings), ())
    assert not applied.changed
    assert applied.sentence("accuracy").startswith("the recipe of the file is the best over the seeds too")


def test_a_better_mean_is_first_whichever_way_is_better() -> None:
    assert ordered([RECIPE, BETTER], higher_is_better=True)[0] is BETTER
    assert ordered([RECIPE, BETTER], higher_is_better=False)[0] is RECIPE
    applied = Applied((BETTER, RECIPE), 0.02, 0.07, True, True, ())
    assert "gain 0.0200, spread 0.0700: an improvement within the spread" in applied.sentence("accuracy")
