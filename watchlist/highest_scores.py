"""Distribution of a stranger's highest score over a list of N people. The thresholds are computed from it.

A passer-by is compared with everybody on the list. Some passers-by look like many people and others like none, so the comparisons
of one passer-by are not independent. For each stranger, p(t) is the share of other people to whom the score exceeds t. Over a
random list of N people, the stranger raises a false alarm with the probability 1 - (1 - p(t))^N. FPIR(t, N) is the mean of this
probability over the strangers.

A generalised Pareto distribution replaces the highest scores of each stranger (peaks over threshold: Coles, An Introduction to
Statistical Modeling of Extreme Values, chapter 4). Its threshold is the stranger's own, and its shape is common to all. Its scale
is a linear function of the stranger's threshold and median score: a stranger who looks like many people also has higher excesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchlist.thresholds import LISTS, RATES

TAIL_SHARE = 0.03  # share of a stranger's scores to which the tail is fitted: the highest ones
STEP = 0.005  # step of the cosines at which rates are computed
LEAST_TAIL = 5  # fewest scores in a stranger's tail


@dataclass(frozen=True)
class Tail:
    """A generalised Pareto distribution of excesses.

    Attributes:
        shape: below 0 the distribution has an upper end; 0 is the exponential distribution.
        scale: above 0, in the unit of the excesses.
    """

    shape: float
    scale: float

    def exceeded(self, excess: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of a larger excess, for each of ``excess`` (0 or above)."""
        if abs(self.shape) < 1e-6:
            return np.exp(-excess / self.scale)
        return np.asarray(np.maximum(1 + self.shape * excess / self.scale, 0) ** (-1 / self.shape))


def fit_tail(excesses: NDArray[np.floating]) -> Tail:
    """Fit by probability-weighted moments (Hosking and Wallis 1987): no optimisation, and few samples suffice."""
    ordered = np.sort(np.asarray(excesses, np.float64))
    count = len(ordered)
    mean = float(ordered.mean())
    weighted = float((ordered * np.arange(count - 1, -1, -1)).mean()) / max(1, count - 1)
    spread = mean - 2 * weighted
    if spread <= 1e-9:
        return Tail(0.0, max(mean, 1e-6))
    return Tail(2 - mean / spread, 2 * mean * weighted / spread)


class HighestScores:
    """FPIR as a function of cosine and list size.

    Args:
        scores: float (M, G), cosines of M strangers' templates to the photos of G people.
        strange: bool (M, G), True for pairs of two different people. Other pairs are left out. None: all pairs are used.

    Raises:
        ValueError: a stranger has at most `LEAST_TAIL` scores.
    """

    def __init__(self, scores: NDArray[np.floating], strange: NDArray[np.bool_] | None = None) -> None:
        held = np.where(strange, scores, -np.inf) if strange is not None else np.asarray(scores)
        ordered = np.sort(held, 1)
        valid = np.isfinite(ordered).sum(1)
        if (valid <= LEAST_TAIL).any():
            raise ValueError(f"a stranger has {valid.min()} scores, more than {LEAST_TAIL} are needed")
        count = np.maximum(LEAST_TAIL, (TAIL_SHARE * valid).astype(int))
        rows, size = np.arange(len(ordered)), ordered.shape[1]
        self.limits = ordered[rows, size - 1 - count]  # each stranger's own, exceeded by ``count`` scores
        excesses = np.maximum(ordered - self.limits[:, None], 0)
        counted = np.arange(size) >= (size - count)[:, None]
        means = (excesses * counted).sum(1) / count
        middles = ordered[rows, size - 1 - valid // 2]
        known = np.stack([np.ones(len(rows)), self.limits, middles], 1)
        scales = np.maximum(known @ np.linalg.lstsq(known, means, rcond=None)[0], 0.3 * means.mean())
        self.tail = fit_tail((excesses / scales[:, None])[counted])
        self.people = len(ordered)
        self.cosines = np.arange(float(np.floor(self.limits.min() / STEP - 40)) * STEP, 1.2, STEP)
        over = np.stack([size - np.searchsorted(row, self.cosines, "left") for row in ordered])
        beyond = (count / valid)[:, None] * self.tail.exceeded(
            np.maximum(self.cosines - self.limits[:, None], 0) / scales[:, None]
        )
        self._over: NDArray[np.float64] = np.where(self.cosines >= self.limits[:, None], beyond, over / valid[:, None])

    def rates(self, list_size: float) -> NDArray[np.float64]:
        """FPIR (T,) at each of `cosines`, for a list of ``list_size`` people."""
        with np.errstate(divide="ignore"):
            return np.asarray(-np.expm1(list_size * np.log1p(-np.minimum(self._over, 1))).mean(0))

    def alarms(self, cosine: float, list_size: float) -> NDArray[np.float64]:
        """Probability (M,) that a stranger's highest score over ``list_size`` people exceeds ``cosine``, for each stranger."""
        place = np.clip(np.interp(cosine, self.cosines, np.arange(len(self.cosines))), 0, len(self.cosines) - 1)
        low, high = int(np.floor(place)), int(np.ceil(place))
        over = np.minimum(self._over[:, [low, high]], 1 - 1e-12)
        alarm = -np.expm1(list_size * np.log1p(-over))
        return np.asarray(alarm[:, 0] + (place - low) * (alarm[:, 1] - alarm[:, 0]))

    def cosine(self, rate: float, list_size: float) -> float:
        """The cosine that the highest scores of a share ``rate`` of the strangers exceed, over ``list_size`` people."""
        return float(self._cosines((rate,), list_size)[0])

    def table(self) -> NDArray[np.float64]:
        """`cosine` for each list size in `LISTS` and each rate in `RATES`: float (lists, rates)."""
        return np.stack([self._cosines(RATES, size) for size in LISTS])

    def error(self, rate: float, list_size: float, family: NDArray[np.intp], samples: int) -> float:
        """Standard error of `cosine`, by bootstrap over families.

        Args:
            rate: FPIR.
            list_size: number of people on the list.
            family: int (M,), family of each stranger; a family is drawn as a whole.
            samples: number of bootstrap samples.
        """
        rng = np.random.default_rng(0)
        alarms = -np.expm1(list_size * np.log1p(-np.minimum(self._over, 1 - 1e-12)))
        found = []
        for _ in range(samples):
            rates = alarms[resampled(family, rng)].mean(0)
            found.append(np.interp(np.log(rate), np.log(np.maximum(rates, 1e-12))[::-1], self.cosines[::-1]))
        return float(np.std(found))

    def _cosines(self, rates: Sequence[float], list_size: float) -> NDArray[np.float64]:
        falling = np.minimum.accumulate(np.maximum(self.rates(list_size), 1e-12))[::-1]
        return np.asarray(np.interp(np.log(rates), np.log(falling), self.cosines[::-1]))


def resampled(family: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw a bootstrap sample of families with all their members.

    Args:
        family: int (M,), family of each row.
        rng: random generator.

    Returns:
        int (about M,), the drawn rows.
    """
    names = np.unique(family)
    drawn = rng.choice(names, len(names))
    by_family = {name: np.flatnonzero(family == name) for name in names}
    return np.concatenate([by_family[name] for name in drawn])
