"""The Python contract, measured as somebody outside would."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from models import load_detector, load_recognizer, load_superres, recognizer_card
from models.detection import SmallFaceDetector
from models.embedding import Embedder
from models.restoration import Restorer
from models.weights_io import WEIGHTS


@pytest.fixture(scope="module", params=[None, "fast"])
def detector(request: pytest.FixtureRequest) -> SmallFaceDetector:
    return load_detector(request.param, device="cpu", min_score=0.5)


@pytest.fixture(scope="module")
def superres() -> Restorer:
    return load_superres(device="cpu")


@pytest.fixture(scope="module")
def recognizer() -> Embedder:
    return load_recognizer(device="cpu")


def shrunk(chips: np.ndarray, side: int) -> np.ndarray:
    return np.stack([cv2.resize(c, (side, side), interpolation=cv2.INTER_AREA) for c in chips])


def test_all_weights_together_are_small_and_described() -> None:
    names = ("detector", "rescore", "detector-fast", "landmarks", "superres", "recognizer")
    assert sum((WEIGHTS / f"{n}.safetensors").stat().st_size for n in names) < 25e6
    assert (WEIGHTS / "facegen.safetensors").stat().st_size < 8e6
    for name in names:
        card = json.loads((WEIGHTS / f"{name}.json").read_text())
        assert {
            "kind",
            "architecture",
            "sha256",
            "preprocessing",
            "data",
            "licence",
            "command",
            "trained",
            "figures",
            "parameters",
        } <= set(card)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (720, 1280)])
def test_frames_of_any_size(detector: SmallFaceDetector, size: tuple[int, int]) -> None:
    faces = detector.detect([np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)])[0]
    assert faces.boxes.shape == (len(faces), 4) and faces.landmarks.shape == (len(faces), 5, 2)
    assert np.isfinite(faces.boxes).all() and np.isfinite(faces.landmarks).all()


def test_a_narrow_frame_scores_as_it_does_on_a_wide_grey_canvas(detector: SmallFaceDetector, chips: np.ndarray) -> None:
    narrow = cv2.resize(chips[0], (30, 120), interpolation=cv2.INTER_AREA)
    wide = cv2.copyMakeBorder(narrow, 0, 0, 0, 98, cv2.BORDER_CONSTANT, value=(127, 127, 127))
    found = [detector.candidates([frame], 0.01)[0] for frame in (narrow, wide)]
    best = [faces.scores.max(initial=0) for faces in found]
    assert best[0] == pytest.approx(best[1], abs=0.05)


def test_a_frame_of_8k_is_searched_in_two_gigabytes() -> None:
    code = (
        "import numpy, resource; from models import load_detector;"
        "noise = numpy.random.default_rng(0).integers(0, 256, (4320, 7680, 3), numpy.uint8);"
        "found, = load_detector(device='cpu').detect([noise]);"
        "assert all(numpy.isfinite(part).all() for part in (found.boxes, found.landmarks, found.scores));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=WEIGHTS.parents[1])
    assert 0 < int(done.stdout or 0) < 2048, done.stderr  # MiB, of which Python and the networks take 0.3


def test_mixed_sizes_and_grey_in_one_call(detector: SmallFaceDetector) -> None:
    assert len(detector.detect([np.zeros((90, 90), np.uint8), np.zeros((64, 200, 3), np.uint8)])) == 2
    assert detector.detect([]) == []


@pytest.mark.parametrize("face_px", [14, 24, 48, 450])
def test_a_face_is_found_where_it_is(detector: SmallFaceDetector, generator, face_px: int) -> None:
    from models.networks.facegen import Look
    from synthetic.corridor import FACE_WIDTH
    from synthetic.figures import draw_background, draw_body, paste_head

    width, height, x, y = (640, 360, 400, 120) if face_px < 100 else (1280, 720, 640, 300)
    frame = draw_background(width, height, np.random.default_rng(3))
    chip, mask = generator.render(generator.identity(21), Look())
    draw_body(frame, x, y, face_px, 21, 0.0, chip)
    paste_head(frame, chip, mask, x, y, face_px / FACE_WIDTH)
    faces = detector.detect([frame])[0]
    assert len(faces) == 1
    centre = faces.boxes[0].reshape(2, 2).mean(0)
    assert np.abs(centre - (x, y + 0.1 * face_px)).max() < 0.25 * face_px
    assert 0.6 < (faces.boxes[0, 2] - faces.boxes[0, 0]) / face_px < 1.5
    eyes = faces.landmarks[0, :2]
    assert eyes[0, 0] < eyes[1, 0]  # the left eye in the picture comes first


@pytest.mark.parametrize("frame", [np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3), np.float32), np.zeros((0, 9, 3), np.uint8)])
def test_a_frame_of_wrong_shape_or_dtype_is_refused(detector: SmallFaceDetector, frame: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a frame must be uint8"):
        detector.detect([frame])


@pytest.mark.parametrize(("level", "share"), [(16, 1.0), (32, 1.0), (64, 1.3)])  # at 64 little is left to win on smooth faces
def test_superres_is_closer_than_bicubic(superres: Restorer, chips: np.ndarray, level: int, share: float) -> None:
    low = shrunk(chips, level)
    high = superres.upscale(low)
    assert high.shape == (8, 128, 128, 3) and high.dtype == np.uint8
    plain = np.stack([cv2.resize(c, (128, 128), interpolation=cv2.INTER_CUBIC) for c in low])
    assert np.abs(high.astype(int) - chips).mean() < share * np.abs(plain.astype(int) - chips).mean()


def test_superres_refuses_chips_of_128_pixels(superres: Restorer, chips: np.ndarray) -> None:
    with pytest.raises(ValueError, match="chips must be"):
        superres.upscale(chips)


@pytest.mark.parametrize("level", [16, 32, 64, 128])
def test_embeddings_of_one_person_are_closer_at_every_level(recognizer: Embedder, chips: np.ndarray, level: int) -> None:
    vectors = recognizer.embed(shrunk(chips, level))
    assert vectors.dtype == np.float32 and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    likeness = vectors @ recognizer.embed(chips).T
    same = np.arange(8) // 2
    assert likeness[same[:, None] == same].mean() > likeness[same[:, None] != same].mean() + 0.2


def test_quality_falls_with_resolution_and_is_zero_for_flat_chips(recognizer: Embedder, chips: np.ndarray) -> None:
    means = [recognizer.embed_with_quality(shrunk(chips, side))[1].mean() for side in (128, 32, 16)]
    assert means[0] > means[1] > means[2]
    for colour in ((0, 0, 0), (128, 128, 128), (200, 160, 130), (0, 0, 255)):
        vectors, quality = recognizer.embed_with_quality(np.full((1, 64, 64, 3), colour, np.uint8))
        assert quality[0] == 0 and np.isfinite(vectors).all()


def test_broken_weights_never_give_nan(chips: np.ndarray) -> None:
    broken = load_recognizer(device="cpu"), load_superres(device="cpu")
    for net in broken:
        next(net._net.parameters()).data.fill_(np.nan)
    vectors, quality = broken[0].embed_with_quality(chips)
    assert np.isfinite(vectors).all() and (quality == 0).all()
    assert broken[1].upscale(shrunk(chips, 16)).max() == 0


def test_foreign_and_broken_weights_are_refused(tmp_path: Path) -> None:
    for name in ("superres.safetensors", "superres.json"):
        shutil.copy(WEIGHTS / name, tmp_path / name)
    path = tmp_path / "superres.safetensors"
    with pytest.raises(ValueError, match="'superres' weights, 'detector' ones are needed"):
        load_detector(path, "cpu")
    card = path.with_suffix(".json").read_text()
    for described in ({"architecture": {"deep": 3}}, {"architecture": None}, {"architecture": {"stem": -1}}):
        path.with_suffix(".json").write_text(json.dumps(json.loads(card) | described))
        with pytest.raises(ValueError, match="its card describes no SuperResNet"):
            load_superres(path, "cpu")
    path.with_suffix(".json").write_text("[]")
    with pytest.raises(ValueError, match="not a card"):
        load_superres(path, "cpu")
    path.with_suffix(".json").write_text(card)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="does not match the sha256"):
        load_superres(path, "cpu")
    with pytest.raises(ValueError, match="cannot read"):
        load_recognizer(tmp_path / "none.safetensors", "cpu")


def test_a_missing_gpu_is_named() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="no GPU is usable"):
        load_detector(device="cuda")


def test_the_recognizer_card_says_on_how_many_strangers_its_thresholds_rest() -> None:
    bins = recognizer_card()["impostors"]
    assert all(b["people"] >= 100 and b["people_of_all_widths"] >= 700 for b in bins)
    assert all(row == sorted(row) for b in bins for row in b["cosines"])
    assert {b["shots"] for b in bins} == {1, 3, 5}
