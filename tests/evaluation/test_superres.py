from pathlib import Path

import cv2
import numpy as np

from evaluation.lfw import enlarge
from evaluation.superres import Model, write_sheet


def test_the_sheet_has_a_column_for_each_model_and_is_black_where_one_does_not_begin(tmp_path: Path) -> None:
    told: list[np.ndarray] = []

    def upscale(chips: np.ndarray, points: np.ndarray) -> np.ndarray:
        told.append(points)
        return enlarge(chips)

    write_sheet(tmp_path / "sheet.png", [Model("one", upscale), Model("other", upscale, (16,))])
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None and sheet.shape == (4 * 128, 2 * 4 * 128, 3)  # two faces: input, two models, sharp
    cells = sheet.reshape(4, 128, 8, 128, 3).swapaxes(1, 2)[:, :, 20:100]  # without what is written on them
    assert (cells[2:, 2] == 0).all() and cells[:2, 2].std() > 10 and cells[:, 1].std() > 10
    sharpness = np.abs(np.diff(cells.astype(float), axis=3)).mean((2, 3, 4))
    assert (sharpness[:, 3] > sharpness[:, 1]).all()
    assert all(points.shape == (2, 68, 2) and points.min() > 0 and points.max() < 128 for points in told)
