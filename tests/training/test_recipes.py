"""One step of each recipe on the project's own faces, and the pieces that are easy to get wrong."""

import numpy as np
import pytest
import torch

from models.chip import FUSED_LEVELS, TEMPLATE
from models.networks.detector import STRIDES, DetectorNet, cell_centres, decode_cells
from models.networks.recognizer import crop_view
from training.data.scenes import Scene, mirror
from training.detector.scene_batches import assign
from training.detector.scene_maker import SURE, SceneMaker
from training.detector.train import giou, losses
from training.recognizer.inputs import make_inputs


def scene(*boxes: tuple[float, ...], scores: tuple[float, ...] | None = None, side: int = 128) -> Scene:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    middles = array.reshape(-1, 2, 2).mean(1)
    marks = middles[:, None] + np.array([[-4, -4], [4, -4], [0, 0], [-3, 4], [3, 4]], np.float32)
    return Scene(np.full((side, side, 3), 90, np.uint8), array, marks, np.array(scores or [0.9] * len(boxes), np.float32))


def test_decoding_undoes_the_targets() -> None:
    truth, marks = torch.tensor([[50.0, 48, 62, 66]]), torch.rand(1, 5, 2) * 20 + 45
    centre = cell_centres(32, 32, 4)[14, 14][None]
    reach = torch.cat([centre - truth[:, :2], truth[:, 2:] - centre], 1) / 4
    values = torch.cat([reach.log(), ((marks - centre[:, None]) / 4).reshape(1, 10)], 1)
    boxes, landmarks = decode_cells(values, centre, 4)
    assert torch.allclose(boxes, truth, atol=1e-4) and torch.allclose(landmarks, marks, atol=1e-4)


def test_giou_by_hand() -> None:
    a = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    b = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]])
    iou, general = giou(a, b)
    assert torch.allclose(iou, torch.tensor([1.0, 0.0])) and torch.allclose(general, torch.tensor([1.0, -1 / 3]), atol=1e-5)


def test_the_detector_learns_one_picture() -> None:
    torch.manual_seed(0)
    net = DetectorNet()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    one = scene((30, 30, 44, 50), (80, 70, 100, 96))
    owners = assign(torch.from_numpy(one.boxes)[None], torch.from_numpy(one.scores)[None], 128)
    picture = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 128, 128)).astype(np.float32))
    first = last = 0.0
    for _step in range(25):
        terms = losses(net(picture), owners, torch.from_numpy(one.boxes), torch.from_numpy(one.landmarks))
        loss = terms["score"] + 2 * terms["box"] + 5 * terms["mark"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = first or float(loss.detach()), float(loss.detach())
    assert last < 0.6 * first and len(net(picture)) == len(STRIDES)


def test_a_mirrored_scene_is_one_again_when_mirrored_twice() -> None:
    one = scene((30, 30, 44, 50))
    turned = mirror(one)
    assert turned.boxes[0].tolist() == [84, 30, 98, 50] and turned.landmarks[0, 0, 0] < turned.landmarks[0, 1, 0]
    assert np.allclose(mirror(turned).landmarks, one.landmarks)


def test_made_scenes_are_whole(chips: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    photos = [scene((60, 60, 120, 140), side=200), scene(side=90)]
    hard_negatives = [np.full((30, 40, 3), 200, np.uint8)]
    maker = SceneMaker(photos, [scene((40, 40, 60, 66), side=300)], chips, np.arange(8), 160, hard_negatives)
    for _ in range(30):
        made = maker.make(rng)
        assert made.image.shape == (160, 160, 3) and made.image.dtype == np.uint8
        assert len(made.boxes) == len(made.landmarks) == len(made.scores)
        assert np.isfinite(made.boxes).all()


def white(box: tuple[int, int, int, int], side: int) -> Scene:
    """A black picture whose face is a white rectangle; its eyes, nose and mouth lie in the corners and the middle."""
    image = np.zeros((side, side, 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 255
    marks = np.array([[(x1, y1), (x2, y1), ((x1 + x2) / 2, (y1 + y2) / 2), (x1, y2), (x2, y2)]], np.float32)
    return Scene(image, np.array([box], np.float32), marks, np.array([0.9], np.float32))


@pytest.mark.parametrize("scale", [0.3, 0.5, 1.0, 1.4])
def test_labels_lie_on_their_pixels_in_every_view(chips: np.ndarray, scale: float) -> None:
    source = white((120, 90, 200, 190), 400)
    maker, checked = SceneMaker([source], [source], chips, np.arange(8), 320), 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        made = maker._view(source, scale, rng)
        for one in (made, mirror(made)):
            rows, columns = np.nonzero(one.image[..., 0] > 127)
            if not len(one.boxes) or one.scores[0] < SURE:
                continue  # cut by the window's edge
            height, width = one.image.shape[:2]
            seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            middle = np.array([columns.mean(), rows.mean()]) + 0.5
            inside = seen[0] > 0 and seen[1] > 0 and seen[2] < width and seen[3] < height
            if inside:
                checked += 1
                assert np.abs(one.boxes.reshape(2, 2).mean(0) - middle).max() < 0.4
                assert np.abs(one.landmarks[0, 2] - middle).max() < 0.4
                assert np.abs(one.landmarks[0].min(0) - seen[:2]).max() < 1.2  # turned ones as well
    assert checked >= 8


@pytest.mark.parametrize("turned", [False, True])
def test_labels_lie_on_pasted_faces(turned: bool) -> None:
    chip = np.full((1, 128, 128, 3), 80, np.uint8)
    nose = TEMPLATE[2].round().astype(int)
    chip[0, nose[1] - 8 : nose[1] + 8, nose[0] - 8 : nose[0] + 8] = 255
    off = TEMPLATE[2] - nose  # the white square's middle lies between pixels: at the nose, but for this
    errors = []
    for seed in range(40):
        ground = Scene(np.zeros((200, 200, 3), np.uint8), *(np.zeros(shape, np.float32) for shape in ((0, 4), (0, 5, 2), 0)))
        made = SceneMaker([ground], [ground], chip, np.arange(1), 200)._paste_chips(ground, np.random.default_rng(seed))
        made = mirror(made) if turned else made
        if len(made.boxes) == 1:  # else faces lie on each other's labels
            light = np.clip(made.image[..., 0].astype(float) - 90, 0, None)
            places = np.stack(np.meshgrid(np.arange(200), np.arange(200)), -1) + 0.5
            middle = (places * light[..., None]).sum((0, 1)) / light.sum()
            across = made.boxes[0, 2] - made.boxes[0, 0]
            errors.append(made.landmarks[0, 2] - middle - off * across / 128)
    assert len(errors) >= 5 and np.abs(np.mean(errors, 0)).max() < 0.15


def test_training_inputs_look_like_what_the_pipeline_feeds(chips: np.ndarray) -> None:
    for seed in range(20):
        made = make_inputs(list(chips[:8]), 64, seed / 20, np.random.default_rng(seed), restored=2)
        assert made.seen.shape == made.sharp.shape == (8, 64, 64, 3)
        for small, sharp in zip(made.seen.numpy(), made.sharp.numpy(), strict=True):
            assert np.corrcoef(small.reshape(-1), sharp.reshape(-1))[0, 1] > 0.6  # the same face in the same place
        assert sorted(row for rows, low in made.to_restore for row in rows.tolist()) == [6, 7]
        assert all(low.shape[1] in FUSED_LEVELS and len(low) == len(rows) for rows, low in made.to_restore)
    seen = crop_view(torch.from_numpy(chips[:1].copy()).permute(0, 3, 1, 2).float(), 64)
    assert seen.shape == (1, 3, 64, 64)
