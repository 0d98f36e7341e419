"""Which weaknesses of a tuned comparison should its reader know?"""

from collections.abc import Iterator, Sequence

import pandas as pd

from descent_lab.analysis.statistics.frames import columns_of, require
from descent_lab.analysis.statistics.seeds import sorted_groups
from descent_lab.analysis.statistics.tuning import CELLS, best_setting


def tuning_warnings(
    cells: pd.DataFrame,
    by: Sequence[str] = CELLS,
    better: str = "lower",
    setting: str = "lr",
    min_seeds: int = 5,
    max_diverged: float = 0.5,
) -> pd.DataFrame:
    """One row for each weakness of a group of `tuning_cells`: `*by, warning, detail`; no rows where there is none.

    warning: `edge` (the best setting is the smallest or largest that was tried), `few seeds` (a cell has fewer than
    min_seeds runs), `diverged` (a run of the best cell diverged, or more than the share max_diverged of all runs).
    """
    keys = columns_of(by)
    require(cells, *keys, setting, "estimate", "n", "diverged")
    best = best_setting(cells, keys, better, setting).set_index(keys)
    rows = []
    for key, index in sorted_groups(cells, keys):
        chosen = best.loc[key if len(keys) > 1 else key[0]]
        warnings = _warnings(cells.iloc[index], chosen, setting, min_seeds, max_diverged)
        rows += [(*key, warning, detail) for warning, detail in warnings]
    return pd.DataFrame(rows, columns=[*keys, "warning", "detail"])


def _warnings(
    group: pd.DataFrame, best: pd.Series, setting: str, min_seeds: int, max_diverged: float
) -> Iterator[tuple[str, str]]:
    lowest, highest = group[setting].min(), group[setting].max()
    if best[setting] in (lowest, highest):
        yield "edge", f"best {setting} {best[setting]:g} is on the edge of the grid {lowest:g} to {highest:g}"
    if (short := group[group["n"] < min_seeds]).size:
        least = short["n"].min()
        yield (
            "few seeds",
            f"{len(short)} of {len(group)} cells have fewer than {min_seeds} seeds, as few as {least}",
        )
    if best["diverged"] > 0:
        yield (
            "diverged",
            f"{best['diverged']} of {best['n']} runs diverged at the best {setting} {best[setting]:g}",
        )
    if group["diverged"].sum() > max_diverged * group["n"].sum():
        yield "diverged", f"{group['diverged'].sum()} of {group['n'].sum()} runs diverged over the grid"
