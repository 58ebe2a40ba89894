"""Other people's detectors behind our contract. SCRFD is a network that takes white squares for faces, written as ONNX."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models import load_detector
from models.backends.onnx_detectors import _rows

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

YUNET = Path(os.environ.get("FARSIGHT_YUNET", "/nowhere"))  # OpenCV's .onnx file
SQUARE = (60, 100, 124, 164)


class White(torch.nn.Module):
    """Scores, distances and points of each cell and anchor at three strides; a cell of stride 32 is sure where all is white."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scores, distances, points = [], [], []
        for stride in (8, 16, 32):
            white = F.avg_pool2d(x.mean(1, keepdim=True), stride).clamp(0, 1) * (stride == 32)
            each = white.flatten(1)[..., None].repeat_interleave(2, 1)
            scores.append(each)
            distances.append(torch.full_like(each.expand(-1, -1, 4), 2.0))
            points.append(torch.zeros_like(each.expand(-1, -1, 10)))
        return (*scores, *distances, *points)


@pytest.fixture(scope="module")
def scrfd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("onnx") / "scrfd.onnx"
    torch.onnx.export(White().eval(), (torch.zeros(1, 3, 640, 640),), str(file), external_data=False, verbose=False)
    return file


def picture(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = SQUARE
    image[y1:y2, x1:x2] = 255
    return image


@pytest.mark.parametrize(("height", "width"), [(320, 320), (200, 320), (320, 180)])
def test_scrfd_is_read_in_the_frames_own_pixels(scrfd: Path, height: int, width: int) -> None:
    detector = load_detector(scrfd, "cpu", 0.95)
    colour, grey = detector.detect([picture(height, width), picture(height, width)[..., 0]])
    assert len(colour) >= 1 and colour.boxes.tolist() == grey.boxes.tolist()
    assert (colour.boxes[:, 2:] - colour.boxes[:, :2] == 64).all()  # four strides of 32 in a picture enlarged twice
    middle = colour.boxes.reshape(-1, 2, 2).mean(1)
    assert ((middle >= SQUARE[:2]) & (middle <= SQUARE[2:])).all()
    assert np.array_equal(colour.landmarks[:, 0], middle)
    with pytest.raises(ValueError, match="a frame must be uint8"):
        detector.detect([picture(height, width).astype(np.float32)])


def test_scrfd_files_with_and_without_an_axis_for_the_batch() -> None:
    assert _rows(np.zeros((1, 800, 4))).shape == _rows(np.zeros((800, 4))).shape == (800, 4)


def test_scrfd_at_other_sizes_is_refused(scrfd: Path) -> None:
    with pytest.raises(ValueError, match="shrinks every frame"):
        load_detector(scrfd, "cpu", 0.5, [2.0])


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="not a readable ONNX"):
        load_detector(tmp_path / "x.onnx")


@pytest.mark.skipif(not YUNET.is_file(), reason="FARSIGHT_YUNET names no file")
def test_yunet_finds_the_same_in_grey(chips: np.ndarray) -> None:
    frame = np.full((240, 240, 3), 90, np.uint8)
    frame[50:178, 50:178] = chips[0].mean(2, keepdims=True)
    colour, grey = load_detector(YUNET, "cpu", 0.5).detect([frame, frame[..., 0]])
    assert len(colour) == 1 and np.array_equal(colour.boxes, grey.boxes)
