"""Axes that a reader can use, whatever the losses are."""

import numpy as np
import pandas as pd
import pytest

from descent_lab.report.figures import tuning
from descent_lab.report.figures.style import DASHES, Style, log_span, log_ticks, styles, styles_in_order

LOSSES = [3.0, 1e-3, 0.0, 3e300, np.inf]  # of one cell after the other: it fits exactly, all but diverges, diverges


def test_a_loss_of_0_leaves_the_axis_logarithmic_and_has_its_place_below():
    cells = pd.DataFrame({"lr": [0.001, 0.01, 0.1, 1.0, 10.0], "estimate": LOSSES, "diverged": [0, 0, 0, 0, 3]})
    cells = cells.assign(dataset="d", entrant="sgd", low=cells["estimate"], high=cells["estimate"])
    (axes,) = tuning.loss_against_lr(cells, "loss", {"sgd": Style("black")}).axes
    assert axes.get_ylim()[0] == 0 and 3 < axes.get_ylim()[1] < 1e4
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "10⁻³", "0.1", "10", "1000"]


@pytest.mark.parametrize(
    ("values", "span"),
    [
        ([1e-28, 10.0], (1e-28, 10.0, False)),
        ([0.0, 1e-28, 10.0], (1e-11, 10.0, True)),
        ([np.inf, np.nan, 2.0], (2.0, 2.0, False)),
        ([1.0, 99.0], (1.0, 10.0, False)),
        ([20.0, 99.0], (20.0, 20.0, False)),
        ([-1.0, 1.0], None),
        ([0.0], None),
        ([], None),
    ],
)
def test_what_a_logarithmic_axis_spans(values, span):
    assert log_span(np.array(values), top=10.0) == span


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1e-9, 3.0, [1e-9, 1e-7, 1e-5, 1e-3, 0.1]),
        (3.0, 30.0, [5.0, 10.0, 20.0]),
        (0.27, 0.68, [0.3, 0.4, 0.5, 0.6]),
        (1.0, 1.05, [1.0, 1.02, 1.04]),
    ],
)
def test_an_axis_has_two_ticks_or_more(low, high, ticks):
    assert log_ticks(low, high, 5) == ticks


def test_entrants_of_one_optimizer_share_its_colour_and_others_have_their_own():
    shared = styles({"jax sgd": "sgd", "numpy sgd": "sgd"})
    assert len({style.colour for style in shared.values()}) == 1
    assert len({style.dash for style in shared.values()}) == 2
    for names in (["fan_in", "he", "zeros"], [f"size={2**i}" for i in range(9)]):
        found = styles_in_order(names)
        assert list(found) == names
        assert len({(style.colour, DASHES[style.dash]) for style in found.values()}) == len(names)
