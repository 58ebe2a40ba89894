import cv2
import numpy as np
import pytest

from training.common.degradations import CHANNEL_GAIN, PRESETS, jitter, jpeg, relight


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("side", [13, 16, 48, 64])
def test_presets_give_the_size_asked_for(chips: np.ndarray, preset: str, side: int) -> None:
    small = PRESETS[preset](chips[0], side, np.random.default_rng(0))
    assert small.shape == (side, side, 3) and small.dtype == np.uint8
    whole = cv2.resize(chips[0], (side, side), interpolation=cv2.INTER_AREA).astype(float)
    assert np.corrcoef(small.reshape(-1), whole.reshape(-1))[0, 1] > 0.7  # still the same face


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_numbers_give_the_same_picture(chips: np.ndarray, preset: str) -> None:
    a, b = (PRESETS[preset](chips[0], 20, np.random.default_rng(3)) for _ in range(2))
    assert (a == b).all()


def test_bicubic_is_pillows(chips: np.ndarray) -> None:
    from PIL import Image

    ours = PRESETS["bicubic"](chips[0], 16, np.random.default_rng(0)).astype(int)
    assert np.abs(ours - np.asarray(Image.fromarray(chips[0]).resize((16, 16), Image.Resampling.BICUBIC))).max() <= 1


def test_cameras_are_worse_than_sensors(chips: np.ndarray) -> None:
    def error(preset: str) -> float:
        return float(
            np.mean(
                [
                    np.abs(
                        PRESETS[preset](c, 24, np.random.default_rng(0)).astype(int)
                        - PRESETS["area"](c, 24, np.random.default_rng(0))
                    ).mean()
                    for c in chips
                ]
            )
        )

    assert error("cctv-fixed") > error("bicubic") > 0


def test_jpeg_keeps_brightness_finer_than_colour() -> None:
    stripes = (np.indices((32, 32))[1] % 2 * 96).astype(np.uint8)

    def left(channel: int) -> float:
        picture = np.full((32, 32, 3), 80, np.uint8)
        picture[..., channel] += stripes
        return float(jpeg(picture, 95)[..., channel].std())

    red, green, blue = (left(channel) for channel in range(3))
    assert green > 1.5 * red > 1.5 * blue  # as they count in brightness: 0.59, 0.30, 0.11


def test_jitter_moves_more_when_it_is_stronger(chips: np.ndarray) -> None:
    def moved(strength: float) -> float:
        return float(
            np.mean(
                [np.abs(jitter(chips[0], strength, np.random.default_rng(i)).astype(int) - chips[0]).mean() for i in range(10)]
            )
        )

    assert moved(0.0) < 1 < moved(0.5) < moved(1.5)


def test_other_light_changes_colours_alike_everywhere(chips: np.ndarray) -> None:
    dark = chips[0] // 2
    ratio = relight(dark, np.random.default_rng(0)).astype(float)[dark.min(2) > 40] / dark[dark.min(2) > 40]
    assert (
        ratio.std(0).max() < 0.02
        and ratio.mean(0).min() > CHANNEL_GAIN[0] - 0.01
        and ratio.mean(0).max() < CHANNEL_GAIN[1] + 0.01
    )
