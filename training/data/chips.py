"""Load the training chips from a decoded cache, and split them into training and dev rows without shared faces.

``DATA/chips`` holds ``index.csv`` (file, shard, source, identity, soft_db, ...), WebP shards, ``landmarks68.npz`` and
``edgeface_xs.npy``, with the same rows. The hash of the identity (or of the file name, where the identity is unknown)
assigns 95 % of the rows to the training split. The other rows are the dev split, except those whose teacher cosine to a training
row exceeds `SAME_PERSON_COSINE`: an unnamed person or photo may occur twice, so these rows are in neither split.
Pixels outside a chip's source picture are masked when the chip is decoded (`training.data.picture_edges`).
"""

from __future__ import annotations

import csv
import os
import tarfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from models import load_recognizer
from training.data.picture_edges import cover_outside, load_edges

SAME_PERSON_COSINE = 0.6  # teacher cosine above which two chips count as the same person
NOT_FOR_SUPERRES = ("fiw",)  # collections of upscaled or printed pictures
MAX_SOFT_DB = 37.0  # PSNR of a chip to itself halved and doubled, in dB; above it the chip has no detail at 128 pixels


@dataclass(frozen=True)
class ChipSet:
    """Decoded chips and their metadata; every array has one row per chip.

    Attributes:
        folder: ``DATA/chips``.
        images: uint8 (N, 128, 128, 3) RGB, memory-mapped.
        source: str (N,), the collection.
        identity: str (N,), "" where unknown.
        soft_db: float32 (N,), PSNR in dB of the chip to itself halved and doubled. High values mean little detail.
        train: bool (N,), rows of the training split.
        dev: bool (N,), rows of the dev split.
        edges: float32 (N, 4, 2), corners of the source picture in chip pixels; all zero where it covers the chip.
    """

    folder: Path
    images: NDArray[np.uint8]
    source: NDArray[np.str_]
    identity: NDArray[np.str_]
    soft_db: NDArray[np.float32]
    train: NDArray[np.bool_]
    dev: NDArray[np.bool_]
    edges: NDArray[np.float32]

    def rows_with_detail(self, dev: bool) -> NDArray[np.intp]:
        """Rows with detail at 128 pixels, for super-resolution.

        Args:
            dev: False: training rows, without the collections in `NOT_FOR_SUPERRES`. True: dev rows, without chips that extend
                beyond their source picture.
        """
        detailed = (self.soft_db <= MAX_SOFT_DB) & ~np.isin(self.source, NOT_FOR_SUPERRES)
        if dev:
            return np.flatnonzero(self.dev & detailed & ~self.edges.any((1, 2)))
        return np.flatnonzero(self.train & detailed)

    def landmarks68(self) -> NDArray[np.float32]:
        """iBUG landmarks float32 (N, 68, 2) in chip pixels; all zero where none were found."""
        with np.load(self.folder / "landmarks68.npz") as file:
            return file["half_pixels"].astype(np.float32) / 2

    def teacher_embeddings(self) -> NDArray[np.float32]:
        """Unit embeddings float32 (N, 256) of EdgeFace-XS for the sharp chip plus its mirror image.

        Raises:
            SystemExit: the file is missing.
        """
        path = self.folder / "edgeface_xs.npy"
        if not path.exists():
            raise SystemExit(
                f"{path}: the teacher's embeddings are missing; train on labels with --no-embedding --margin cosface"
            )
        vectors = np.load(path).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embeddings_by(self, file: Path, cache: Path, device: str) -> NDArray[np.float32]:
        """Unit embeddings float32 (N, D) of the sharp chips by any recogniser, cached.

        Args:
            file: weights, or an ONNX file.
            cache: folder of the cached embeddings.
            device: ``cpu`` or ``cuda``.

        Raises:
            SystemExit: the file is not a recogniser.
        """
        try:
            recognizer = load_recognizer(file, device)
        except ValueError as error:
            raise SystemExit(str(error)) from None
        own = zlib.crc32((self.folder / "index.csv").read_bytes())
        path = cache / f"vectors-{recognizer.digest[:12]}-{own:08x}.npy"
        if not path.exists():
            firsts = track(range(0, len(self.images), 128), "embeddings of the teacher")
            vectors = np.concatenate([recognizer.embed(np.array(self.images[i : i + 128])) for i in firsts])
            cache.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part.npy")
            np.save(part, vectors)
            part.rename(path)
        return np.load(path)


def load_chips(data: Path, cache: Path) -> ChipSet:
    """Read ``data/chips``. Decoded chips are cached in ``cache`` (1.5 GB for 31,000)."""
    folder = data / "chips"
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    made_from = "".join(f"{row['file']} {row['shard']} " for row in rows)
    made_from += " ".join(str((folder / shard).stat().st_size) for shard in sorted({row["shard"] for row in rows}))
    edges = load_edges(folder, len(rows))
    made_from += f" {zlib.crc32(edges.tobytes()):08x}"
    packed = cache / f"chips-{len(rows)}-{zlib.crc32(made_from.encode()):08x}.npy"
    if not packed.exists():
        _unpack(folder, rows, packed, edges)
    dev = np.array([is_dev(r["identity"] or r["file"]) for r in rows])
    chips = ChipSet(
        folder,
        np.load(packed, mmap_mode="r"),
        np.array([r["source"] for r in rows]),
        np.array([r["identity"] for r in rows]),
        np.array([r["soft_db"] for r in rows], np.float32),
        ~dev,
        dev,
        edges,
    )
    if (folder / "edgeface_xs.npy").exists():
        vectors = chips.teacher_embeddings()
        dev[np.flatnonzero(dev)[(vectors[dev] @ vectors[~dev].T).max(1, initial=-1) > SAME_PERSON_COSINE]] = False
    return chips


def is_dev(name: str) -> bool:
    """Whether a file name or identity belongs to the 5 % that are excluded from training."""
    return zlib.crc32(name.encode()) % 20 == 19


def _unpack(folder: Path, rows: list[dict[str, str]], packed: Path, edges: NDArray[np.float32]) -> None:
    packed.parent.mkdir(parents=True, exist_ok=True)
    part = packed.with_suffix(".part")
    images = np.lib.format.open_memmap(part, "w+", np.uint8, (len(rows), 128, 128, 3))
    place = {row["file"]: i for i, row in enumerate(rows)}

    def put(name: str, content: bytes) -> None:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        row = place[name]
        images[row] = cover_outside(np.ascontiguousarray(bgr[..., ::-1]), edges[row], np.random.default_rng(row))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV releases the GIL
        for shard in sorted({row["shard"] for row in rows}):
            with tarfile.open(folder / shard) as tar:
                done = []
                for member in tar:
                    content = tar.extractfile(member)
                    if content is not None and member.name in place:
                        done.append(pool.submit(put, member.name, content.read()))
                for each in done:
                    each.result()  # raises decoding errors
    images.flush()
    part.rename(packed)
