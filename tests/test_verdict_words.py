"""No words without a verdict: sentences about random tables of verdicts say what the rows say, and no more."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descent_lab.analysis.measure import Measure
from descent_lab.analysis.statistics import Asked
from descent_lab.analysis.statistics.verdicts import BETTER, EQUAL, SLIGHTLY, UNDECIDED
from descent_lab.report.verdict_words import AS_GIVEN, ONE_BLOCK, Wording, details, headline
from descent_lab.report.words import interval, p_value

NAMES = ("adam", "lion", "sgd", "wild")
LOSS = Wording(Measure(), Asked(), tuned=True)
ACCURACY = Wording(Measure("test/accuracy"), Asked(better="higher", scale="linear"), tuned=True)
VERDICTS = st.sampled_from([BETTER, SLIGHTLY, EQUAL, UNDECIDED])


def row(a, b, verdict, unit="blocks", first=True):
    """A row of the table of verdicts. first: whether a is the winner, where there is one."""
    winner = (a if first else b) if verdict in (BETTER, SLIGHTLY) else ""
    effect = {BETTER: 0.5, SLIGHTLY: 0.95}.get(verdict, 1.0)
    effect = effect if first else 1 / effect
    return {
        "dataset": "iris", "a": a, "b": b, "n": 10, "unit": unit, "effect": effect, "effect_low": effect / 1.01,
        "effect_high": effect * 1.01, "level": 0.05, "p": 0.01, "p_adjusted": 0.03, "winner": winner,
        "verdict": verdict, "corrected": True, "needed": 7.0 if verdict == UNDECIDED else np.nan, "note": "",
    }  # fmt: skip


@given(st.lists(st.tuples(VERDICTS, st.booleans()), min_size=6, max_size=6), st.sampled_from(["blocks", "seeds"]))
@settings(max_examples=200, deadline=None)
def test_no_words_without_a_verdict(told, unit):
    pairs = [(a, b) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]]
    rows = [row(*pair, verdict, unit, first) for pair, (verdict, first) in zip(pairs, told, strict=True)]
    said = headline(pd.DataFrame(rows), LOSS)
    won = {(r["winner"], r["b"] if r["winner"] == r["a"] else r["a"]): r["verdict"] for r in rows if r["winner"]}
    for sentence in said.removesuffix(".").split(". "):
        sentence = sentence.rpartition(": ")[2]
        winner = next((name for name in NAMES if sentence.startswith(f"{name} is")), None)
        if " than every other" in sentence:
            mine = {verdict for (who, _), verdict in won.items() if who == winner}
            assert sum(who == winner for who, _ in won) == 3
            assert (BETTER in mine) == (f"{BETTER} or" in sentence or f"is {BETTER} than" in sentence)
            assert (SLIGHTLY in mine) == (SLIGHTLY in sentence)
        elif winner:
            beaten = {loser for who, loser in won if who == winner}
            assert {name for name in NAMES if name in sentence.partition("than")[2]} == beaten
            assert (SLIGHTLY in sentence) == (SLIGHTLY in {won[winner, loser] for loser in beaten})
    if not won:
        assert "better than" not in said.replace("No entrant is shown to be better than another", "")
    for (winner, loser), verdict in won.items():
        assert f"{winner} is {verdict} than {loser}: final training loss" in " ".join(details(pd.DataFrame(rows), LOSS))
    assert said.startswith(ONE_BLOCK) == (unit == "seeds")
    assert "together" not in said and "wins" not in said and "indistinguishable" not in said


@given(st.floats(0.9, 1.1), st.floats(0.04, 0.06))
def test_rounding_takes_no_limit_and_no_p_across_the_line_that_decides(limit, p):
    low, high = (float(text) for text in interval(1.0, limit, limit, neutral=1.0).partition("[")[2][:-1].split(", "))
    assert low == high and np.sign(low - 1) == np.sign(limit - 1)
    assert np.sign(float(p_value(p).removeprefix("= ")) - 0.05) == np.sign(p - 0.05)
    assert interval(3.1, 1.00042, 9.387, neutral=1.0) == "3.1 [1.0004, 9.39]"


def test_the_effect_is_told_in_the_direction_of_the_winner():
    (line,) = details(pd.DataFrame([row("adam", "sgd", BETTER)]), LOSS)
    assert line.startswith("adam is better than sgd: final training loss 2 [1.98, 2.02] times lower, over 10 blocks")
    (line,) = details(pd.DataFrame([row("adam", "sgd", BETTER, first=False)]), LOSS)
    assert line.startswith("sgd is better than adam: final training loss 2 [1.98, 2.02] times lower")


@pytest.mark.parametrize(("first", "effect"), [(True, 0.05), (False, -0.05)])
def test_a_difference_of_accuracies_is_told_as_higher(first, effect):
    told = row("adam", "sgd", BETTER, first=first) | {"effect": effect, "effect_low": 0.02, "effect_high": 0.08}
    told |= {} if first else {"effect_low": -0.08, "effect_high": -0.02}
    (line,) = details(pd.DataFrame([told]), ACCURACY)
    assert line.startswith(f"{told['winner']} is better than")
    assert "final test accuracy higher by 0.05 [0.02, 0.08]" in line


def test_p_is_a_bound_where_it_is_very_small_and_uncorrected_where_it_is():
    tiny = row("adam", "sgd", BETTER) | {"p_adjusted": 1e-9}
    assert "p ≤ 0.0001" in details(pd.DataFrame([tiny]), LOSS)[0]


def test_settings_that_were_given_are_not_called_chosen():
    rows = pd.DataFrame([row("adam", "sgd", UNDECIDED, "seeds")])
    assert headline(rows, Wording(Measure(), Asked(), tuned=False)).startswith(AS_GIVEN)
    assert "; about 7)" in details(rows, LOSS)[0]


def test_an_interval_without_bounds_is_left_out():
    wide = row("adam", "sgd", UNDECIDED) | {"effect_low": 0.0, "effect_high": np.inf}
    (line,) = details(pd.DataFrame([wide]), LOSS)
    assert "∞" not in line and "ratio 1;" in line
