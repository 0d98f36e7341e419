"""Which weaknesses of a tuned comparison should its reader know?"""

from collections.abc import Iterator, Sequence

import pandas as pd

from descent_lab.analysis.statistics.frames import columns_of, require
from descent_lab.analysis.statistics.seeds import sorted_groups
from descent_lab.analysis.statistics.tuning import CELLS, best_setting
from descent_lab.wording import counted

FEW = 3  # fewer values are nothing but edges


def tuning_warnings(
    cells: pd.DataFrame,
    by: Sequence[str] = CELLS,
    better: str = "lower",
    setting: str = "lr",
    axes: Sequence[str] = ("lr",),
    min_seeds: int = 5,
    max_diverged: float = 0.5,
) -> pd.DataFrame:
    """One row for each weakness of a group of `tuning_cells`: `*by, warning, detail`; no rows where there is none.

    setting: the column that orders the cells of a group. axes: the columns of the hyperparameters that were tuned; in a
    group that has no values of one, it was not.

    warning: `edge` (the best value of a hyperparameter is the smallest or largest of 3 or more that were tried, but for
    0, where momenta, decays and the like end), `few seeds` (a cell has fewer than min_seeds runs), `diverged` (a run of
    the best cell diverged, or more than the share max_diverged of all runs).
    """
    keys = columns_of(by)
    require(cells, *keys, setting, "estimate", "n", "diverged")
    best = best_setting(cells, keys, better, setting).set_index(keys)
    rows = []
    for key, index in sorted_groups(cells, keys):
        chosen = best.loc[key if len(keys) > 1 else key[0]]
        group = cells.iloc[index]
        warnings = [*_edges(group, chosen, axes), *_warnings(group, chosen, min_seeds, max_diverged)]
        rows += [(*key, warning, detail) for warning, detail in warnings]
    return pd.DataFrame(rows, columns=[*keys, "warning", "detail"])


def _edges(group: pd.DataFrame, best: pd.Series, axes: Sequence[str]) -> Iterator[tuple[str, str]]:
    for axis in axes:
        tried = pd.to_numeric(group[axis], errors="coerce")
        value = pd.to_numeric(best[axis], errors="coerce")
        if tried.nunique() >= FEW and value != 0 and value in (tried.min(), tried.max()):
            name = axis.rpartition(".")[2]
            yield "edge", f"best {name} {value:g} is on the edge of what was tried, {tried.min():g} to {tried.max():g}"


def _warnings(group: pd.DataFrame, best: pd.Series, min_seeds: int, max_diverged: float) -> Iterator[tuple[str, str]]:
    if (short := group[group["n"] < min_seeds]).size:
        least = short["n"].min()
        yield (
            "few seeds",
            f"{len(short)} of {len(group)} cells have fewer than {min_seeds} seeds, as few as {least}",
        )
    if best["diverged"] > 0:
        yield "diverged", f"{best['diverged']} of {counted(best['n'], 'run')} diverged at the best setting"
    if group["diverged"].sum() > max_diverged * group["n"].sum():
        yield "diverged", f"{group['diverged'].sum()} of {counted(group['n'].sum(), 'run')} diverged over all settings"
