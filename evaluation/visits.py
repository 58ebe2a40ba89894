"""Simulated camera visits of the people of ``DATA/calibration``: shots of one track per person, and their enrolled photos.

No network trains on these people. Relatives look alike, so only people of different families count as strangers.

The photos are cropped tightly: a third of the recogniser's input lies outside the photo, where edge replication makes streaks.
The streaks raise the median cosine between strangers to 0.11, which no real camera would. The outside is therefore filled from
photos of other people, which lowers it to 0.03. Complete chips of other collections have 0.02, and 0.03 after the same cropping
and filling. `evaluation.other_collections` removes what remains.
"""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.lfw import FACE_SHARE, at_level
from evaluation.other_collections import Others, dev_rows, exchanged
from evaluation.stage_templates import StageTemplates
from models import load_recognizer, weights_path
from models.chip import CHIP
from models.weights_io import digest
from training.common.degradations import cctv_camera, jitter

Chip = NDArray[np.uint8]
CHILDREN = Path(__file__).with_name("calibration_children.txt")  # people who look like a child, judged by eye
WIDTHS = 10.0, 81.0  # face widths in pixels, drawn uniformly in the logarithm
SHOTS = 5  # of each visit
VERSION = 3  # increase when the simulation changes: it invalidates the cache
NEAREST = 0.75  # width of the smallest face of a visit, as a share of the largest
SURROUNDINGS, MOST_SURROUNDINGS = "celeba", 300  # the collection whose chips fill the outside of a photo, and how many
MISALIGNED = 12.0  # face width in pixels up to which landmarks get the full error of `training.common.degradations.jitter`


@dataclass(frozen=True)
class People:
    """The chips of the calibration set, and their people.

    Attributes:
        chips: uint8 (N, 128, 128, 3) RGB.
        person: int (N,), number of the person.
        family: int (P,), number of each person's family.
        child: bool (P,), whether each person looks like a child (`CHILDREN`).
    """

    chips: Chip
    person: NDArray[np.intp]
    family: NDArray[np.intp]
    child: NDArray[np.bool_]


@dataclass(frozen=True)
class Visits:
    """One visit of each person to a camera.

    Attributes:
        shots: float32 (P, K, D), embeddings of K shots of each of P people.
        quality: float32 (P, K), of those embeddings.
        face_px: float32 (P,), width of the largest face of each visit in pixels.
    """

    shots: NDArray[np.float32]
    quality: NDArray[np.float32]
    face_px: NDArray[np.float32]


def load_people(data: Path) -> People:
    """Read ``data/calibration`` and fill the chip area outside each photo."""
    folder = data / "calibration"
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chips = read_chips(folder / "chips.tar", [row["file"] for row in rows])
    with np.load(folder / "edges.npz") as file:
        corners = file["half_pixels"].astype(np.float32) / 2
    others, rng = surroundings(data), np.random.default_rng(0)
    for chip, own in zip(chips, corners, strict=True):
        chip[:] = fill_outside(chip, own, others[rng.integers(len(others))])
    names, first, person = np.unique([row["identity"] for row in rows], return_index=True, return_inverse=True)
    families = [rows[row]["identity"].rpartition("/")[0] for row in first]
    assert len(families) == len(names)
    children = {f"fiw/{name}" for name in CHILDREN.read_text().split()}
    child = np.array([str(name) in children for name in names])
    return People(chips, person.reshape(-1), np.unique(families, return_inverse=True)[1].reshape(-1), child)


def read_chips(archive: Path, names: list[str]) -> Chip:
    """Chips (N, 128, 128, 3) RGB of a tar file, in the order of their names."""
    chips, place = np.zeros((len(names), CHIP, CHIP, 3), np.uint8), {name: row for row, name in enumerate(names)}
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name in place else None
            if content is not None:
                chips[place[member.name]] = np.asarray(Image.open(io.BytesIO(content.read())).convert("RGB"))
    return chips


def surroundings(data: Path) -> Chip:
    """Complete chips of other people, for the area around the face."""
    with (data / "chips" / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == SURROUNDINGS]
    shard = rows[0]["shard"]
    return read_chips(data / "chips" / shard, [row["file"] for row in rows if row["shard"] == shard][:MOST_SURROUNDINGS])


def fill_outside(chip: Chip, corners: NDArray[np.float32], other: Chip) -> Chip:
    """Fill the chip area outside the photo from another chip, matched in mean colour.

    Args:
        chip: uint8 (128, 128, 3).
        corners: float32 (4, 2), the corners of its picture in chip pixels; all zero where the picture covers the chip.
        other: uint8 (128, 128, 3).
    """
    if not corners.any():
        return chip
    mask = np.zeros((CHIP, CHIP), np.uint8)
    cv2.fillConvexPoly(mask, corners.round().astype(np.int32), 1)
    soft = cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3), np.uint8)).astype(np.float32), (0, 0), 2)[..., None]
    inside = soft[..., 0] > 0.9
    if not inside.any():
        return chip
    light = (chip[inside].mean(0) + 1) / (other[inside].mean(0) + 1)
    return np.clip(soft * chip + (1 - soft) * other * light, 0, 255).astype(np.uint8)


def film_visit(chips: list[Chip], width: float, rng: np.random.Generator) -> list[Chip]:
    """Simulate the shots of one track: one random camera, an approaching face, small landmark errors.

    Args:
        chips: sharp chips of the person (128, 128, 3), taken in turn.
        width: of the largest face in pixels.
        rng: draws the camera, its noise and the landmarks' errors.

    Returns:
        `SHOTS` chips uint8 (r, r, 3), largest first, each at the resolution level of its size.
    """
    camera, shots = cctv_camera(rng), []
    for number, share in enumerate(np.linspace(1, NEAREST, SHOTS)):
        side = min(CHIP, round(width * float(share) / FACE_SHARE))
        moved = jitter(chips[number % len(chips)], min(1.0, MISALIGNED / width), rng)
        shots.append(at_level(camera(moved, side, rng)))
    return shots


def film_everybody(people: People, rng: np.random.Generator) -> tuple[list[list[Chip]], NDArray[np.float32]]:
    """Simulate one visit of each person, without the enrolled photo. Half of the people, drawn at random, are filmed from one
    photo, as a quick passer-by; the others from all their further photos.

    Returns:
        The shots, and the width of each visit's largest face in pixels.
    """
    visits, widths = [], np.exp(rng.uniform(*np.log(WIDTHS), len(people.family)))
    for number, width in enumerate(widths):
        own = np.flatnonzero(people.person == number)
        further = own[1:] if len(own) > 1 else own
        rows = [rng.choice(further)] if rng.random() < 0.5 else rng.permutation(further)
        visits.append(film_visit([people.chips[row] for row in rows], float(width), rng))
    return visits, widths.astype(np.float32)


class Filming:
    """Simulates visits and embeds them by the pipeline's stages. Embeddings are cached per network in ``cache``.

    Args:
        data: the data folder.
        recognizer: a weight file or an ONNX file; None: the shipped one.
        cache: folder for embeddings.
    """

    def __init__(self, data: Path, recognizer: Path | None, cache: Path) -> None:
        self._data, self._recognizer, self._cache = data, recognizer, cache
        made_by = (digest(weights_path(recognizer, "recognizer")), digest(weights_path(None, "superres")))
        self._key = "-".join(d[:12] for d in (*made_by, digest(data / "calibration" / "index.csv")))

    def visits(self, seed: int) -> Visits:
        """Simulate one visit of each person; ``seed`` determines cameras, widths and photos. Embeddings are `as_elsewhere`."""
        found = self._visits(seed)
        return Visits(self.as_elsewhere(found.shots), found.quality, found.face_px)

    @cached_property
    def photos(self) -> NDArray[np.float32]:
        """Embeddings float32 (N, D) of all sharp chips, as enrolment makes them, with the common mode of `others`."""
        found = self.kept("photos", lambda: {"photos": load_recognizer(self._recognizer).embed(self.people.chips)})["photos"]
        adults = ~self.people.child[self.people.person]
        return exchanged(found, found[adults].mean(0), self.others.photos.mean(0))

    def as_elsewhere(self, shots: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings (..., D) of shots of the calibration's people, with the common mode of `others`."""
        return exchanged(shots, self._visit_mode, self.others.shots.mean((0, 1)))

    @cached_property
    def others(self) -> Others:
        """People of other collections; every second one is enrolled, the rest are filmed from the same photo."""
        return Others(**self.kept("others", self._film_others))

    def _film_others(self) -> dict[str, Any]:
        folder, rng = self._data / "chips", np.random.default_rng(0)
        rows = dev_rows(folder)
        chips = np.zeros((len(rows), CHIP, CHIP, 3), np.uint8)
        for shard in {row["shard"] for row in rows}:
            own = [k for k, row in enumerate(rows) if row["shard"] == shard]
            chips[own] = read_chips(folder / shard, [rows[k]["file"] for k in own])
        widths = np.exp(rng.uniform(*np.log(WIDTHS), len(chips[1::2])))
        visits = [film_visit([chip], float(width), rng) for chip, width in zip(chips[1::2], widths, strict=True)]
        names = np.array([row["source"] for row in rows])
        photos = load_recognizer(self._recognizer).embed(chips[::2])
        return {"photos": photos, "enrolled_from": names[::2], "filmed_from": names[1::2], **self._embedded(visits, widths)}

    @cached_property
    def _visit_mode(self) -> NDArray[np.float32]:
        return np.asarray(self._visits(0).shots[~self.people.child].mean((0, 1)))

    def _visits(self, seed: int) -> Visits:
        def film() -> dict[str, NDArray[np.float32]]:
            return self._embedded(*film_everybody(self.people, np.random.default_rng(seed)))

        return Visits(**self.kept(f"visit-{seed}", film))

    def _embedded(self, visits: list[list[Chip]], widths: NDArray[np.floating]) -> dict[str, NDArray[np.float32]]:
        tracks = self._stages.embedded(visits)
        shots, quality = np.stack([t.embeddings for t in tracks]), np.stack([t.quality for t in tracks])
        return {"shots": shots, "quality": quality, "face_px": widths.astype(np.float32)}

    @cached_property
    def people(self) -> People:
        return load_people(self._data)

    @cached_property
    def _stages(self) -> StageTemplates:
        return StageTemplates(self._recognizer)

    def kept(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Arrays from the cache, or else made and cached."""
        path = self._cache / f"{name}-{VERSION}-{self._key}.npz"
        if not path.exists():
            made = make()
            self._cache.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part.npz")
            np.savez(part, **made)
            part.rename(path)
        with np.load(path) as file:
            return dict(file)
