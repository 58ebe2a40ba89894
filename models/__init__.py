"""The networks: detector, super-resolution, recogniser. This interface is stable.

    from models import load_detector, load_superres, load_recognizer

    faces = load_detector().detect([frame_rgb])     # list of Faces: boxes (N, 4), landmarks (N, 5, 2), scores (N,)
    sharp = load_superres().upscale(chips)          # uint8 (N, r, r, 3), r in 16, 32, 64 -> uint8 (N, 128, 128, 3)
    vectors = load_recognizer().embed(chips)        # uint8 (N, r, r, 3), r in 16..128 -> float32 (N, D), unit length

Torch is imported when a network is loaded, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.faces import Faces

if TYPE_CHECKING:
    from models.embedding import Embedder
    from models.restoration import Restorer


class Detector(Protocol):
    """Interface of all face detectors."""

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Faces]:
        """Find the faces of each frame, uint8 (H, W, 3) RGB or (H, W) grey. Raises ValueError for anything else."""
        ...


def load_detector(
    name: str | Path | None = None, device: str = "auto", min_score: float = 0.5, scales: Sequence[float] = ()
) -> Detector:
    """Load a face detector.

    Besides its network buffers, the project's own detector needs about 45 bytes per pixel of a frame: 0.1 GB for 1080p, 1.5 GB
    for 8K.

    Args:
        name: None: the project's own. ``fast``: its smaller variant, at half the computation and with a few more missed small
            faces. A path: own weights (``.safetensors``), YuNet or SCRFD (``.onnx``), or MediaPipe's BlazeFace
            (``.tflite``). The name of a downloaded file, such as ``yunet.onnx`` (`models.downloads`).
        device: ``cpu``, ``cuda`` or ``auto``.
        min_score: smallest score, 0..1. A lower value finds more faces and more false detections.
        scales: additional scale factors, 0.1 to 4, at which each frame is searched. Factors above 1 find smaller faces; 2.0 takes
            five times as long.

    Raises:
        ValueError: with the reason, if the file is unreadable or of another kind, a value is out of range, or the device is
            missing.
    """
    if not 0 < min_score < 1:
        raise ValueError(f"min_score = {min_score}: must lie between 0 and 1")
    if scales:
        from models.backends.multiscale import MultiScaleDetector
        from models.backends.onnx_detectors import Scrfd

        detector = load_detector(name, device, min_score)
        if isinstance(detector, Scrfd):
            raise ValueError(f"scales: {name} is SCRFD, which shrinks every frame to a size of its own")
        return MultiScaleDetector(detector, scales)
    if name is not None and Path(name).suffix.lower() == ".onnx":
        from models.backends.onnx_detectors import load_onnx_detector

        return load_onnx_detector(weights_path(name, "detector"), min_score, device)
    if name is not None and Path(name).suffix.lower() == ".tflite":
        from models.backends.mediapipe import load_mediapipe_detector

        return load_mediapipe_detector(weights_path(name, "detector"), min_score)
    from models.detection import SmallFaceDetector

    return SmallFaceDetector(weights_path(name, "detector"), device, min_score)


def load_superres(name: str | Path | None = None, device: str = "auto") -> Restorer:
    """Load the super-resolution network.

    Args:
        name: None: the project's own. A path: own weights (``.safetensors``).
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        ValueError: with the reason, if the file is unreadable or of another kind, or the device is missing.
    """
    from models.restoration import Restorer

    return Restorer(weights_path(name, "superres"), device)


def load_recognizer(name: str | Path | None = None, device: str = "auto") -> Embedder:
    """Load a recogniser.

    Args:
        name: None: the project's low-resolution recogniser. A path: own weights (``.safetensors``) or any ArcFace-style
            recogniser (``.onnx``).
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        ValueError: with the reason, if the file is unreadable or of another kind, or the device is missing.
    """
    if name is not None and Path(name).suffix.lower() == ".onnx":
        from models.backends.onnx_recognizer import OnnxEmbedder

        return OnnxEmbedder(weights_path(name, "recognizer"), device)
    from models.embedding import Embedder

    return Embedder(weights_path(name, "recognizer"), device)


def recognizer_card(name: str | Path | None = None) -> dict[str, Any]:
    """Read the card of a recogniser without loading torch.

    Args:
        name: as in `load_recognizer`.

    Returns:
        The card, with its digest (``sha256``) and impostor statistics (``impostors``), from which all thresholds are computed.

    Raises:
        ValueError: if the card is missing or damaged, or holds no impostor statistics.
    """
    import json

    path = weights_path(name, "recognizer")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        card: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    except FileNotFoundError:
        card = {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.with_suffix('.json')}: not a readable card ({error})") from None
    if not isinstance(card, dict) or not card.get("impostors"):
        raise ValueError(
            f"{path}: its card has no impostor scores, so it has no threshold; measure them: "
            f"python -m evaluation.recognition --data DATA --recognizer other={path} --write-card"
        )
    return card


def weights_path(name: str | Path | None, kind: str) -> Path:
    """Return the path of a network's weight file.

    Args:
        name: None: the project's own. The name of one of its variants, such as ``fast``, or of a downloaded file
            (`models.downloads`), such as ``yunet.onnx``. Else a path.
        kind: ``detector``, ``superres``, ``recognizer``.
    """
    own = Path(__file__).parent / "weights"
    if name is None:
        return own / f"{kind}.safetensors"
    variant = own / f"{kind}-{name}.safetensors"
    if variant.is_file() or Path(name).is_file():
        return variant if variant.is_file() else Path(name)
    from models.downloads import find_downloaded

    return find_downloaded(name) or Path(name)
