"""How near the super-resolved chips come to the sharp ones, against bicubic.

    python -m evaluation.superres --data DATA [--faces 300] [--sheet sheet.png] [--write-card]

Dev chips only (never trained on), ``soft_db`` at most 37. PSNR and SSIM on Y, no crop, 11×11 Gaussian window. The
sheet shows computer-made faces.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from evaluation.metrics import luma, psnr, ssim
from models import _weights, load_superres
from models.superres import ENTRIES
from training.chips import load_chips
from training.degradations import PRESETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--faces", type=int, default=300)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--write-card", action="store_true")
    args = parser.parse_args()
    net = load_superres()
    chips = load_chips(args.data, args.cache)
    rows = np.flatnonzero(chips.dev & (chips.soft_db <= 37))[: args.faces]
    sharp = np.ascontiguousarray(chips.images[rows])
    found: list[dict[str, Any]] = []
    print("degradation   from   bicubic dB / SSIM    student dB / SSIM    chips/s")
    for preset in ("bicubic", "cctv-fixed"):
        for rung in ENTRIES:
            rng = np.random.default_rng(0)
            low = np.stack([PRESETS[preset](c, rung, rng) for c in sharp])
            started = time.perf_counter()
            student = net.upscale(low)
            rate = len(low) / (time.perf_counter() - started)
            plain = [np.asarray(cv2.resize(c, (128, 128), interpolation=cv2.INTER_CUBIC)) for c in low]
            row: dict[str, Any] = {"degradation": preset, "from": rung}
            for name, outputs in (("bicubic", plain), ("student", student)):
                pairs = [(luma(o), luma(t)) for o, t in zip(outputs, sharp, strict=True)]
                row[f"{name}_db"] = round(float(np.mean([psnr(a, b) for a, b in pairs])), 2)
                row[f"{name}_ssim"] = round(float(np.mean([ssim(a, b) for a, b in pairs])), 4)
            row["chips_per_s"] = round(rate)
            found.append(row)
            print(
                f"{preset:12} {rung:5}   {row['bicubic_db']:6.2f} / {row['bicubic_ssim']:.3f}      "
                f"{row['student_db']:6.2f} / {row['student_ssim']:.3f}      {rate:6.0f}"
            )
    if args.sheet:
        write_sheet(args.sheet, net, chips)
    if args.write_card:
        path = _weights(None, "superres").with_suffix(".json")
        card = json.loads(path.read_text())
        card["figures"] = {
            "command": f"python -m evaluation.superres --data DATA --faces {args.faces}",
            "data": f"{len(rows)} dev chips",
            "rows": found,
        }
        path.write_text(json.dumps(card, indent=2) + "\n")


def write_sheet(path: Path, net: Any, chips: Any) -> None:
    """Computer-made faces only: low resolution, bicubic, student, sharp; both degradations at 16 and 32 pixels."""
    rows = np.flatnonzero(chips.dev & (chips.source == "gen"))[:6]
    sharp = np.ascontiguousarray(chips.images[rows])
    lines = []
    for preset, rung in (("bicubic", 16), ("bicubic", 32), ("cctv-fixed", 16), ("cctv-fixed", 32)):
        rng = np.random.default_rng(0)
        low = np.stack([PRESETS[preset](c, rung, rng) for c in sharp])
        student = net.upscale(low)
        cells = []
        for small, better, target in zip(low, student, sharp, strict=True):
            nearest, cubic = (cv2.resize(small, (128, 128), interpolation=i) for i in (cv2.INTER_NEAREST, cv2.INTER_CUBIC))
            cells.append(np.hstack([nearest, cubic, better, target]))
        lines.append(np.hstack(cells[:3]))
    cv2.imwrite(str(path), np.ascontiguousarray(np.vstack(lines)[..., ::-1]))


if __name__ == "__main__":
    main()
