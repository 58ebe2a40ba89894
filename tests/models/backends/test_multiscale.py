import numpy as np
import pytest

from models import load_detector
from models.backends.multiscale import MultiScaleDetector
from models.faces import Faces


class Sized:
    """Takes white squares of 30 to 60 pixels for faces."""

    def detect(self, frames: list[np.ndarray]) -> list[Faces]:
        return [self._one(frame) for frame in frames]

    def _one(self, frame: np.ndarray) -> Faces:
        assert frame.ndim == 3
        rows, columns = np.nonzero(frame[..., 0] > 127)
        if not len(rows) or not 30 <= np.ptp(columns) + 1 <= 60:
            return Faces.empty()
        box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
        return Faces(box, np.repeat(box.reshape(1, 2, 2).mean(1)[:, None], 5, 1), np.array([0.9], np.float32))


@pytest.mark.parametrize(("side", "found"), [(10, 0), (20, 1), (40, 1), (90, 1), (200, 0)])
def test_faces_of_other_sizes_are_found_in_the_frames_own_pixels(side: int, found: int) -> None:
    frame = np.zeros((240, 321), np.uint8)
    frame[20 : 20 + side, 30 : 30 + side] = 255
    (faces,) = MultiScaleDetector(Sized(), (2.0, 0.5)).detect([frame])
    assert len(faces) == found
    if found:
        assert np.allclose(faces.boxes, [[30, 20, 30 + side, 20 + side]], atol=1.0)
        assert np.allclose(faces.landmarks[0, 0], (30 + side / 2, 20 + side / 2), atol=1.0)


@pytest.mark.parametrize("scale", [0.0, -1.0, 9.0])
def test_scales_out_of_range_are_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=r"scales = .* must lie between"):
        load_detector(device="cpu", scales=[scale])
