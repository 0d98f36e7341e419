"""What differs between the entrants of one problem, other than what is compared?"""

from collections.abc import Collection, Mapping

import pandas as pd

from descent_lab.analysis.statistics.frames import require

WHAT = {
    "model": "model", "epochs": "epochs", "batching": "batch size", "batching.size": "batch size", "dtype": "dtype",
    "device": "device", "versions": "versions of libraries", "git.commit": "code", "git.dirty": "code",
    "code": "code", "content": "content of the data", "record": "record points", "stop": "stopping",
    "stream": "streams", "init": "initialisation",
}  # fmt: skip
MANY = 3  # values of one entrant that are listed


def confounds(
    runs: pd.DataFrame,
    entrant: str = "optimizer",
    compared: Collection[str] = (),
    what: Mapping[str, str] = WHAT,
) -> pd.DataFrame:
    """One row for each thing that differs between entrants of one problem: `dataset, what, detail`; none where equal.

    runs: the runs that are compared. compared: groups that make an entrant, which may differ, such as `batching`.
    what: the words for each column, or for each group of params: `stop` stands for stop.target and all its others.

    Something differs if the entrants do not have the same set of values of it. A value that varies in the same way
    within each entrant, from seed to seed for example, is no confound. detail: the values of each entrant.
    """
    require(runs, "dataset", entrant)
    rows = []
    for dataset, group in runs.groupby("dataset", sort=True):
        details: dict[str, list[str]] = {}
        for column in runs.columns:
            word = what.get(column) or what.get(str(column).partition(".")[0])
            if word is None or str(column).partition(".")[0] in compared:
                continue
            if group[column].nunique(dropna=False) == 1:
                continue
            values = group[column].astype(object).where(group[column].notna(), "none").map(str)
            sets = values.groupby(group[entrant]).agg(lambda x: tuple(sorted(set(x))))
            if sets.nunique() > 1:
                details.setdefault(word, []).append(f"{column}: {_listed(sets)}")
        rows += [(dataset, word, "; ".join(parts)) for word, parts in details.items()]
    return pd.DataFrame(rows, columns=["dataset", "what", "detail"])


def _listed(sets: pd.Series) -> str:
    """The entrants of each set of values: `6 (adam), 100 (momentum, sgd)`."""
    by_values = sets.groupby(sets).agg(lambda x: ", ".join(map(str, x.index)))
    return ", ".join(f"{_short(values)} ({names})" for values, names in by_values.items())


def _short(values: tuple[str, ...]) -> str:
    shown = " or ".join(value if len(value) <= 40 else value[:37] + "..." for value in values[:MANY])
    return shown + (f" or {len(values) - MANY} others" if len(values) > MANY else "")
