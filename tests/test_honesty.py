"""Whole studies, from the choice of settings to the words, in short; tests/honesty.py has them at length."""

import numpy as np
import pytest

from tests.honesty import LAWS, drawn, said_of, simulated


@pytest.mark.parametrize("law", LAWS)
def test_the_same_optimizer_twice_is_seldom_told_apart(law):
    """Of 20 studies of equal entrants, more than 4 false ones would happen with p = 0.003 at a rate of 5 %."""
    told = [simulated(law, 5, 1, seed) for seed in range(20)]
    assert sum(said.table for said in told) <= 4
    assert [said.table for said in told] == [said.words for said in told]


def test_a_report_over_many_problems_and_entrants_is_one_family():
    told = [simulated("normal", 5, 6, seed, entrants=3) for seed in range(5)]
    assert sum(said.table for said in told) <= 2
    assert [said.table for said in told] == [said.words for said in told]


def test_an_optimizer_that_is_half_as_good_again_is_found():
    told = [simulated("normal", 10, 1, seed, ratio=2.0) for seed in range(6)]
    assert sum((said.pairs["winner"] == "entrant0").any() for said in told) >= 5
    assert not any((said.pairs["winner"] == "entrant1").any() for said in told)


def test_entrants_with_tuning_seeds_of_their_own_are_judged_on_the_same_seeds():
    """Two draws from one pool: the losses on held-out seeds are those of the same rows."""
    losses = np.random.default_rng(0).lognormal(size=(60, 7))
    first, second = drawn(losses, "iris", 5, np.random.default_rng(1))
    held_out = [part[part["seed"] >= 1000].reset_index(drop=True) for part in (first, second)]
    assert held_out[0]["final_train_loss"].equals(held_out[1]["final_train_loss"])
    assert not first["final_train_loss"].equals(second["final_train_loss"])
    assert len(said_of(iter([first, second]), 5).pairs) == 1
