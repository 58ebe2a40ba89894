"""The recognisers that are compared: ours, EdgeFace-XS, dlib, ONNX files and runs of a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from evaluation.dlib_recognizer import Dlib
from evaluation.lfw import Chips, Embeddings, Recognizer, enlarge
from models import load_recognizer
from models.networks.recognizer import crop_view
from models.runtime.devices import autocast
from training.common.edgeface import EdgeFace
from training.common.runs import load_averaged, load_projection
from training.recognizer.choose_network import NETWORKS


class EdgeFaceRecognizer:
    """EdgeFace-XS behind the `evaluation.lfw.Recognizer` interface; its quality is always 1."""

    def __init__(self, weights: Path) -> None:
        self._teacher = EdgeFace(weights)

    def embed_with_quality(self, chips: Chips) -> tuple[Embeddings, Embeddings]:
        return self._teacher.embed(enlarge(chips)), np.ones(len(chips), np.float32)


class TrainedRecognizer:
    """The averaged network of a run of `training.recognizer.train`; its quality is always 1.

    Args:
        folder: the run.
        mirror: average with the embedding of the mirror image; takes twice as long.
    """

    def __init__(self, folder: Path, mirror: bool = True) -> None:
        self._net, self._project, self._mirror = load_averaged(folder, NETWORKS), load_projection(folder), mirror

    @torch.inference_mode()
    def embed_with_quality(self, chips: Chips) -> tuple[Embeddings, Embeddings]:
        done = []
        for start in range(0, len(chips), 256):
            x = torch.from_numpy(np.ascontiguousarray(chips[start : start + 256])).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
            x = crop_view(x, self._net.side).contiguous(memory_format=torch.channels_last)
            with autocast("cpu"):
                vectors = sum(self._net.with_features(seen)[0].float() for seen in ((x, x.flip(3)) if self._mirror else (x,)))
            done.append(F.normalize(vectors if self._project is None else F.linear(vectors, self._project)).numpy())
        return np.concatenate(done), np.ones(len(chips), np.float32)


def open_recognizers(named: list[str]) -> dict[str, Recognizer]:
    """Load recognisers.

    Args:
        named: NAME=FILE each: weights, the folder of a run, an ONNX file, EdgeFace-XS where the name starts with ``edgeface``, or
            dlib's file (.dat).

    Returns:
        By name, with the shipped one as ``farsight``.

    Raises:
        SystemExit: an entry cannot be read.
    """
    found: dict[str, Recognizer] = {"farsight": load_recognizer()}
    for entry in named:
        name, equals, file = entry.partition("=")
        if not equals or not Path(file).exists():
            raise SystemExit(f"--recognizer {entry}: must be NAME=FILE with an existing file")
        try:
            if is_edgeface(entry):
                found[name] = EdgeFaceRecognizer(Path(file))
            elif is_dlib(entry):
                found[name] = Dlib(Path(file))
            else:
                found[name] = TrainedRecognizer(Path(file)) if Path(file).is_dir() else load_recognizer(file)
        except ValueError as error:
            raise SystemExit(f"--recognizer {entry}: {error}") from None
    return found


def is_edgeface(named: str) -> bool:
    """Whether NAME=FILE is EdgeFace-XS, a baseline without a card."""
    return named.startswith("edgeface") and not named.endswith(".onnx")


def is_dlib(named: str) -> bool:
    """Whether NAME=FILE is dlib's recogniser, a baseline without a card."""
    return named.endswith(".dat")
