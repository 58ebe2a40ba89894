"""Telling the same photo, cut and coded anew, from another one."""

import cv2
import numpy as np

from models.networks.facegen import FaceGenerator, Look
from training.data.scenes import dev_photo, shared_photos
from training.data.shared_photos import ALIKE, SAME, correlation, thumbnail


def test_a_photo_cut_and_coded_anew_is_the_same_and_another_is_not(generator: FaceGenerator) -> None:
    chip = generator.render(generator.identity(0), Look())[0]
    turn = cv2.getRotationMatrix2D((64, 64), 1.0, 1.01)
    moved = cv2.warpAffine(chip, turn, (128, 128), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    again = cv2.imdecode(cv2.imencode(".jpg", moved, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_COLOR)
    other = generator.render(generator.identity(0), Look(yaw=0.2, smile=0.6))[0]
    assert thumbnail(chip) @ thumbnail(again) > ALIKE and correlation(chip, again) > SAME > correlation(chip, other)
    assert correlation(chip, np.zeros_like(chip)) == 0


def test_shared_photos_are_not_measured_on() -> None:
    assert shared_photos() and not any(map(dev_photo, shared_photos()))
