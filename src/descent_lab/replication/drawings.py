"""The plots of the report. They show what the sources drew, with the runs of all seeds."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from descent_lab.data.builtin.polynomials import POLYNOMIALS
from descent_lab.report.drawing import PANEL, log_x, theme, value_axis
from descent_lab.report.looks import COLOURS, Span
from descent_lab.wording import counted

OURS, PUBLISHED, TRUTH = COLOURS["sgd"], COLOURS["adam"], "#444444"
Drawing = Callable[[Axes], None]


def _sheet(drawings: Sequence[Drawing], width: float = PANEL[0], height: float = PANEL[1]) -> Figure:
    """A figure with one panel for each drawing, side by side. width, height: of a panel in inches."""
    with theme():
        figure = Figure(figsize=(width * len(drawings), height), layout="constrained")
        FigureCanvasAgg(figure)
        for i, draw in enumerate(drawings):
            draw(figure.add_subplot(1, len(drawings), i + 1))
        figure.draw_without_rendering()  # the layout is computed while the style applies
        return figure


def _band(ax: Axes, x: np.ndarray, values: np.ndarray) -> None:
    """Draw the median of the values (n_seeds, n_records) over x, and bands of their central 50 % and 99 %."""
    for low, high, alpha in ((0.005, 0.995, 0.15), (0.25, 0.75, 0.3)):
        below, above = np.nanquantile(values, [low, high], axis=0)
        label = f"central {100 * (high - low):.0f} %"
        ax.fill_between(x, below, above, color=OURS, alpha=alpha, linewidth=0, label=label)
    ax.plot(x, np.nanmedian(values, axis=0), color=OURS, label=f"median of {counted(len(values), 'seed')}")


def _named(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set_title(title, loc="left")
    ax.set_xlabel(x)
    ax.set_ylabel(y)


def gaussian(
    iterations: np.ndarray,
    losses: np.ndarray,
    published: tuple[np.ndarray, np.ndarray],
    truth: np.ndarray,
    prediction: np.ndarray,
) -> Figure:
    """Losses (n_seeds, n_iterations) beside the published ones, and predictions (n_test,) against the truth."""

    def loss(ax: Axes) -> None:
        _band(ax, iterations, losses)
        ax.plot(*published, "o", color=PUBLISHED, label="published", zorder=3)
        log_x(ax, iterations)
        value_axis(ax, Span(losses.min(), losses.max()))
        _named(ax, "Training loss", "iteration", "mean squared error")
        ax.legend(loc="lower left", handlelength=1.4)

    def scatter(ax: Axes) -> None:
        ax.plot([0, 1], [0, 1], color="#888888", linewidth=0.8, label="right")
        ax.plot(truth, prediction, "o", color=OURS, alpha=0.6, markeredgewidth=0, label="test points")
        _named(ax, "Prediction against truth", "truth", "prediction")
        ax.legend()

    return _sheet([loss, scatter], width=3.6, height=2.6)


def taylor(epochs: np.ndarray, losses: np.ndarray, published: tuple[float, float]) -> Figure:
    """Losses (n_seeds, n_epochs) beside the published one, given as (epoch, loss)."""

    def draw(ax: Axes) -> None:
        _band(ax, epochs, losses)
        ax.plot(*published, "o", color=PUBLISHED, label="published", zorder=3)
        value_axis(ax, Span(*(np.quantile(losses, q, axis=0)[end] for q, end in ((0.005, -1), (0.995, 0)))))
        _named(ax, "Loss per epoch", "epoch", "mean squared error")
        ax.legend(ncols=2, loc="upper right")

    return _sheet([draw], width=4.6, height=2.8)


def polynomials(x: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Figure:
    """The curves of the polynomials with their names, and the data x (n, 2), coloured by their labels (n,)."""
    shades = sns.color_palette("tab20", len(classes))
    grid = np.linspace(-1, 1, 200)

    def curves(ax: Axes) -> None:
        for p, shade, name in zip(POLYNOMIALS, shades, classes, strict=True):
            ax.plot(grid, p(grid), color=shade, label=name)
        _named(ax, "Polynomials", "x", "y")

    def points(ax: Axes) -> None:
        for k, shade in enumerate(shades):
            ax.plot(*x[labels == k].T, "o", color=shade, markersize=2, markeredgewidth=0, label=classes[k])
        _named(ax, "Data set", "x", "y")
        ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), markerscale=2.5, handlelength=1)

    return _sheet([curves, points], width=3.9, height=3.2)


def search(
    curves: Sequence[tuple[str, np.ndarray, np.ndarray]],
    published: Sequence[tuple[float, float, str]],
    best: float,
) -> Figure:
    """Loss over iterations.

    curves: (name, iterations (n_records,), losses (n_seeds, n_records)). published: (iteration, loss, name).
    best: the best loss that was ever published.
    """
    colours = (COLOURS["random_search"], COLOURS["momentum"])

    def draw(ax: Axes) -> None:
        for (name, iterations, losses), colour in zip(curves, colours[-len(curves) :], strict=True):
            labels = [f"{counted(len(losses), 'seed')}, {name}"] + [None] * (len(losses) - 1)
            for row, label in zip(losses, labels, strict=True):
                ax.plot(iterations, row, color=colour, linewidth=0.9, label=label)
        for iteration, loss, name in published:
            ax.plot(iteration, loss, "o", color=PUBLISHED, label=name, zorder=3, clip_on=False)
        ax.axhline(best, color=PUBLISHED, linewidth=0.9, linestyle="--", label="best ever stored (published)")
        last = max([p[0] for p in published] + [int(iterations[-1]) for _, iterations, _ in curves])
        log_x(ax, np.array([0, 1, last]))
        ax.set_ylim(0, None)
        _named(ax, "Random search", "iteration", "categorical cross-entropy")
        ax.legend(loc="center left")

    return _sheet([draw], width=4.8, height=3.0)


Panel = tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray] | None]


def layers(panels: Mapping[str, Panel]) -> Figure:
    """A panel by title of x (n,), truth (n,), predictions (n_seeds, n), and the published points, if there are any."""

    def drawing(title: str, panel: Panel) -> Drawing:
        x, truth, values, published = panel

        def draw(ax: Axes) -> None:
            for row, label in zip(values, [counted(len(values), "seed")] + [None] * len(values), strict=False):
                ax.plot(x, row, color=OURS, alpha=0.12, linewidth=0.8, label=label)
            ax.plot(x, truth, color=TRUTH, linestyle="--", linewidth=1, label="truth")
            if published:
                ax.plot(*published, "o", color=PUBLISHED, label="published", zorder=3)
            _named(ax, title, "x", "prediction")
            _opaque(ax)

        return draw

    return _sheet([drawing(title, panel) for title, panel in panels.items()], height=2.6)


def _opaque(ax: Axes) -> None:
    """Add a legend, and make its lines opaque, because those of the plot are too faint for it."""
    for handle in ax.legend(loc="best").legend_handles:
        if handle is not None:
            handle.set_alpha(1)
