"""The Pareto front and the permutation test do what chapter 16 says."""
from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from d2lzh_ext.chapters.ch16_compare import pareto_front, permutation_p


def dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """By the definition: costs no more, is worth no less, and not both."""
    return a[0] <= b[0] and a[1] >= b[1] and a != b


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_nothing_dominates(seed):
    # Small whole numbers, so that equal costs and values are frequent.
    costs, values = np.random.RandomState(seed).randint(6, size=(2, 12))
    points = list(zip(costs.tolist(), values.tolist()))
    front = pareto_front(costs, values)
    assert sorted(front) == [
        i for i, point in enumerate(points)
        if not any(dominates(other, point) for other in points)]
    assert [points[i][0] for i in front] == sorted(
        points[i][0] for i in front)


def test_equal_points_are_on_the_front_together():
    assert sorted(pareto_front([2, 1, 1, 1], [3, 2, 2, 1])) == [0, 1, 2]


def test_the_front_takes_infinite_costs_and_nothing_at_all():
    assert pareto_front([], []) == []
    assert pareto_front([math.inf, 1], [2, 1]) == [1, 0]


@pytest.mark.parametrize("costs, values, message", [
    ([1, 2], [3], "2 costs, but 1 values"),
    ([1, math.nan], [3, 4], "NaN"), ([1, 2], [math.nan, 4], "NaN")])
def test_the_front_refuses_what_has_no_order(costs, values, message):
    with pytest.raises(ValueError, match=message):
        pareto_front(costs, values)


def test_five_and_five_without_overlap_give_the_smallest_p():
    assert permutation_p([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == 2 / 252
    assert permutation_p([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]) == 2 / 252


def test_equal_groups_give_one():
    assert permutation_p([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]) == 1
    assert permutation_p([0.8] * 5, [0.8] * 5) == 1


def test_p_counts_the_ways_to_deal_the_values():
    a, b = [0.5, 0.9], [0.1, 0.2, 0.4]
    values, as_far = a + b, 0
    ways = list(itertools.combinations(range(5), 2))
    for way in ways:
        others = [values[i] for i in range(5) if i not in way]
        difference = abs(np.mean([values[i] for i in way]) - np.mean(others))
        as_far += difference >= abs(np.mean(a) - np.mean(b)) - 1e-12
    assert permutation_p(a, b) == as_far / len(ways)


def test_rounding_does_not_hide_the_real_way():
    # 0.1 + 0.2 + 0.3 depends on the order of the sum in its last digit.
    assert permutation_p([0.3, 0.1, 0.2], [0.6, 0.7, 0.8]) == 2 / 20


def test_without_a_difference_small_p_are_rare():
    rng = np.random.RandomState(0)
    small = np.mean([permutation_p(sample[:5], sample[5:]) < 0.05
                     for sample in rng.normal(size=(400, 10))])
    assert 0.02 < small < 0.08


@pytest.mark.parametrize("a, b", [([], [1]), ([1], [])])
def test_a_group_needs_a_value(a, b):
    with pytest.raises(ValueError, match="each group"):
        permutation_p(a, b)
