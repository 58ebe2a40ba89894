"""The training chips: read once from the shards, kept decoded, split so that test faces never train.

A data folder holds ``chips/index.csv`` (file, shard, source, identity, soft_db, ...), the WebP shards,
``landmarks68.npz`` and ``edgeface_xs.npy``, rows alike. A row is a training row unless the hash of its identity
(or of its file name, where nobody is named) falls into the last 5 %. Of those it is a dev row if no training row
shows somebody who looks like that to the strong teacher: where nobody is named, one person's photos, or one photo
twice, may fall on both sides.
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

SAME_PERSON_COSINE = 0.6  # cosine of the strong teacher's vectors of two pictures of one person, if not of one photo
MAX_SOFT_DB = 37.0  # PSNR in dB of a chip against itself halved and doubled, above which it has no true detail


@dataclass(frozen=True)
class ChipSet:
    """Decoded chips and what is known of each; every array has one row a chip.

    ``images`` uint8 (N, 128, 128, 3) RGB, memory-mapped; ``source``, ``identity`` str (identity is ""
    where unknown); ``soft_db`` float32, high where there is little true detail; ``train``, ``dev`` bool: to be trained on,
    to be measured on, or (where both are False) neither.
    """

    folder: Path
    images: NDArray[np.uint8]
    source: NDArray[np.str_]
    identity: NDArray[np.str_]
    soft_db: NDArray[np.float32]
    train: NDArray[np.bool_]
    dev: NDArray[np.bool_]

    def rows_with_detail(self, dev: bool) -> NDArray[np.intp]:
        """Rows with true detail at 128 pixels, for super-resolution: of the dev split, or of the training rows."""
        return np.flatnonzero((self.dev if dev else self.train) & (self.soft_db <= MAX_SOFT_DB))

    def landmarks68(self) -> NDArray[np.float32]:
        """(N, 68, 2) iBUG points in chip pixels; all zero where none was found."""
        with np.load(self.folder / "landmarks68.npz") as file:
            return file["half_pixels"].astype(np.float32) / 2

    def teacher_embeddings(self) -> NDArray[np.float32]:
        """(N, 256) unit vectors of the EdgeFace-XS teacher for the sharp chip and its mirror. SystemExit if there are none."""
        path = self.folder / "edgeface_xs.npy"
        if not path.exists():
            raise SystemExit(
                f"{path}: the strong teacher's vectors are missing; labels alone teach with --no-embedding --margin cosface"
            )
        vectors = np.load(path).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embeddings_by(self, file: Path, cache: Path, device: str) -> NDArray[np.float32]:
        """(N, D) unit vectors that any recogniser gives the sharp chips and their mirrors, kept in ``cache``. SystemExit with the
        reason if the file is none."""
        try:
            recognizer = load_recognizer(file, device)
        except ValueError as error:
            raise SystemExit(str(error)) from None
        own = zlib.crc32((self.folder / "index.csv").read_bytes())
        path = cache / f"vectors-{recognizer.digest[:12]}-{own:08x}.npy"
        if not path.exists():
            firsts = track(range(0, len(self.images), 128), "vectors of the teacher")
            vectors = np.concatenate([recognizer.embed(np.array(self.images[i : i + 128])) for i in firsts])
            cache.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part.npy")
            np.save(part, vectors)
            part.rename(path)
        return np.load(path)


def load_chips(data: Path, cache: Path) -> ChipSet:
    """Read ``data/chips``; decoded pictures are kept in ``cache`` (1.5 GB) for the next run."""
    folder = data / "chips"
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    made_from = "".join(f"{row['file']} {row['shard']} " for row in rows)
    made_from += " ".join(str((folder / shard).stat().st_size) for shard in sorted({row["shard"] for row in rows}))
    packed = cache / f"chips-{len(rows)}-{zlib.crc32(made_from.encode()):08x}.npy"
    if not packed.exists():
        _unpack(folder, rows, packed)
    dev = np.array([is_dev(r["identity"] or r["file"]) for r in rows])
    chips = ChipSet(
        folder,
        np.load(packed, mmap_mode="r"),
        np.array([r["source"] for r in rows]),
        np.array([r["identity"] for r in rows]),
        np.array([r["soft_db"] for r in rows], np.float32),
        ~dev,
        dev,
    )
    if (folder / "edgeface_xs.npy").exists():
        vectors = chips.teacher_embeddings()
        dev[np.flatnonzero(dev)[(vectors[dev] @ vectors[~dev].T).max(1, initial=-1) > SAME_PERSON_COSINE]] = False
    return chips


def is_dev(name: str) -> bool:
    """Whether a file or identity belongs to the 5 % that are never trained on."""
    return zlib.crc32(name.encode()) % 20 == 19


def _unpack(folder: Path, rows: list[dict[str, str]], packed: Path) -> None:
    packed.parent.mkdir(parents=True, exist_ok=True)
    part = packed.with_suffix(".part")
    images = np.lib.format.open_memmap(part, "w+", np.uint8, (len(rows), 128, 128, 3))
    place = {row["file"]: i for i, row in enumerate(rows)}

    def put(name: str, content: bytes) -> None:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        images[place[name]] = bgr[..., ::-1]

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV decodes without Python's lock
        for shard in sorted({row["shard"] for row in rows}):
            with tarfile.open(folder / shard) as tar:
                done = []
                for member in tar:
                    content = tar.extractfile(member)
                    if content is not None and member.name in place:
                        done.append(pool.submit(put, member.name, content.read()))
                for each in done:
                    each.result()  # raises what decoding raised
    images.flush()
    part.rename(packed)
