"""How much of the spread between seeds comes from the split, how much from the start, how much from the batch order?

A run draws from several streams, each of which can have a seed of its own (`seeds.split`, `seeds.init` and others). As
Bouthillier et al. (2021, section 2.2) do, one stream is varied at a time with the others fixed, and the variance that
this gives is compared with the variance where all vary together, as they do from `seed` to `seed`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from descent_lab.analysis.statistics.frames import columns_of, confident, require
from descent_lab.analysis.statistics.seeds import sorted_groups
from descent_lab.errors import NotGiven

SOURCES = ("seeds.split", "seeds.init", "seeds.order")
STREAMS = ("seeds.data", "seeds.split", "seeds.init", "seeds.order", "seeds.search")
TOGETHER, REST = "all together", "rest"
DRAWS = 20_000
FEWEST = 2  # degrees of freedom for an interval


def variance_components(
    runs: pd.DataFrame,
    sources: Sequence[str] = SOURCES,
    by: str | Sequence[str] = ("dataset", "optimizer"),
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """The part of each source in the variance of the levels: `*by, source, n, df, deviation, share, low, high`.

    runs: of `comparable`, with the column `seed` and those of `sources`, which hold a seed, or None where the stream is
    that of `seed`. Of each source those runs are used that differ from another run in that source alone. For example,
    seed=0 with seeds.init=0, ..., 19, the same for seeds.split, and seed=0, ..., 19 with all streams from the seed.
    Runs with the same seeds of all streams are one run. Groups of `by` without such runs have no rows.

    - deviation: the standard deviation of the level (for losses, of the logarithm) while this source alone varies,
      pooled over the groups of runs that differ in nothing else. n runs in these groups have df degrees of freedom.
    - share: its variance as a share of that where all vary together. The row TOGETHER has the latter. The row REST is 1
      minus the shares of the sources: other streams, and what sources do only jointly; it may be negative. Where no
      runs vary together, shares are of the sum of the sources, and there is no row REST.
    - low, high: for normal levels, from the distributions s^2 df / chi^2 of each variance (the generalised interval of
      Weerahandi 1993; for a single source it is that of the F distribution). NaN with fewer than 2 degrees of freedom.
    """
    # sigma_k^2 ~ s_k^2 df_k / chi^2(df_k);  share_k = sigma_k^2 / sigma_together^2
    keys = columns_of(by)
    require(runs, *keys, "seed", "level")
    confident(confidence)
    streams = [name for name in dict.fromkeys([*STREAMS, *sources]) if name in runs]
    own = runs[[*keys, "level"]].assign(**{name: _seeds(runs, name) for name in streams})
    own["plain"] = np.all([runs[name].isna() | (runs[name].astype(str) == "None") for name in streams], axis=0)
    own = own.sort_values("plain", ascending=False, kind="stable").drop_duplicates([*keys, *streams])  # the same run
    rows = []
    for key, index in sorted_groups(own, keys):
        found = _components(own.iloc[index], [name for name in sources if name in own], streams, confidence, seed)
        rows += [dict(zip(keys, key, strict=True)) | row for row in found]
    if not rows:
        raise NotGiven(f"no two runs differ in one of {', '.join(sources)} alone")
    table = pd.DataFrame(rows)
    return table[[*keys, "source", "n", "df", "deviation", "share", "low", "high"]]


def _seeds(runs: pd.DataFrame, name: str) -> pd.Series:
    """The seed that the stream really has: its own, or that of the run."""
    return pd.to_numeric(runs[name], errors="coerce").fillna(runs["seed"])


def _components(
    runs: pd.DataFrame, sources: list[str], streams: list[str], confidence: float, seed: int
) -> list[dict[str, object]]:
    found = {name: _pooled(runs, [other for other in streams if other != name]) for name in sources}
    found = {name: one for name, one in found.items() if one["df"] > 0}
    if not found:
        return []
    plain = runs[runs["plain"]]
    together = {"n": len(plain), "df": len(plain) - 1, "variance": plain["level"].var()}
    if together["df"] > 0:
        found[TOGETHER] = together
    rng = np.random.default_rng(seed)
    drawn = {name: one["variance"] * one["df"] / rng.chisquare(one["df"], DRAWS) for name, one in found.items()}
    parts = [name for name in found if name != TOGETHER]
    total = found[TOGETHER]["variance"] if TOGETHER in found else sum(found[name]["variance"] for name in parts)
    total_drawn = drawn[TOGETHER] if TOGETHER in found else sum(drawn[name] for name in parts)
    sure = all(one["df"] >= FEWEST for one in found.values())
    rows = []
    for name, one in found.items():
        shares = drawn[name] / total_drawn if sure and name != TOGETHER else None
        row = {"source": name, "n": one["n"], "df": one["df"], "deviation": float(np.sqrt(one["variance"]))}
        rows.append(row | _share(one["variance"] / total if total > 0 else np.nan, shares, confidence))
    if TOGETHER in found and parts:
        rest = np.asarray(1 - sum(drawn[name] for name in parts) / total_drawn) if sure else None
        share = 1 - sum(found[name]["variance"] for name in parts) / total if total > 0 else np.nan
        rows.append({"source": REST, "n": 0, "df": 0, "deviation": np.nan} | _share(share, rest, confidence))
    return rows


def _share(share: float, drawn: np.ndarray | None, confidence: float) -> dict[str, float]:
    if drawn is None or not np.isfinite(share):
        return {"share": float(share), "low": np.nan, "high": np.nan}
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"share": float(share), "low": float(low), "high": float(high)}


def _pooled(runs: pd.DataFrame, fixed: list[str]) -> dict[str, float]:
    """The variance within groups of runs with the same seeds of all streams in `fixed`, pooled over the groups."""
    groups = runs.groupby(fixed)["level"]
    n = groups.transform("size")
    df = int((n > 1).sum()) - int((groups.size() > 1).sum())
    squares = float(((runs["level"] - groups.transform("mean")) ** 2).sum())
    return {"n": int((n > 1).sum()), "df": df, "variance": squares / df if df else np.nan}
