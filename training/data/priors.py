"""Face priors: landmark heat maps and parsing maps, from 68 landmarks.

The training chips come with landmarks. For your own photos, MediaPipe's Face Landmarker finds them and the chips are cut (extra
`mediapipe`; download its model file from MediaPipe's page):

    python -m training.data.priors --photos PHOTOS --landmarker face_landmarker.task --out DATA

writes ``DATA/chips`` as `training.data.chips` reads it: a shard, ``index.csv`` (a photo's folder is its identity) and
``landmarks68.npz``.
"""

from __future__ import annotations

import argparse
import csv
import io
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from models.chip import CHIP, similarity, warp_chip
from models.chip import TEMPLATE as FIVE_POINTS

REGIONS = ("skin", "brows", "eyes", "nose", "lips", "mouth")
SUBPIXELS = 4  # polygons are drawn with 1/16 pixel corners

# The iBUG 68 points among the 478 of MediaPipe's face mesh: jaw, brows, nose, eyes, outer and inner lips.
MESH_68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),
)
_SWAP = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
)


def mirror_landmarks(points: torch.Tensor) -> torch.Tensor:
    """Landmarks (N, 68, 2) of mirrored chips, with left and right swapped; all-zero rows stay zero."""
    found = points.abs().sum((1, 2), keepdim=True) > 0
    swapped = points[:, list(_SWAP)].clone()
    swapped[..., 0] = CHIP - swapped[..., 0]
    return torch.where(found, swapped, torch.zeros_like(swapped))


def heat_maps(points: torch.Tensor, side: int, sigma: float = 4.0) -> torch.Tensor:
    """Gaussians of ``sigma`` chip pixels at landmarks (N, 68, 2): (N, 68, side, side) in 0..1; zero for faces without
    landmarks."""
    grid = (torch.arange(side, device=points.device) + 0.5) * (CHIP / side)
    across, down = (torch.exp(-((grid - points[..., axis, None]) ** 2) / (2 * sigma**2)) for axis in (0, 1))
    found = (points.abs().sum((1, 2)) > 0).to(points.dtype)[:, None, None, None]
    return down[..., :, None] * across[..., None, :] * found


def attention_map(points: torch.Tensor, side: int) -> torch.Tensor:
    """PFSR's facial attention, the channel-wise maximum of the heat maps: (N, 1, side, side) in 0..1.

    Above 64 pixels it is enlarged from there: the Gaussians are wide, and 68 maps at 128 pixels cost a tenth of a training step.
    """
    small = heat_maps(points, min(side, 64)).amax(1, keepdim=True)
    return small if side <= 64 else F.interpolate(small, (side, side), mode="bilinear")


def parsing_map(points: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Regions of a face drawn from its landmarks (68, 2): (6, 128, 128) uint8 0 or 255, in the order of `REGIONS`.

    All zero where no landmarks were found. The landmarks end at the brows; the forehead is taken to be half as high
    as brows to nose tip.
    """
    maps = np.zeros((len(REGIONS), CHIP, CHIP), np.uint8)
    if not np.any(points):
        return maps
    brows = points[17:27]
    up = (brows.mean(0) - points[30]) * 0.5
    left, right = (
        np.vstack([brows[part], brows[part][::-1] - (points[30] - brows.mean(0)) * -0.12]) for part in (slice(0, 5), slice(5, 10))
    )
    shapes = (
        [np.vstack([points[:17], (brows + up)[::-1]])],
        [left, right],
        [points[36:42], points[42:48]],
        [np.vstack([points[27:28], points[31:36]])],
        [points[48:60]],
        [points[60:68]],
    )
    for index, polygons in enumerate(shapes):
        for polygon in polygons:
            corners = np.round((polygon - 0.5) * 2**SUBPIXELS).astype(np.int32)
            cv2.fillPoly(maps[index], [cv2.convexHull(corners)], 255, cv2.LINE_AA, SUBPIXELS)
    for inner, outer in ((5, 4), (5, 0), (4, 0), (3, 0), (2, 0), (1, 0)):
        maps[outer] = np.minimum(maps[outer], 255 - maps[inner])
    return maps


def parsing_maps(points: NDArray[np.float32]) -> torch.Tensor:
    """`parsing_map` of each face: uint8 (N, 6, 128, 128)."""
    return torch.from_numpy(np.stack([parsing_map(p) for p in points]))


def five_of(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The five alignment points (..., 5, 2) of 68 landmarks (..., 68, 2): eye centres, nose tip, mouth corners."""
    eyes = points[..., 36:42, :].mean(-2), points[..., 42:48, :].mean(-2)
    return np.stack([*eyes, *(points[..., place, :] for place in (30, 48, 54))], -2).astype(np.float32)


def cut_chip(photo: NDArray[np.uint8], points: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Cut the canonical chip out of a photo by 68 landmarks; returns the chip and the landmarks in chip pixels."""
    five = five_of(points)
    matrix = similarity(five, FIVE_POINTS)
    return warp_chip(photo, five, CHIP), (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def softness_db(chip: NDArray[np.uint8]) -> float:
    """PSNR in dB of a chip to itself halved and doubled, at most 99; high where there is little detail."""
    half = cv2.resize(chip, (CHIP // 2, CHIP // 2), interpolation=cv2.INTER_AREA)
    again = cv2.resize(half, (CHIP, CHIP), interpolation=cv2.INTER_CUBIC)
    return float(min(99.0, cv2.PSNR(chip, again)))


def load_landmarker(path: Path) -> Any:
    """Load MediaPipe's Face Landmarker.

    Returns:
        A function from a photo uint8 (H, W, 3) RGB to the landmarks (68, 2) of its largest face, or None.

    Raises:
        SystemExit: MediaPipe or the file is missing.
    """
    try:
        import mediapipe as mp
    except ImportError:
        raise SystemExit("MediaPipe is not installed; `make mediapipe` in Farsight's folder does it") from None
    if not path.is_file():
        raise SystemExit(f"--landmarker {path}: no such file")
    vision = mp.tasks.vision
    options = vision.FaceLandmarkerOptions(base_options=mp.tasks.BaseOptions(model_asset_path=str(path)), num_faces=4)
    found = vision.FaceLandmarker.create_from_options(options)

    def find(photo: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        faces = found.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=photo)).face_landmarks
        if not faces:
            return None
        size = np.array([photo.shape[1], photo.shape[0]], np.float32)
        meshes = [np.array([(p.x, p.y) for p in face], np.float32) * size for face in faces]
        return max(meshes, key=lambda mesh: float(np.ptp(mesh, axis=0).prod()))[list(MESH_68)]

    return find


def write_chips(photos: Path, find: Any, out: Path) -> tuple[int, int]:
    """Cut the largest face of every photo below ``photos`` and write ``out/chips``.

    Args:
        photos: folder; the name of a sub-folder is the identity.
        find: finds landmarks, see `load_landmarker`.
        out: data folder.

    Returns:
        Number of chips, and number of photos without a usable face.
    """
    folder = out / "chips"
    folder.mkdir(parents=True, exist_ok=True)
    rows, marks, missed = [], [], 0
    with tarfile.open(folder / "chips-000.tar", "w") as tar:
        for path in sorted(p for p in photos.rglob("*") if p.is_file()):
            bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
            points = None if bgr is None else find(np.ascontiguousarray(bgr[..., ::-1]))
            if points is None:
                missed += 1
                continue
            chip, moved = cut_chip(bgr[..., ::-1], points)
            _, code = cv2.imencode(".webp", chip[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 95])
            name = f"{len(rows):06d}.webp"
            info = tarfile.TarInfo(name)
            info.size = len(code)
            tar.addfile(info, io.BytesIO(code.tobytes()))
            identity = path.parent.name if path.parent != photos else ""
            rows.append((name, "chips-000.tar", "own", identity, f"{softness_db(chip):.2f}"))
            marks.append(np.clip(np.round(moved * 2), 0, 255).astype(np.uint8))
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "shard", "source", "identity", "soft_db"])
        writer.writerows(rows)
    np.savez_compressed(folder / "landmarks68.npz", half_pixels=np.array(marks, np.uint8).reshape(-1, 68, 2))
    return len(rows), missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("photos", "landmarker", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    kept, missed = write_chips(args.photos, load_landmarker(args.landmarker), args.out)
    print(f"{kept} chips in {args.out / 'chips'}, {missed} photos without a usable face")


if __name__ == "__main__":
    main()
