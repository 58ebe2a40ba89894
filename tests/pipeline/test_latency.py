import numpy as np
import pytest

from pipeline.latency import LatencyHistogram


@pytest.mark.parametrize("percent", [50, 95, 99])
def test_percentiles_are_right_to_within_a_bin(percent: int) -> None:
    values = np.random.default_rng(0).lognormal(-1, 0.8, 2000)
    latencies, other = LatencyHistogram(), LatencyHistogram()
    for value in values[:900]:
        latencies.add(value)
    for value in values[900:]:
        other.add(value)
    latencies.merge(other.bins)
    assert latencies.percentile(percent) == pytest.approx(np.percentile(values, percent), rel=0.06)
    assert latencies.count_up_to(1.0) == pytest.approx((values <= 1.0).sum(), rel=0.05)


def test_percentiles_without_measurements_are_zero() -> None:
    assert LatencyHistogram().percentile(95) == 0.0 and LatencyHistogram().count == 0
