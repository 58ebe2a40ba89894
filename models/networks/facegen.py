"""Face generator: a linear appearance model of computer-generated portraits, for the demo, tests and benchmarks.

As in active appearance models (Cootes, Edwards, Taylor 1998), one linear model gives the shape (68 landmarks) and one the texture
on the mean shape. An identity is a random sample of both. Rendering adds light, pose and expression, so one identity
has many images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from models.chip import CHIP

Float = NDArray[np.float32]

# Points on the border of the image, which stay where they are.
BORDER = np.array([(x, y) for x in (0, 43, 85, 128) for y in (0, 43, 85, 128) if x in (0, 128) or y in (0, 128)], np.float32)
COARSE = 32  # side of the grid on which flows are solved; they are smooth and enlarged from it


def flow_between(output: Float, source: Float, side: int) -> tuple[Float, Float]:
    """Dense flow between two shapes, by thin-plate splines.

    Args:
        output: landmarks (68, 2) in the output image, in pixels of a 128 chip.
        source: the same landmarks in the source image.
        side: side of the output image in pixels.

    Returns:
        Two float32 maps (side, side), x and y: sampling positions in the source image, in pixels of a 128 chip.
    """
    grid = (np.arange(COARSE, dtype=np.float32) + 0.5) * (CHIP / COARSE)
    points = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    spline = RBFInterpolator(np.vstack([output, BORDER]), np.vstack([source, BORDER]), kernel="thin_plate_spline", smoothing=0.5)
    coarse = spline(points).reshape(COARSE, COARSE, 2).astype(np.float32)
    dense = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
    return dense[..., 0], dense[..., 1]


@dataclass(frozen=True)
class Identity:
    """One person: coefficients of shape (S,) and texture (T,), in standard deviations."""

    shape: Float
    texture: Float


@dataclass(frozen=True)
class Look:
    """Pose, expression and lighting of one image.

    Attributes:
        yaw: radians; positive turns the nose to the right of the image.
        pitch: radians; positive turns the nose down.
        smile: about -1..1.
        mouth: about -1..1, open above 0.
        light: direction (x, y) that the light comes from; its length is the strength.
        gain: exposure, 1 is neutral.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    smile: float = 0.0
    mouth: float = 0.0
    light: tuple[float, float] = (0.0, 0.0)
    gain: float = 1.0


class FaceGenerator:
    """Generator that samples identities and renders them as canonical chips.

    Args:
        path: a safetensors file of `training.data.facegen`: mean and basis of shape (136) and texture (side×side×3).
    """

    def __init__(self, path: Path) -> None:
        from safetensors.numpy import load_file

        data = load_file(str(path))
        self.mean_shape: Float = data["mean_shape"].astype(np.float32)
        self.shape_basis: Float = data["shape_basis"].astype(np.float32)
        self.mean_texture: Float = data["mean_texture"].astype(np.float32)
        self._texture_basis = data["texture_basis"]
        self._texture_scale = data["texture_scale"].astype(np.float32)
        self.side = self.mean_texture.shape[0]

    def identity(self, seed: int, spread: float = 1.5) -> Identity:
        """Sample an identity.

        Args:
            seed: random seed; the same seed gives the same person.
            spread: distance from the mean. At 1, identities are more similar than real people; above 1.6, faces look unnatural.
        """
        rng = np.random.default_rng(seed)
        shape = rng.normal(0, 0.8 * spread, len(self.shape_basis)).clip(-2, 2)
        texture = rng.normal(0, spread, len(self._texture_basis)).clip(-2.5, 2.5)
        return Identity(shape.astype(np.float32), texture.astype(np.float32))

    def texture(self, person: Identity) -> Float:
        """A person's texture float32 (side, side, 3) RGB in 0..255, on the mean shape, before light."""
        weights = person.texture * self._texture_scale
        flat = np.tensordot(weights, self._texture_basis.astype(np.float32), 1)
        return self.mean_texture + flat.reshape(self.mean_texture.shape)

    def points(self, person: Identity, look: Look) -> Float:
        """A person's landmarks (68, 2) with this look, in pixels of a 128 chip."""
        points = self.mean_shape + (person.shape @ self.shape_basis).reshape(68, 2)
        corners, lips = [48, 54, 60, 64], [55, 56, 57, 58, 59, 65, 66, 67]
        points[corners] += look.smile * np.array([[-2.2, -2.0], [2.2, -2.0], [-1.8, -1.6], [1.8, -1.6]], np.float32)
        points[lips, 1] += look.mouth * 3.0
        points[6:11, 1] += look.mouth * 2.0
        centre = np.array([64.0, 76.0], np.float32)
        away = (points - centre) / np.array([46.0, 58.0], np.float32)
        depth = 46 * np.sqrt(np.clip(1.15 - (away**2).sum(1), 0.02, None))
        depth[27:36] += np.linspace(2, 11, 9)  # the nose stands out
        moved = points.copy()
        moved[:, 0] = centre[0] + (points[:, 0] - centre[0]) * np.cos(look.yaw) + (depth - 24) * np.sin(look.yaw)
        moved[:, 1] = centre[1] + (points[:, 1] - centre[1]) * np.cos(look.pitch) + (depth - 24) * np.sin(look.pitch)
        return moved.astype(np.float32)

    def render(self, person: Identity, look: Look = Look(), side: int = CHIP) -> tuple[NDArray[np.uint8], Float]:
        """Render a chip uint8 (side, side, 3) RGB, and the mask float32 (side, side) in 0..1 of the head in it."""
        points = self.points(person, look)
        x, y = flow_between(points, self.mean_shape, side)
        factor = self.side / CHIP
        texture = self.texture(person)
        skin = cv2.remap(texture, x * factor - 0.5, y * factor - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        grid = (np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1
        slope_x, slope_y = np.meshgrid(grid, grid)
        shade = 1 + look.light[0] * slope_x + look.light[1] * slope_y
        lit = np.clip(skin * (look.gain * np.clip(shade, 0.25, 1.75))[..., None], 0, 255)
        jaw = points[:17]
        brow = float(points[17:27, 1].min())
        crown = np.array([(64 + 50 * np.cos(a), brow + 2 - 42 * np.sin(a)) for a in np.linspace(0, np.pi, 13)])
        outline = np.vstack([jaw, crown]) * (side / CHIP)
        mask = np.zeros((side, side), np.float32)
        cv2.fillPoly(mask, [cv2.convexHull(np.round(outline * 16).astype(np.int32))], (1.0,), cv2.LINE_AA, 4)
        return (lit + 0.5).astype(np.uint8), np.asarray(cv2.GaussianBlur(mask, (0, 0), 0.02 * side), np.float32)
