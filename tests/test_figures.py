"""Axes that a reader can use, whatever the losses are."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from PIL import Image

from descent_lab.errors import NotGiven
from descent_lab.report import drawing, plots
from descent_lab.report.drawing import log_ticks
from descent_lab.report.looks import DASHES, DIVERGED, MARKERS, Style, log_span, styles, styles_in_order
from descent_lab.report.renderer import METADATA
from descent_lab.report.sections import clocks, curves, predictions, profiles, ranks, results, scores, targets, tuning

LOSSES = [3.0, 1e-3, 0.0, 3e300, np.inf]  # of one cell after the other: it fits exactly, all but diverges, diverges


def test_a_loss_of_0_leaves_the_axis_logarithmic_and_has_its_place_below():
    cells = pd.DataFrame({"lr": [0.001, 0.01, 0.1, 1.0, 10.0], "estimate": LOSSES, "diverged": [0, 0, 0, 0, 3]})
    cells = cells.assign(dataset="d", entrant="sgd", low=cells["estimate"], high=cells["estimate"])
    (axes,) = tuning.against(cells.assign(tuned="lr"), "lr", "loss", {"sgd": Style("black")}).axes
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
    assert len({style.marker for style in shared.values()}) == 2
    for names in (["fan_in", "he", "zeros"], [f"size={2**i}" for i in range(9)]):
        looks = styles_in_order(names)
        assert list(looks) == names
        assert len({(style.colour, DASHES[style.dash]) for style in looks.values()}) == len(names)


def test_twenty_entrants_of_one_optimizer_are_told_apart():
    looks = styles({f"sgd momentum={i}": "sgd" for i in range(20)})
    assert len({(style.dash, style.marker) for style in looks.values()}) == 20


def test_no_entrant_has_the_marker_of_what_diverged_or_goes_on_beyond_an_axis():
    assert not {"P", "X", "+", DIVERGED} & set(MARKERS)
    assert len(set(plots.MARKERS.values())) == len(plots.MARKERS) == len(MARKERS)
    assert not {"x", "cross", "plus", "asterisk", "square_pin"} & {name for name, *_ in plots.MARKERS.values()}


def test_optimizers_differ_in_their_dashes_so_that_curves_that_coincide_can_be_seen():
    looks = styles({name: name for name in ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")})
    assert len({style.dash for style in looks.values()}) == 6
    plot = plots.Plot("d", "x", "estimate", "x", "loss", [], (True, True), (0.1, 1.0))
    plot.add_bands(frame([1.0, 0.5], ["adam", "sgd", "momentum"]).assign(setting="lr=0.1"), ["x"], looks)
    parts = plot.described()["parts"]
    assert [part["name"] for part in parts] == ["sgd", "adam", "momentum"]  # the solid line lies below the dashed ones
    assert [part["width"] for part in parts] == sorted((part["width"] for part in parts), reverse=True)


# Every figure, over frames that no figure would like.

HARD = {
    "ordinary": [1.0, 0.5, 0.2, 0.1],
    "wild": [1.0, 1e76, 1e300, 1e-300],
    "gaps": [1.0, np.nan, np.inf, 0.1],
    "all equal": [0.5] * 4,
    "zeros": [0.0] * 4,
    "falls to zero": [1.0, 1e-3, 0.0, 0.0],
    "negative": [-1.0, 1.0, 0.0, 2.0],
    "nothing finite": [np.inf] * 4,
    "missing": [np.nan] * 4,
    "one run": [0.3],
}
NAMES = ("plain", "$x_1$ {a} 50% _b", "$unclosed^", "_hidden", "back\\slash & <i>")


def frame(values, names=NAMES, dataset="a $data_set$"):
    """A row per entrant and value, with every column that a figure asks for."""
    y = np.array(values)
    parts = [
        pd.DataFrame(
            {
                "dataset": dataset, "entrant": name, "x": np.arange(len(y)), "estimate": y, "low": y / 2,
                "high": np.where(np.arange(len(y)) == 1, np.inf, 2 * y), "diverged": [0, 1, 2, 0][: len(y)],
            }
        )
        for name in names
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def drawings(values, names=NAMES):
    """Every static figure of the values, by name."""
    rows, looks = frame(values, names), styles(dict.fromkeys(names, "sgd"))
    steps = rows.assign(step=rows["x"], step_seconds=rows["x"] / 7, lr=10.0 ** -rows["x"])
    share = pd.DataFrame({"share": np.linspace(0, 1, len(rows)), "time": rows["x"], "tau": 1.0 + rows["x"]})
    shares = rows.drop(columns=["low", "high"]).join(share).assign(clock="step", low=0.0, high=np.nan)
    sizes = rows.assign(clock="step", level=0.5, size=2 ** (rows["x"] + 1), median=rows["estimate"])
    points = rows.assign(truth=rows["x"] / 2, prediction=rows["estimate"])
    ranked = pd.DataFrame({"entrant": names, "rank": np.arange(1.0, len(names) + 1)})
    with np.errstate(all="ignore"):
        yield "by entrant", curves.by_entrant(steps, "step", "loss", looks, "a $note$")
        yield "by clock", curves.by_entrant(steps, clocks.SECONDS, "loss", looks)
        yield "by lr", curves.by_lr(steps, "step", "loss", "a $note$")
        yield "against lr", tuning.against(steps.assign(tuned="lr"), "lr", "loss", looks)
        yield "against lr, with others", tuning.against(steps.assign(tuned="lr,mu"), "lr", "loss", looks)
        yield "trials", tuning.trials(rows.assign(k=rows["x"] + 1, median=rows["estimate"]), "loss", looks)
        one = steps[steps["entrant"] == names[0]]
        yield "heat", tuning.heat(pd.concat([one.assign(value=0.5), one.assign(value=2.0)]), "a_$name$")
        yield "final", results.final_losses(rows.assign(loss=rows["estimate"].fillna(np.inf)), rows[::4], looks)
        yield "reached", targets.reached(shares, looks)
        yield "surviving", targets.surviving(shares, "step", looks)
        yield "batch size", targets.against_batch_size(sizes[sizes["entrant"] == names[0]])
        yield "profile", profiles.profiles(shares, looks)
        numbers = rows[rows["x"] == 0].assign(statistic="iqm", over="these problems")
        yield "scores", scores.in_one_number(pd.concat([numbers, numbers.assign(over="problems like these")]), looks)
        groups = pd.DataFrame({"group": 0, "entrant": names})
        yield "ranks", ranks.critical_difference_diagram(ranked, groups, looks)
        yield "predictions", predictions.prediction_against_truth(points, looks)


@pytest.mark.parametrize("kind", HARD)
def test_every_figure_is_drawn_whatever_the_values(kind):
    """The layout and every glyph, without the time that it takes to compress an image."""
    for name, figure in drawings(HARD[kind]):
        with drawing.theme():
            figure.draw_without_rendering()
        assert figure.axes, name
        for ax in figure.axes:
            assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all(), name


EXTREMES = (0.0, 1e-300, 1e-16, 0.3, 1.0, 1e6, 1e76, 1e300, -1e300, np.inf, np.nan)


def awkward(rng):
    """Values, names and problems as no figure would like them."""
    n, very = int(rng.integers(1, 5)), "very " * int(rng.integers(0, 9))
    names = [f"optimizer_{i} with a name that is {very}long" for i in range(rng.choice([1, 3]))]
    return rng.choice(EXTREMES, n, p=None if rng.random() < 0.5 else [*[0.1] * 7, 0.3, *[0.0] * 3]), names


@pytest.mark.parametrize("seed", range(4))
def test_every_figure_is_written_whatever_the_values(seed, tmp_path):
    """The whole way to the files, at a coarse resolution: numbers too large for the places of points raise here."""
    for name, figure in drawings(*awkward(np.random.default_rng(seed))):
        with drawing.theme():
            figure.savefig(tmp_path / "figure.png", dpi=20)
            figure.savefig(tmp_path / "figure.svg")
        assert b"nan" not in (tmp_path / "figure.svg").read_bytes(), name


@pytest.mark.parametrize(("n_entrants", "n_problems"), [(40, 2), (1, 30)])
def test_panels_keep_their_size_however_many_entrants_and_problems_there_are(n_entrants, n_problems):
    names = [f"entrant {i}, optimizer.momentum=0.{i:02d}, schedule=warmup_and_cosine" for i in range(n_entrants)]
    rows = pd.concat([frame([1.0, 0.1], names, f"problem {i}, model.hidden=[64, 64]") for i in range(n_problems)])
    rows = rows.assign(lr=10.0 ** -rows["x"], loss=rows["estimate"])
    looks = styles(dict.fromkeys(names, "sgd"))
    for figure in (
        tuning.against(rows.assign(tuned="lr"), "lr", "loss", looks),
        results.final_losses(rows, rows[::2], looks),
    ):
        boxes = [ax.get_position() for ax in figure.axes]
        assert len(boxes) == n_problems
        assert min(box.height * figure.get_figheight() for box in boxes) > 0.6  # inches
        assert min(box.width * figure.get_figwidth() for box in boxes) > 1.5


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text"))]


def test_names_are_literal_text():
    for name, figure in drawings(HARD["ordinary"]):
        with drawing.theme():  # as when it is saved: the last ticks are made then
            figure.draw_without_rendering()
        written = [part for part in figure.findobj(lambda part: hasattr(part, "get_parse_math")) if part.get_text()]
        assert written and not any(part.get_parse_math() for part in written), name
        shown = "\n".join(part.get_text() for part in written)
        wanted = {"batch size": (), "heat": ("a_$name$",)}.get(name, NAMES)
        assert [word for word in wanted if word not in shown] == [], name


def test_the_same_givengives_the_same_bytes(tmp_path):
    for again in ("a", "b"):
        folder = tmp_path / again
        folder.mkdir()
        for name, figure in drawings(HARD["falls to zero"][:3], NAMES[:2]):
            drawing.save(figure, folder / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_intervals_are_within_the_axes():
    rows = frame([1.0, 0.5, 0.2, 0.1], ["sgd"]).assign(lr=lambda rows: 10.0 ** -rows["x"], low=0.01, high=5.0)
    (ax,) = tuning.against(rows.assign(tuned="lr"), "lr", "loss", {"sgd": Style("black")}).axes
    low, high = ax.get_ylim()
    assert low < 0.01 and high > 5.0


def test_what_goes_on_beyond_an_axis_is_marked_at_its_edge():
    rows = frame([1.0, 0.5, 1e9, 0.1], ["sgd"]).assign(lr=lambda rows: 10.0 ** -rows["x"], low=[1e-9, 0.2, 1e9, 0.05])
    rows = rows.assign(high=[np.inf, 1.0, 1e9, 0.2], diverged=0)
    (ax,) = tuning.against(rows.assign(tuned="lr"), "lr", "loss", {"sgd": Style("black")}).axes
    marked = {line.get_marker(): list(line.get_xdata()) for line in ax.lines if line.get_markerfacecolor() == "white"}
    assert marked == {"v": [1.0], "^": [1.0, 0.01]}
    assert {tuple(segment[:, 1]) for segment in ax.collections[0].get_segments()} >= {ax.get_ylim(), (0.2, 1.0)}
    drawn = rows.assign(step=rows["x"], high=[np.inf, 1.0, 1.0, 0.2])
    for given, said in ((drawn, True), (drawn.assign(estimate=0.1, low=0.05, high=0.2), False)):
        figure = curves.by_entrant(given, "step", "loss", {"sgd": Style("black")}, "note")
        assert any("goes on beyond" in text for text in texts(figure)) == said


def test_a_score_has_a_linear_axis():
    rows = frame([0.1, 0.9], ["sgd"]).assign(step=lambda rows: rows["x"], low=0.05, high=0.95)
    (ax,) = curves.by_entrant(rows, "step", "accuracy", {"sgd": Style("black")}, log=False).axes
    assert ax.get_yscale() == "linear" and -0.1 < ax.get_ylim()[0] < 0.05 and 0.95 < ax.get_ylim()[1] < 1.1


def test_no_theme_outlives_a_figure():
    from matplotlib import rcParams

    before = dict(rcParams)
    curves.by_entrant(frame([1.0, 0.5]).assign(step=lambda rows: rows["x"]), "step", "loss", styles_in_order(NAMES))
    assert dict(rcParams) == before


def test_labels_do_not_overlap_where_there_are_many_panels_and_entrants():
    names = [f"entrant_number_{i}_with_a_long_name" for i in range(24)]
    parts = [frame([1.0, 0.5, 0.2, 0.1], names, f"a data set, model.hidden=[64,64], number {i}") for i in range(7)]
    rows = pd.concat(parts).assign(step=lambda rows: rows["x"])
    figure = curves.by_entrant(rows, "step", "loss", styles_in_order(names), "a note " * 30)
    figure.draw_without_rendering()
    labels = [text for text in figure.texts + figure.legends[0].get_texts() if text.get_text()]
    labels += [part for ax in figure.axes for part in (ax._left_title, ax.xaxis.label, ax.yaxis.label)]
    boxes = [label.get_window_extent() for label in labels if label.get_text()]
    overlapping = [(i, j) for i in range(len(boxes)) for j in range(i) if boxes[i].overlaps(boxes[j])]
    assert overlapping == []
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_entrants_with_the_same_curve_can_all_be_seen():
    rows = frame([1.0, 0.5, 0.2, 0.1], ["a", "b", "c"]).assign(step=lambda rows: rows["x"])
    figure = curves.by_entrant(rows, "step", "loss", styles(dict.fromkeys("abc", "sgd")))
    drawn = figure.axes[0].lines
    assert len({line.get_linewidth() for line in drawn}) == len({line.get_markevery() for line in drawn}) == 3
    assert [bool(line.get_path_effects()) for line in drawn] == [False, True, True]


def test_two_swept_numbers_give_a_heat_map():
    grid = [(lr, momentum, seed) for lr in (0.1, 0.01) for momentum in ("0.5", "0.9") for seed in range(3)]
    runs = pd.DataFrame(grid, columns=["lr", "optimizer.momentum", "seed"])
    runs = runs.assign(dataset="d", backend="numpy", optimizer="momentum", status="finished")
    runs["final_train_loss"] = runs["lr"] * runs["optimizer.momentum"].astype(float) + runs["seed"]
    runs.loc[(runs["lr"] == 0.1) & (runs["seed"] > 0), "status"] = "diverged"
    params = ["lr", "optimizer.momentum"]
    report = SimpleNamespace(study=SimpleNamespace(runs=runs), results=SimpleNamespace(params=params))
    table = tuning.settings(report).set_index(["value", "lr"])
    assert set(table["parameter"]) == {"momentum"} and set(table["n"]) == {3}
    assert table["estimate"].to_dict() == {
        (0.5, 0.01): 1.005,
        (0.5, 0.1): np.inf,
        (0.9, 0.01): 1.009,
        (0.9, 0.1): np.inf,
    }
    figure = tuning.heat(table.reset_index(), "momentum")
    assert {"1", "1.01", "div.", "0.5", "0.9"} <= set(texts(figure))
    report.study.runs = runs[runs["lr"] == 0.1]
    with pytest.raises(NotGiven, match="several lr"):
        tuning.settings(report)


def test_one_drawing_gives_the_files_that_two_would_give(tmp_path):
    """The pixels of savefig, and an SVG of the same shapes, whose coordinates are those of savefig within a point."""
    figure = Figure(figsize=(3, 2))
    ax = figure.add_subplot()
    x = np.linspace(0, 1, 5)
    ax.plot(x, x, "o--", label="line", path_effects=[withStroke(linewidth=4, foreground="white")])
    ax.fill_between(x, x, 2 * x, alpha=0.3)
    ax.scatter(x, 1 - x, s=9)
    ax.pcolormesh(x[:2], x[:2], [[0.5]])
    ax.imshow(np.eye(3), extent=(0.5, 0.8, 0.5, 0.8), aspect="auto")
    ax.add_patch(Circle((0.5, 1.5), 0.2, clip_path=Circle((0.5, 1.6), 0.2, transform=ax.transData)))
    ax.legend(title="title")
    drawing.save(figure, tmp_path / "once")
    with drawing.theme():
        for kind in ("svg", "png"):
            figure.savefig(tmp_path / f"twice.{kind}", dpi=150, metadata=METADATA[kind])
    once, twice = (Image.open(tmp_path / f"{name}.png") for name in ("once", "twice"))
    assert np.array_equal(once, twice)
    shapes = [(tmp_path / f"{name}.svg").read_text() for name in ("once", "twice")]
    for element in ("<path", "<use", "<image", "<clipPath", "<g id"):
        assert shapes[0].count(element) == shapes[1].count(element), element
    lines = [re.search(r'<g id="line2d_\d+">\n +<path d="(.*?)" clip-path', text, re.DOTALL) for text in shapes]
    places = [np.array(re.findall(r"-?\d+\.?\d*", line[1]), float) for line in lines]
    assert np.allclose(*places, atol=1)
