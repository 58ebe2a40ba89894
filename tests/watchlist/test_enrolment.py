import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.faces import Faces
from models.networks.facegen import FaceGenerator
from synthetic.corridor import portrait
from watchlist.database import StoreError
from watchlist.enrolment import Gate, enrol, reembed
from watchlist.gallery import Gallery
from watchlist.photo_faces import find_faces
from watchlist.photos import PhotoEntry
from watchlist.store import Store
from watchlist.thresholds import Thresholds


class OneFace:
    """A detector that sees faces where it is told, in shares of the unpadded picture; scores are 0.9 unless told."""

    def __init__(self, *faces: tuple[float, float, float], scores: tuple[float, ...] = ()) -> None:
        self.faces, self.scores = faces, scores

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
                np.array(self.scores or [0.9] * count, np.float32),
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
        ([(0.9, 0.1, 0.06), (0.5, 0.4, 0.35)], 0.9, ""),
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
        [
            PhotoEntry("Ada", photo, {"purpose": "test"}),
            PhotoEntry("Ada", tmp_path / "bad.jpg", {}),
            PhotoEntry("Bo", tmp_path / "bad.jpg", {}),
        ],
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
        entries.append(PhotoEntry("Ada", tmp_path / f"{place}.png", {}))
    verdicts = enrol(Store(tmp_path / "w.db"), Gate(OneFace((0.5, 0.5, 0.5)), Knows()), entries, "knows")
    assert [v.reason for v in verdicts] == ["", "", "unlike_other_photos"]


@pytest.mark.parametrize("scale", [0.25, 1.0, 6.0])
def test_the_real_detector_finds_the_face_of_a_photo_of_any_size(generator: FaceGenerator, scale: float) -> None:
    from models import load_detector

    photo = cv2.resize(portrait(generator, generator.identity(3), 3), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    faces = find_faces(load_detector(device="cpu"), photo)
    widths = faces.boxes[:, 2] - faces.boxes[:, 0]
    assert len(faces) >= 1 and 100 * scale < widths.max() < 220 * scale


def test_a_lookalike_is_refused_unless_allowed(tmp_path: Path, photo: Path) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(photo.read_bytes() + b" ")  # the same picture in another file
    thresholds = Thresholds([{"face_px": 1e9, "log10_fmr": [-1, -5], "scores": [0.3, 0.6], "tail": {"shape": 0.0, "scale": 0.1}}])
    for number, (asked, reason) in enumerate([(thresholds, "looks_like: Ada, cosine 1.00"), (None, "")]):
        store = Store(tmp_path / f"{number}.db")
        gate = Gate(OneFace((0.5, 0.4, 0.35)), Knows(), asked)
        enrol(store, gate, [PhotoEntry("Ada", photo, {})], "knows")
        assert [v.reason for v in enrol(store, gate, [PhotoEntry("Ada", other, {}), PhotoEntry("Bo", other, {})], "knows")] == [
            "",
            reason,
        ]
        assert len(store.identities()) == (1 if reason else 2)


def test_reembedding_replaces_all_embeddings_or_none(tmp_path: Path, photo: Path) -> None:
    class Twice(Knows):
        digest = "twice"

        def embed_with_quality(self, chips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            vectors, quality = super().embed_with_quality(chips)
            return -vectors, quality

    store = Store(tmp_path / "w.db")
    enrol(store, Gate(OneFace((0.5, 0.4, 0.35)), Knows()), [PhotoEntry("Ada", photo, {})], "knows")
    before = store.enrolments()[0].vector
    assert reembed(store, Twice()) == 1
    after = store.enrolments()[0]
    assert after.recognizer == "twice" and np.allclose(after.vector, -before, atol=0.02)  # the chip is kept whole


def test_a_picture_on_the_wall_is_no_second_person(photo: Path) -> None:
    person, picture = (0.5, 0.4, 0.35), (0.85, 0.2, 0.2)
    assert Gate(OneFace(person, picture, scores=(0.95, 0.55)), Knows()).judge("Ada", photo).reason == ""
    assert Gate(OneFace(person, picture, scores=(0.95, 0.95)), Knows()).judge("Ada", photo).reason.startswith("several_faces")


def test_one_of_several_faces_is_chosen_by_the_number_in_the_preview(tmp_path: Path, photo: Path) -> None:
    gate = Gate(OneFace((0.3, 0.4, 0.25), (0.62, 0.4, 0.3)), Knows(), previews=tmp_path / "out" / "several-faces")
    refused = gate.judge("Ada", photo)
    assert refused.preview is not None and str(refused.preview) in refused.reason
    assert cv2.imread(str(refused.preview)).shape[0] > 100 and refused.preview.stat().st_mode & 0o077 == 0
    assert gate.judge("Ada", photo, face=3).reason.startswith("no_such_face: 3, the photo shows 2")
    width = cv2.imread(str(photo)).shape[1]
    for face, share in ((2, 0.25), (1, 0.3)):  # 1 is the largest
        chosen = gate.judge("Ada", photo, face=face)
        assert chosen.reason == "" and chosen.face_px == pytest.approx(share * width, rel=0.01)
    assert not refused.preview.exists()  # it is of no use any more


def test_an_entry_may_name_the_face(tmp_path: Path, photo: Path) -> None:
    store = Store(tmp_path / "w.db")
    gate = Gate(OneFace((0.3, 0.4, 0.25), (0.62, 0.4, 0.3)), Knows())
    verdicts = enrol(store, gate, [PhotoEntry("Ada", photo), PhotoEntry("Ada", photo, face=2)], "knows")
    assert [v.reason[:13] for v in verdicts] == ["several_faces", ""] and len(store.enrolments()) == 1


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photo_that_lies_on_its_side_is_enrolled_upright(tmp_path: Path, photo: Path, turns: int) -> None:
    from models import load_detector, load_recognizer

    gate = Gate(load_detector(device="cpu", min_score=0.5), load_recognizer(device="cpu"))
    turned = tmp_path / "turned.png"
    cv2.imwrite(str(turned), np.rot90(cv2.imread(str(photo)), -turns))
    upright, found = gate.judge("Ada", photo), gate.judge("Ada", turned)
    assert (upright.reason, upright.turns, found.reason, found.turns) == ("", 0, "", turns)
    assert float(upright.vector @ found.vector) > 0.95


class Surer(OneFace):
    """A detector that is as sure as it is told, one way up after the other."""

    def __init__(self, *sure: float) -> None:
        super().__init__((0.5, 0.4, 0.35))
        self.sure = iter(sure)

    def detect(self, frames: list[np.ndarray]) -> list[Faces]:
        self.scores = (next(self.sure),)
        return super().detect(frames)


@pytest.mark.parametrize(
    ("sure", "turns", "reason"),
    [
        ((0.90, 0.60, 0.93, 0.60), 0, ""),  # about as sure as it is given: it stays so
        ((0.80, 0.60, 0.60, 0.99), 3, ""),
        ((0.85, 0.60, 0.95, 0.60), 2, "not_upright"),
    ],
)
def test_a_photo_of_which_nobody_can_tell_which_way_up_it_is_is_refused(
    tmp_path: Path, photo: Path, sure: tuple[float, ...], turns: int, reason: str
) -> None:
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), cv2.resize(cv2.imread(str(photo)), (300, 300)))  # is searched at one size
    verdict = Gate(Surer(*sure), Knows()).judge("Ada", small)
    assert (verdict.turns, verdict.reason[: len("not_upright")]) == (turns, reason)


def test_another_recogniser_leaves_which_way_up_a_photo_is_to_the_projects_own(tmp_path: Path, photo: Path) -> None:
    from models import load_detector, load_recognizer

    turned = tmp_path / "turned.png"
    cv2.imwrite(str(turned), np.rot90(cv2.imread(str(photo)), 2))
    gate = Gate(load_detector(device="cpu", min_score=0.5), Knows(1.0), judge=load_recognizer(device="cpu"))
    verdict = gate.judge("Ada", turned)
    assert verdict.turns == 2 and verdict.vector is not None and verdict.vector.shape == (3,)


def person(name: str, photo: Path, external_id: str = "", **details: str) -> PhotoEntry:
    return PhotoEntry(name, photo, details | ({"external_id": external_id} if external_id else {}))


@pytest.fixture
def copies(tmp_path: Path, photo: Path) -> list[Path]:
    """The same picture in files of other content."""
    out = []
    for number in range(4):
        out.append(tmp_path / f"copy{number}.png")
        out[-1].write_bytes(photo.read_bytes() + b" " * number)
    return out


def test_two_people_of_one_name_stay_two(tmp_path: Path, copies: list[Path]) -> None:
    store = Store(tmp_path / "w.db")
    gate = Gate(OneFace((0.5, 0.4, 0.35)), Knows())
    entries = [person("John Smith", copies[0], "1", authority="court"), person("John Smith", copies[1], "2", authority="police")]
    for _ in range(2):  # and do when the list is read again
        enrol(store, gate, entries, "knows")
        assert [(p.name, p.external_id, p.authority, p.photos) for p in store.identities()] == [
            ("John Smith", "1", "court", 1),
            ("John Smith", "2", "police", 1),
        ]
    (verdict,) = enrol(store, gate, [person("John Smith", copies[2])], "knows")
    assert verdict.reason.startswith("ambiguous_name: 2 people are called John Smith: ID 1 (1), ID 2 (2)")


def test_a_name_is_one_person_in_every_unicode_form(tmp_path: Path, copies: list[Path]) -> None:
    store = Store(tmp_path / "w.db")
    gate = Gate(OneFace((0.5, 0.4, 0.35)), Knows())
    for place, form in enumerate(("NFC", "NFD")):
        enrol(store, gate, [person(unicodedata.normalize(form, "José"), copies[place])], "knows")
    assert [(p.name, p.photos) for p in store.identities()] == [(unicodedata.normalize("NFC", "José"), 2)]


def test_an_external_id_is_one_person_under_another_name_and_case_is_warned_of(tmp_path: Path, copies: list[Path]) -> None:
    store, told = Store(tmp_path / "w.db"), []
    gate = Gate(OneFace((0.5, 0.4, 0.35)), Knows())
    enrol(store, gate, [person("Ada King", copies[0], "7")], "knows")
    enrol(store, gate, [person("Ada Lovelace", copies[1], "7"), person("ada king", copies[2])], "knows", on_warning=told.append)
    assert [(p.name, p.photos) for p in store.identities()] == [("Ada King", 2), ("ada king", 1)]
    assert ["external id 7" in told[0], "differ only in case" in told[1]] == [True, True]


def test_a_row_without_an_external_id_is_the_only_person_of_its_name(tmp_path: Path, copies: list[Path]) -> None:
    store = Store(tmp_path / "w.db")
    gate = Gate(OneFace((0.5, 0.4, 0.35)), Knows())
    enrol(store, gate, [person("Ada", copies[0]), person("Ada", copies[1], "7")], "knows")
    enrol(store, gate, [person("Ada", copies[2])], "knows")
    assert [(p.external_id, p.photos) for p in store.identities()] == [("7", 3)]


def test_photos_move_people_merge_and_a_photo_is_deleted(tmp_path: Path, copies: list[Path]) -> None:
    store = Store(tmp_path / "w.db")
    gate = Gate(OneFace((0.5, 0.4, 0.35)), Knows())
    entries = [
        PhotoEntry("Ada", copies[0], {"purpose": "test"}),
        PhotoEntry("Ada", copies[1]),
        PhotoEntry("Bo", copies[2]),
        PhotoEntry("Bo", copies[0]),
    ]
    enrol(store, gate, entries, "knows")
    ada, bo = (p.id for p in store.identities())
    first, second = store.enrolments(ada)
    gallery = Gallery(store, "knows")
    store.move_photo(ada, second.id, bo)
    gallery.update()
    assert [len(store.enrolments(who)) for who in (ada, bo)] == [1, 3] and len(gallery) == 4
    with pytest.raises(StoreError, match="no such photo"):
        store.move_photo(ada, second.id, bo)
    with pytest.raises(StoreError, match="same person"):
        store.merge(ada, ada)
    with pytest.raises(StoreError, match="ID 99: nobody"):
        store.merge(ada, 99)
    assert store.merge(ada, bo) == 3  # the photo that both had is there once
    assert [(p.id, p.name, p.purpose, p.photos) for p in store.identities()] == [(bo, "Bo", "test", 3)]
    assert store.remove_photo(bo, second.id) and not store.remove_photo(bo, second.id) and not store.remove_photo(99, first.id)
    assert len(store.enrolments(bo)) == 2
