"""Which entrants form groups that a test over data sets cannot tell apart?"""

from typing import Any

import pandas as pd

from descent_lab.analysis.statistics.frames import require

SAME = "indistinguishable"


def indistinguishable(pairs: pd.DataFrame, verdict: str = "verdict") -> pd.DataFrame:
    """The largest groups of entrants that `pairs` (columns `a, b`, verdict) cannot tell apart: `group, entrant`.

    Every pair of a group has the verdict "indistinguishable", and no other entrant could be added to the group. An
    entrant may be in several groups; one that is told apart from all others is in none.
    """
    require(pairs, "a", "b", verdict)
    entrants = sorted(set(pairs["a"]) | set(pairs["b"]))
    near: dict[Any, set[Any]] = {name: set() for name in entrants}
    for a, b, decided in pairs[["a", "b", verdict]].itertuples(index=False):
        if decided == SAME:
            near[a].add(b)
            near[b].add(a)
    groups = sorted(sorted(group) for group in _cliques(set(), set(entrants), set(), near) if len(group) > 1)
    rows = [(number, name) for number, group in enumerate(groups) for name in group]
    return pd.DataFrame(rows, columns=["group", "entrant"])


def _cliques(group: set[Any], candidates: set[Any], excluded: set[Any], near: dict[Any, set[Any]]) -> list[set[Any]]:
    """All maximal cliques that contain `group`, some of the candidates and none of the excluded.

    The algorithm of Bron & Kerbosch (1973). near: the neighbours of each name.
    """
    if not candidates and not excluded:
        return [group]
    cliques = []
    for name in sorted(candidates):
        cliques += _cliques(group | {name}, candidates & near[name], excluded & near[name], near)
        candidates, excluded = candidates - {name}, excluded | {name}
    return cliques
