import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import torch

from tests.faces68 import landmarks68
from training.data.chips import load_chips
from training.data.priors import MESH_68, REGIONS, attention_map, five_of, heat_maps, mirror_landmarks, parsing_map, write_chips


def test_heat_maps_are_high_at_their_landmarks() -> None:
    points = torch.full((2, 68, 2), 32.0)
    points[1] = 0  # none found: nothing anywhere
    maps, attention = heat_maps(points, 64), attention_map(points, 128)
    assert maps.shape == (2, 68, 64, 64) and attention.shape == (2, 1, 128, 128)
    row, column = divmod(int(maps[0, 5].argmax()), 64)
    assert abs(row - 15.5) < 1 and abs(column - 15.5) < 1 and float(attention[0].max()) > 0.9
    assert float(maps[1].max()) == float(attention[1].max()) == 0


def test_regions_lie_where_they_should_and_do_not_overlap() -> None:
    maps = dict(zip(REGIONS, parsing_map(landmarks68()), strict=True))
    for name, (x, y) in {
        "skin": (40, 85),
        "brows": (46, 49),
        "eyes": (46, 59),
        "nose": (64, 80),
        "lips": (51, 99),
        "mouth": (64, 100),
    }.items():
        assert maps[name][y, x] == 255, name
        assert all(other[y, x] == 0 for key, other in maps.items() if key != name), name
    assert max(m[2, 2] for m in maps.values()) == 0
    assert not parsing_map(np.zeros((68, 2), np.float32)).any()


def test_mirrored_landmarks_keep_their_names() -> None:
    points = torch.from_numpy(landmarks68())[None]
    turned = mirror_landmarks(points)
    assert torch.allclose(mirror_landmarks(turned), points, atol=1e-4)
    assert float((turned - points).norm(dim=2).mean()) < 3  # a frontal face is nearly its own mirror image
    assert not mirror_landmarks(torch.zeros(1, 68, 2)).any()


def test_your_own_photos_become_training_chips(chips: np.ndarray, tmp_path: Path) -> None:
    assert len(set(MESH_68)) == 68 and max(MESH_68) < 478
    photos = tmp_path / "photos"
    for person, chip in (("ada", chips[0]), ("ada", chips[1]), ("ben", chips[2])):
        (photos / person).mkdir(parents=True, exist_ok=True)
        large = cv2.resize(chip, (300, 300), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(photos / person / f"{len(list(photos.rglob('*.png')))}.png"), large[..., ::-1])
    (photos / "ben" / "broken.jpg").write_bytes(b"no photo")
    cv2.imwrite(str(photos / "ben" / "nobody.png"), np.zeros((50, 50, 3), np.uint8))

    def find(photo: np.ndarray) -> np.ndarray | None:
        return landmarks68() * (300 / 128) if photo.any() else None

    assert write_chips(photos, find, tmp_path / "data") == (3, 2)
    found = load_chips(tmp_path / "data", tmp_path / "cache")
    assert found.identity.tolist() == ["ada", "ada", "ben"]
    assert np.abs(found.images[0].astype(int) - chips[0]).mean() < 6  # aligned as it was
    assert np.abs(five_of(found.landmarks68()[0]) - five_of(landmarks68())).max() < 1
    with (tmp_path / "data" / "chips" / "index.csv").open() as file:
        assert all(20 < float(row["soft_db"]) < 60 for row in csv.DictReader(file))


def test_a_dev_chip_that_shows_who_was_trained_on_is_neither(data: Path, tmp_path: Path) -> None:
    whole = load_chips(data, data)
    shutil.copytree(data / "chips", tmp_path / "chips")
    vectors = np.eye(24, 256) * 100
    dev = np.flatnonzero(whole.dev)
    vectors[dev[0]] = vectors[np.flatnonzero(whole.train)[0]] * 0.9
    np.save(tmp_path / "chips" / "edgeface_xs.npy", vectors.astype(np.int8))
    found = load_chips(tmp_path, data)
    assert (found.train == whole.train).all() and found.dev.tolist() == [row in dev[1:] for row in range(24)]
    assert not found.dev[dev[0]] and not found.train[dev[0]]
