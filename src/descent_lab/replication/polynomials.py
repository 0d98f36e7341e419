"""S3: the loss of the untrained network to the last digit, and the losses that random search reaches."""

from typing import Any

import numpy as np

from descent_lab.replication import drawings
from descent_lab.replication.studies import Obtained, configs, obtain, stored
from descent_lab.replication.verdicts import OPEN, Finding, Picture, Section, among, exact
from descent_lab.wording import counted

NAME, SHORT = "which_polynomial", "S3"
SETTING = ["+experiment=which_polynomial"]
GOLDEN = 1e-14  # the absolute tolerance on the loss of the untrained network
FIRST = 100  # every seed accepts a first proposal within so many iterations


def section(study: dict[str, Any], long: bool) -> Section:
    """Compares the untrained loss, the first accepted loss, and the losses of the search.

    long: whether to make the million iterations if the store does not have them.
    """
    published = study["published"]
    golden = obtain([*SETTING, "epochs=0"], [0])
    scaled = obtain(_setting(study["scaled"]), range(study["scaled"]["seeds"]))
    seeds = range(study["long"]["seeds"])
    full = obtain(_setting(study["long"]), seeds) if long else stored(_setting(study["long"]), seeds)
    findings = [
        exact(SHORT, "loss of the untrained network", published["golden_loss"], golden.at("train/loss", 0)[0], GOLDEN),
        _first(study),
        *(_full(full, published) if full else [_not_run(published)]),
    ]
    return Section(NAME, findings, _remarks(golden, scaled, full), _pictures(scaled, full, published))


def _setting(scale: dict[str, Any]) -> list[str]:
    return [*SETTING, f"epochs={scale['epochs']}", f"dtype={scale['dtype']}"]


def _first(study: dict[str, Any]) -> Finding:
    runs = obtain([*SETTING, f"epochs={FIRST}", "record.every=1"], range(study["seeds"]))
    losses = runs.curves("train/loss")[1]
    accepted = losses[np.arange(len(losses)), (losses < losses[:, :1]).argmax(axis=1)]
    note = "the run was not seeded; data and weights of each seed from the legacy stream"
    return among(SHORT, "first accepted loss, near", study["published"]["first_accepted"], accepted, note)


def _full(full: Obtained, published: dict[str, Any]) -> list[Finding]:
    losses, accuracy = (full.at(f"train/{name}", published["iterations"]) for name in ("loss", "accuracy"))
    lowest = losses.min()
    return [
        among(SHORT, "loss after 1,000,000 iterations", published["loss"], losses, "float32"),
        among(SHORT, "accuracy after 1,000,000 iterations", published["accuracy"], accuracy),
        Finding(
            SHORT,
            "best loss ever stored",
            f"{published['best_loss']} (accuracy {published['best_accuracy']:.2%})",
            f"{lowest:.4f} (accuracy {accuracy[losses.argmin()]:.2%})",
            "reached" if lowest <= published["best_loss"] else "not reached",
            "of an unknown number of runs",
            len(losses),
        ),
    ]


def _not_run(published: dict[str, Any]) -> Finding:
    figure, said = "loss after 1,000,000 iterations", "run `python -m reports.replication --long` (minutes)"
    return Finding(SHORT, figure, str(published["loss"]), "not run", OPEN, said)


def _remarks(golden: Obtained, scaled: Obtained, full: Obtained | None) -> list[str]:
    steps, losses = scaled.curves("train/loss")
    accuracy = golden.at("train/accuracy", 0)[0]
    said = [
        f"The untrained network's accuracy is {float(accuracy)!r}: {round(1200 * accuracy)} of 1200 points.",
        f"At equal iterations, float32: after {steps[-1]:,} the loss is {_spread(losses[:, -1])} over "
        f"{counted(len(losses), 'seed')}.",
    ]
    if full is None:
        return [*said, "The million iterations have not been run: --long does."]
    long_steps, long_losses = full.curves("train/loss")
    here = int(np.abs(long_steps - steps[-1]).argmin())
    n = len(long_losses)
    return [
        *said,
        f"Of those {n} that went on to a million: {_spread(long_losses[:, here])} after {long_steps[here]:,}, "
        f"{_spread(long_losses[:, -1])} at the end.",
    ]


def _spread(values: np.ndarray) -> str:
    return f"{np.median(values):.4f} ({values.min():.4f} to {values.max():.4f})"


def _pictures(scaled: Obtained, full: Obtained | None, published: dict[str, Any]) -> dict[str, Picture]:
    data = configs(SETTING, [0])[0].problem().data
    dataset = drawings.polynomials(data.x_train, data.y_train.argmax(axis=1), data.classes)
    known = [(published["iterations"], published["loss"], "published")]
    curves = [("20,000 iterations", *scaled.curves("train/loss"))]
    if full:
        curves = [("1,000,000 iterations", *full.curves("train/loss")), *curves]
    search = drawings.search(curves, known, published["best_loss"])
    return {
        "s3_polynomials": Picture(dataset, "The twelve polynomials, and the 1200 points of the golden check."),
        "s3_search": Picture(search, "Loss over iterations, one line a seed, and the published values."),
    }
