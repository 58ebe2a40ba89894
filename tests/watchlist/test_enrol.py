from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.corridor import portrait
from models.facegen import FaceGenerator
from models.faces import Faces
from watchlist.enrol import Gate, enrol, reembed
from watchlist.finding import find_faces
from watchlist.photos import Entry
from watchlist.store import Store
from watchlist.thresholds import Thresholds


class OneFace:
    """A detector that sees faces where it is told, in shares of the unpadded picture."""

    def __init__(self, *faces: tuple[float, float, float]) -> None:
        self.faces = faces

    def detect(self, frames: list[np.ndarray]) -> list[Faces]:
        from models.chip import TEMPLATE

        height, width = frames[0].shape[:2]
        pad = next(p for p in (40, 80, 160) if max(height, width) - 2 * p <= 8 * p)
        boxes, marks = [], []
        for x, y, share in self.faces:
            size = share * (width - 2 * pad)
            cx, cy = pad + x * (width - 2 * pad), pad + y * (height - 2 * pad)
            boxes.append((cx - size / 2, cy - size * 0.67, cx + size / 2, cy + size * 0.67))
            marks.append((TEMPLATE - 64) * (size / 80.5) + (cx, cy))
        count = len(self.faces)
        return [
            Faces(
                np.array(boxes, np.float32).reshape(-1, 4),
                np.array(marks, np.float32).reshape(-1, 5, 2),
                np.full(count, 0.9, np.float32),
            )
        ]


class Knows:
    """A recogniser whose vector is the chip's mean colour, and whose quality is given."""

    digest = "knows"

    def __init__(self, quality: float = 0.9) -> None:
        self.quality = quality

    def embed_with_quality(self, chips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means = chips.reshape(len(chips), -1, 3).mean(1).astype(np.float32) - 128
        return means / np.linalg.norm(means, axis=1, keepdims=True), np.full(len(chips), self.quality, np.float32)


@pytest.fixture
def photo(tmp_path: Path, generator: FaceGenerator) -> Path:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), portrait(generator, generator.identity(3), 3))
    return path


@pytest.mark.parametrize(
    ("faces", "quality", "reason"),
    [
        ([], 0.9, "no_face"),
        ([(0.3, 0.4, 0.3), (0.7, 0.4, 0.25)], 0.9, "several_faces: 2"),
        ([(0.5, 0.4, 0.04)], 0.9, "too_small"),
        ([(0.9, 0.05, 0.2)], 0.9, "blurred"),  # empty background
        ([(0.5, 0.4, 0.35)], 0.05, "low_quality"),
        ([(0.5, 0.4, 0.35), (0.9, 0.1, 0.06)], 0.9, ""),  # somebody far behind does not count
        ([(0.5, 0.4, 0.35)], 0.9, ""),
    ],
)
def test_the_gate_gives_reasons(photo: Path, faces: list, quality: float, reason: str) -> None:
    verdict = Gate(OneFace(*faces), Knows(quality)).judge("Ada", photo)
    assert verdict.reason.startswith(reason) and (verdict.reason == "") == (reason == "")
    assert (verdict.vector is not None) == (reason == "")


def test_an_unreadable_photo_is_refused_and_the_others_are_enrolled(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no")
    store = Store(tmp_path / "w.db")
    gate = Gate(OneFace((0.5, 0.4, 0.35)), Knows())
    heard = []
    verdicts = enrol(
        store,
        gate,
        [Entry("Ada", photo, {"purpose": "test"}), Entry("Ada", tmp_path / "bad.jpg", {}), Entry("Bo", tmp_path / "bad.jpg", {})],
        "knows",
        heard.append,
    )
    assert [bool(v.reason) for v in verdicts] == [False, True, True] and heard == verdicts
    assert [(i.name, i.photos, i.purpose) for i in store.identities()] == [("Ada", 1, "test")]
    assert store.enrolments()[0].chip[:4] == b"\x89PNG"


def test_a_photo_unlike_the_persons_others_is_refused(tmp_path: Path) -> None:
    entries = []
    for place, colour in enumerate([(200, 90, 90), (210, 95, 90), (60, 160, 180)]):
        noise = np.random.default_rng(place).integers(-30, 30, (400, 400, 3))
        cv2.imwrite(str(tmp_path / f"{place}.png"), np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))
        entries.append(Entry("Ada", tmp_path / f"{place}.png", {}))
    verdicts = enrol(Store(tmp_path / "w.db"), Gate(OneFace((0.5, 0.5, 0.5)), Knows()), entries, "knows")
    assert [v.reason for v in verdicts] == ["", "", "unlike_other_photos"]


@pytest.mark.parametrize("scale", [0.25, 1.0, 6.0])
def test_the_real_detector_finds_the_face_of_a_photo_of_any_size(generator: FaceGenerator, scale: float) -> None:
    from models import load_detector

    photo = cv2.resize(portrait(generator, generator.identity(3), 3), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    faces = find_faces(load_detector(device="cpu"), photo)
    widths = faces.boxes[:, 2] - faces.boxes[:, 0]
    assert len(faces) >= 1 and 100 * scale < widths.max() < 220 * scale


def test_who_looks_like_somebody_else_is_refused_unless_told(tmp_path: Path, photo: Path) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(photo.read_bytes() + b" ")  # the same picture in another file
    thresholds = Thresholds([{"face_px": 1e9, "log10_fmr": [-1, -5], "scores": [0.3, 0.6], "tail": {"shape": 0.0, "scale": 0.1}}])
    for number, (asked, reason) in enumerate([(thresholds, "looks_like: Ada, cosine 1.00"), (None, "")]):
        store = Store(tmp_path / f"{number}.db")
        gate = Gate(OneFace((0.5, 0.4, 0.35)), Knows(), asked)
        enrol(store, gate, [Entry("Ada", photo, {})], "knows")
        assert [v.reason for v in enrol(store, gate, [Entry("Ada", other, {}), Entry("Bo", other, {})], "knows")] == ["", reason]
        assert len(store.identities()) == (1 if reason else 2)


def test_vectors_are_made_anew_all_or_none(tmp_path: Path, photo: Path) -> None:
    class Twice(Knows):
        digest = "twice"

        def embed_with_quality(self, chips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            vectors, quality = super().embed_with_quality(chips)
            return -vectors, quality

    store = Store(tmp_path / "w.db")
    enrol(store, Gate(OneFace((0.5, 0.4, 0.35)), Knows()), [Entry("Ada", photo, {})], "knows")
    before = store.enrolments()[0].vector
    assert reembed(store, Twice()) == 1
    after = store.enrolments()[0]
    assert after.recognizer == "twice" and np.allclose(after.vector, -before, atol=0.02)  # the chip is kept whole
