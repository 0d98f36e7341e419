"""Estimates and confidence intervals from plain arrays, with samples along the last axis and one result per row.

The method for each statistic was chosen by its measured coverage: tests/COVERAGE.md.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from descent_lab.analysis.statistics import special

RESAMPLES = 2_000  # number of samples of a bootstrap
POOL_FROM = 10  # with this many samples per stratum, the bootstrap of a pooled median covers what it promises
Statistic = Callable[[np.ndarray], np.ndarray]


class Interval(NamedTuple):
    """An estimate with its lower and upper limit: floats, or arrays of the same shape."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


def median_interval(x: np.ndarray, confidence: float = 0.95) -> Interval:
    """The median of x, shape (..., n), with the interpolated order-statistic interval.

    Hettmansperger & Sheather (1986): the interval [x_(d), x_(n+1-d)] covers the median of any continuous distribution
    with the probability 1 - 2 P(Bin(n, 1/2) < d), exactly. The two intervals whose probabilities enclose `confidence`
    are interpolated. Samples may be infinite. Fewer than 5 samples give their range, which covers the median with less
    than 95 %; one sample gives no interval (NaN).
    """
    x = np.sort(x, axis=-1)
    n = x.shape[-1]
    d, weight = _order(n, confidence)
    low = _blend(x[..., d - 1], x[..., d], weight) if weight else x[..., d - 1]
    high = _blend(x[..., n - d], x[..., n - d - 1], weight) if weight else x[..., n - d]
    estimate = median(x)
    return Interval(estimate, low, high) if n > 1 else Interval(estimate, low * np.nan, high * np.nan)


def median(x: np.ndarray) -> np.ndarray:
    """The median along the last axis. Samples may be infinite; the middle of -inf and inf is NaN."""
    n = x.shape[-1]
    x = np.sort(x, axis=-1)
    return _blend(x[..., (n - 1) // 2], x[..., n // 2], 0.5)


def shortfall(n: int, confidence: float) -> str:
    """A note where even the range of n < 5 samples covers a median with less than `confidence`; else empty."""
    # the range covers with probability 1 - 2 (1/2)^n
    if n == 1:
        return "1 seed: no interval"
    covers = 1 - 0.5 ** (n - 1)
    return "" if n >= 5 or covers >= confidence else f"{n} seeds: their range covers {covers:.0%}, not {confidence:.0%}"


@lru_cache(maxsize=4096)
def _order(n: int, confidence: float) -> tuple[int, float]:
    """The order d of the outer interval, and the weight of the next inner interval."""
    # gamma_d = 1 - 2 P(Bin(n, 1/2) < d);  I = (gamma_d - confidence) / (gamma_d - gamma_{d+1})
    # lambda = (n - d) I / (d + (n - 2 d) I)
    gamma = 1 - 2 * special.bdtr(np.arange(n // 2 + 1), n, 0.5)
    d = int(np.count_nonzero(gamma >= confidence))
    if d == 0 or d >= n // 2:
        return max(d, 1), 0.0
    share = (gamma[d - 1] - confidence) / (gamma[d - 1] - gamma[d])
    return d, float((n - d) * share / (d + (n - 2 * d) * share))


def _blend(outer: np.ndarray, inner: np.ndarray, weight: float) -> np.ndarray:
    """(1 - weight) outer + weight inner; the result of two equal infinities is that infinity."""
    with np.errstate(invalid="ignore"):
        mixed = (1 - weight) * outer + weight * inner
    return np.where(outer == inner, outer, mixed)


def mean(x: np.ndarray) -> np.ndarray:
    """The arithmetic mean along the last axis."""
    result: np.ndarray = x.mean(axis=-1)
    return result


def mean_error(x: np.ndarray) -> np.ndarray:
    """The standard error of the mean along the last axis."""
    result: np.ndarray = x.std(axis=-1, ddof=1) / np.sqrt(x.shape[-1])
    return result


def iqm(x: np.ndarray) -> np.ndarray:
    """The interquartile mean along the last axis: n / 4 samples are cut from each end, a fraction of one by weight."""
    n = x.shape[-1]
    i = np.arange(n)
    weight = np.clip(np.minimum(i + 1, 3 * n / 4) - np.maximum(i, n / 4), 0, 1)
    inside = weight > 0
    result: np.ndarray = (np.sort(x, axis=-1)[..., inside] * weight[inside]).sum(axis=-1) / (n / 2)
    return result


def t_interval(x: np.ndarray, confidence: float = 0.95) -> Interval:
    """The mean of x, shape (..., n), with Student's t interval, which is exact for normal samples."""
    half = special.stdtrit(x.shape[-1] - 1, (1 + confidence) / 2) * mean_error(x)
    return Interval(mean(x), mean(x) - half, mean(x) + half)


def studentised_interval(x: np.ndarray, confidence: float = 0.95, seed: int = 0) -> Interval:
    """The mean of x, shape (n,), with the bootstrap-t interval (Efron & Tibshirani 1993, section 12.5)."""
    # t* = (mean(x*) - mean(x)) / error(x*);  [mean(x) - t*_high error(x), mean(x) - t*_low error(x)]
    resampled = x[np.random.default_rng(seed).integers(0, len(x), (RESAMPLES, len(x)))]
    estimate, error = mean(x), mean_error(x)
    if error == 0:
        return Interval(estimate, estimate, estimate)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (mean(resampled) - estimate) / mean_error(resampled)
    low, high = np.quantile(np.where(np.isnan(t), 0.0, t), _tails(confidence), method="inverted_cdf")
    return Interval(estimate, estimate - high * error, estimate - low * error)


def bootstrap_interval(
    strata: list[np.ndarray], statistic: Statistic, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """A statistic of the pooled strata, one or more, each of shape (n_s,), with the percentile bootstrap.

    From each stratum n_s - 1 samples are drawn with replacement. Drawing n_s would make the variance too small by the
    factor (n_s - 1) / n_s (McCarthy & Snowden 1985), which matters with 5 seeds.
    """
    rng = np.random.default_rng(seed)
    drawn = [x[rng.integers(0, len(x), (RESAMPLES, len(x) - 1))] for x in strata]
    resampled = statistic(np.concatenate(drawn, axis=1))
    low, high = np.quantile(resampled, _tails(confidence), method="inverted_cdf")
    return Interval(statistic(np.concatenate(strata)), low, high)


def pooled_median_interval(strata: list[np.ndarray], confidence: float = 0.95, seed: int = 0) -> Interval:
    """The median of the pooled strata, each of shape (n_s,).

    With few samples in a stratum the bootstrap of a median covers only 90 %. The order statistics of the pooled samples
    then replace it. They ignore the strata, and so cover at least what they promise.
    """
    if len(strata) == 1 or min(map(len, strata)) < POOL_FROM:
        return median_interval(np.concatenate(strata), confidence)
    return bootstrap_interval(strata, median, confidence, seed)


def _tails(confidence: float) -> list[float]:
    return [(1 - confidence) / 2, (1 + confidence) / 2]
