"""S2: one step on one sample, and 50 epochs of single samples, with derivatives from a Taylor algebra."""

from typing import Any

import numpy as np

from descent_lab.replication import drawings
from descent_lab.replication.studies import obtain
from descent_lab.replication.verdicts import MISSED, REPRODUCED, Finding, Picture, Section, among
from descent_lab.wording import counted

NAME, SHORT = "taylor_network", "S2"
PER_EPOCH = 10  # samples in an epoch, each of which makes a step


def section(study: dict[str, Any]) -> Section:
    """Compares the published losses with those of many seeds."""
    published, seeds = study["published"], range(study["seeds"])
    epochs = obtain(["+experiment=taylor_network"], seeds)
    steps, losses = epochs.curves("train/loss")
    last = published["epoch"] * PER_EPOCH
    figure = f"mean loss recorded at epoch {published['epoch']}"
    note = "correct bias updates; the notebook's are wrong (see defects)"
    finding = among(SHORT, figure, published["loss"], losses[:, np.searchsorted(steps, last)], note)
    picture = drawings.taylor(steps // PER_EPOCH, losses, (published["epoch"], published["loss"]))
    caption = f"Mean loss per epoch: {counted(len(losses), 'seed')}, and the published value."
    remarks = [
        "The notebook drew weights and samples without a seed, so its figures are placed among those of many seeds. "
        "They come from a network whose hidden biases never moved; with all biases moving, as here, the same range "
        "of losses is reached.",
    ]
    return Section(NAME, [*_step(published, seeds), finding], remarks, {"s2_taylor": Picture(picture, caption)})


def _step(published: dict[str, Any], seeds: range) -> list[Finding]:
    runs = obtain(["+experiment=taylor_network_step"], seeds)
    before, after = runs.at("train/loss", 0), runs.at("train/loss", 1)
    n_lower = int((after < before).sum())
    lower = Finding(
        SHORT,
        "one step at lr 0.01 lowers the loss",
        "yes, in one run",
        f"in {n_lower} of {counted(len(before), 'seed')}",
        REPRODUCED if n_lower == len(before) else MISSED,
        seeds=len(before),
    )
    ratio = published["after"] / published["before"]
    return [
        lower,
        among(SHORT, "loss on (1, 2, 4) before the step", published["before"], before),
        among(SHORT, "loss after the step", published["after"], after),
        among(SHORT, "after / before", round(ratio, 3), after / before),
    ]
