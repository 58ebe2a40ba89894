import numpy as np
import pytest

from evaluation.metrics import (
    average_precision,
    fnir_at_fpir,
    luma,
    psnr,
    rank_one,
    ssim,
    tar_at_far,
    threshold_at_rate,
    verification_accuracy,
)


def test_psnr_and_ssim_of_known_pictures(chips: np.ndarray) -> None:
    y = luma(chips[0])
    assert psnr(y, y) == 99 and ssim(y, y) == pytest.approx(1)
    assert psnr(y, y + 10) == pytest.approx(20 * np.log10(25.5), abs=1e-6)
    assert ssim(y, y[:, ::-1]) < 0.9


def test_luma_of_white_and_black() -> None:
    assert luma(np.array([[[255, 255, 255], [0, 0, 0]]], np.uint8)).round(3).tolist() == [[235.0, 16.0]]


def test_tar_by_hand() -> None:
    scores = np.array([*np.linspace(0, 0.99, 100), 0.5, 0.95, 0.999, 2.0])
    same = np.array([False] * 100 + [True] * 4)
    assert tar_at_far(scores, same, 0.01) == pytest.approx(0.5)
    assert tar_at_far(scores, same, 0.1) == pytest.approx(0.75)


@pytest.mark.parametrize(("strangers", "rate", "above"), [(750, 1e-2, 7), (750, 1e-3, 0), (1340, 3e-3, 4), (5, 1.0, 4)])
def test_no_more_strangers_exceed_a_threshold_than_was_asked(strangers: int, rate: float, above: int) -> None:
    scores = np.random.default_rng(0).normal(size=strangers)
    assert (scores > threshold_at_rate(rate, scores)).sum() == above


def test_accuracy_takes_its_threshold_from_the_other_folds() -> None:
    rng = np.random.default_rng(0)
    same = np.arange(400) % 2 == 0
    scores = np.where(same, 1.0, 0.0) + rng.normal(0, 0.1, 400)
    fold = np.arange(400) // 100
    assert verification_accuracy(scores, same, fold) > 0.99
    assert verification_accuracy(rng.normal(size=400), same, fold) < 0.6


def test_open_set_rates_by_hand() -> None:
    known = np.array([[0.9, 0.1, 0.2], [0.3, 0.6, 0.1], [0.8, 0.1, 0.7]])  # the third is more like the first than like itself
    unknown = np.array([[0.1, 0.2, 0.5], [0.7, 0.1, 0.1], [0.2, 0.2, 0.3], [0.3, 0.4, 0.1]])
    assert rank_one(known) == pytest.approx(2 / 3)
    assert fnir_at_fpir(known, unknown, 0.0) == pytest.approx(2 / 3)  # above 0.7 only the first
    assert fnir_at_fpir(known, unknown, 0.5) == pytest.approx(1 / 3)  # above 0.4 the second too


def test_average_precision_by_hand() -> None:
    scores, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert average_precision(scores, right, 2) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(scores, right, 4) == pytest.approx((1 + 2 / 3) / 4)  # two are never found
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0
