import numpy as np
import pytest
import torch

from models.faces import Faces
from models.networks.verification import VIEW_HEIGHT, VerificationNet, Verifier, candidate_views, octaves, to_logits
from models.runtime.image_pyramid import ImagePyramid
from models.weights_io import WEIGHTS

SIDE = 48
CPU = torch.device("cpu")


def faces(boxes: list[list[float]], scores: list[float]) -> Faces:
    return Faces(np.array(boxes, np.float32), np.zeros((len(boxes), 5, 2), np.float32), np.array(scores, np.float32))


def test_an_untrained_network_repeats_the_detectors_score() -> None:
    logits = torch.tensor([-2.0, 0.5])
    found = VerificationNet(side=SIDE).eval()(torch.zeros(2, 3, SIDE, SIDE), logits, torch.tensor([0.0, 2.0]))
    assert found.tolist() == pytest.approx(logits.tolist(), abs=1e-5)


@pytest.mark.parametrize("high", [6, 24, 61, 200, 401])
def test_a_view_is_the_box_in_the_middle_at_one_height(high: int) -> None:
    frame = np.zeros((900, 1201, 3), np.uint8)
    wide = high * 4 // 5
    frame[300 : 300 + high, 500 : 500 + wide] = 255
    box = np.array([[500, 300, 500 + wide, 300 + high]], np.float32) - 0.5  # a pixel's centre is at its integer
    (seen,) = candidate_views(ImagePyramid(frame), box, SIDE)
    rows, columns = np.flatnonzero(seen[:, SIDE // 2, 0] > 127), np.flatnonzero(seen[SIDE // 2, :, 0] > 127)
    assert len(rows) == pytest.approx(VIEW_HEIGHT, abs=1.5) and rows.mean() == pytest.approx((SIDE - 1) / 2, abs=1.0)
    assert len(columns) == pytest.approx(VIEW_HEIGHT * wide / high, abs=1.5) and columns.mean() == pytest.approx(23.5, abs=1.0)


def test_boxes_at_the_edge_and_of_no_height_have_views() -> None:
    frame = np.full((4, 3, 3), 70, np.uint8)
    seen = candidate_views(ImagePyramid(frame), np.array([[0, 0, 3, 4], [2, 3, 2, 3], [0, 0, 0.1, 0.1]], np.float32), SIDE)
    assert seen.shape == (3, SIDE, SIDE, 3) and (seen == 70).all()


def test_octaves_are_log2_of_the_height_clipped() -> None:
    boxes = np.array([[0, 0, 20, 24], [5, 5, 99, 101], [0, 0, 9, 0], [0, 0, 9, 9999]], np.float32)
    assert octaves(boxes).tolist() == [0, 2, -2, 4]


def test_logits_of_scores_0_and_1_are_finite() -> None:
    assert np.isfinite(to_logits(np.array([0, 0.5, 1], np.float32))).all()


def test_a_face_outscores_background_and_comes_first(chips: np.ndarray) -> None:
    frame = np.repeat(np.linspace(40, 160, 500, dtype=np.uint8)[None, :, None], 300, 0).repeat(3, 2)
    frame[80:208, 300:428] = chips[0]
    offered = faces([[60, 60, 140, 165], [324, 98, 404, 205]], [0.5, 0.2])
    found = Verifier(CPU, WEIGHTS / "rescore.safetensors").verify(ImagePyramid(frame), offered)
    assert found.boxes[0].tolist() == [324, 98, 404, 205] and found.scores[0] > 0.5 > found.scores[1]
    assert len(Verifier(CPU, WEIGHTS / "rescore.safetensors").verify(ImagePyramid(frame), Faces.empty())) == 0
