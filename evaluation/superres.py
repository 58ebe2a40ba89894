"""Super-resolution quality: PSNR, SSIM, identity, landmarks and LPIPS of the results against sharp chips.

    python -m evaluation.superres --data DATA [--faces 300] [--sheet sheet.png] [--write-card]
    python -m evaluation.superres --data DATA --run plain=runs/superres-plain --run teacher=runs/superres-teacher

Data: dev chips (never trained on) with ``soft_db`` of at most 37. PSNR and SSIM are on Y (BT.601, 16..235) and as the mean over
R, G, B, without cropping; SSIM has an 11x11 Gaussian window, sigma 1.5, valid part. `bicubic` is OpenCV's (a = -0.75), which is
slightly better on these chips than that of super-resolution papers (`paper's`: a = -0.5, as MATLAB and Pillow). ``id`` is the
cosine of our recogniser's embeddings of result and sharp chip. It is biased where training had an identity term with that
recogniser, so ``--recognizer NAME=FILE`` (as in evaluation.recognition) adds others. ``marks``, with ``--landmarks RUN`` of
`training.papers.pfsr landmarks`, is the mean distance of the 68 landmarks found in both, in % of the eye distance. ``lpips``
needs ``--lpips`` and that package; lower is better.

``--run`` takes runs of `training.superres.train`, `training.papers.pkdn` and `training.papers.pfsr`. Teachers are given the
parsing map of the sharp face; their rows are upper bounds, marked ^. They are also measured with the map of another face
(``other map``): a teacher that scores equally with it does not use the map. The sheet shows synthetic faces.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.lfw import enlarge
from evaluation.metrics import luma, psnr, ssim
from evaluation.recognizers import open_recognizers
from models import load_superres, weights_path
from models.chip import CHIP, EYE_DISTANCE
from models.networks.facegen import FaceGenerator, Look
from models.networks.pfsr import Generator, HeatMapNet, peaks
from models.networks.pkdn import Pkdn
from models.networks.superres import ENTRY_LEVELS, SuperResNet
from models.runtime.devices import autocast
from models.weights_io import WEIGHTS, update_card
from training.common.degradations import PRESETS, VERSION
from training.common.runs import load_averaged
from training.data.chips import load_chips
from training.data.priors import parsing_maps

Chips = NDArray[np.uint8]
DEGRADATIONS = ["bicubic", "area", "bilinear", "lanczos", "gaussian", "cctv-fixed"]
NETWORKS: dict[str, Callable[..., torch.nn.Module]] = {
    "SuperResNet": SuperResNet,
    "Pkdn": Pkdn,
    "Generator": Generator,
}
SHEET_DEGRADATIONS = ("bicubic", "cctv-fixed")
BATCH = 25
PAPER_BICUBIC = "paper's"


@dataclass(frozen=True)
class Model:
    """One row of the table.

    Attributes:
        name: shown in the table.
        upscale: super-resolves chips (N, r, r, 3), given landmarks (N, 68, 2), which only teachers use.
        sides: input sides it accepts.
    """

    name: str
    upscale: Callable[[Chips, NDArray[np.float32]], Chips]
    sides: tuple[int, ...] = ENTRY_LEVELS


def load_run(name: str, folder: Path) -> list[Model]:
    """Load the averaged network of a run; a teacher twice, with the right and with another face's parsing map."""
    net = load_averaged(folder, NETWORKS).to(memory_format=torch.channels_last)
    teacher = isinstance(net, SuperResNet | Pkdn) and len(net.fusions) > 0

    @torch.inference_mode()
    def upscale(chips: Chips, points: NDArray[np.float32]) -> Chips:
        done = []
        for i in range(0, len(chips), BATCH):
            x = torch.from_numpy(chips[i : i + BATCH]).permute(0, 3, 1, 2).float() / 255
            prior = parsing_maps(points[i : i + BATCH]).float() / 255 if teacher else None
            with autocast("cpu"):
                if isinstance(net, Generator):
                    picture = (net(x * 2 - 1) + 1) / 2
                else:
                    if isinstance(net, Pkdn):
                        x = torch.nn.functional.interpolate(x, scale_factor=CHIP // x.shape[-1], mode="bicubic")
                    picture = net.with_features(x, prior)[0][-1]  # type: ignore[operator]
            done.append((picture.float() * 255 + 0.5).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())
        return np.concatenate(done)

    sides = ENTRY_LEVELS if isinstance(net, SuperResNet) else (16,)
    if not teacher:
        return [Model(name, upscale, sides)]
    return [Model(name + "^", upscale, sides), Model("other map", lambda c, p: upscale(c, np.roll(p, 1, axis=0)), sides)]


def bicubic_as_in_papers(chips: Chips) -> Chips:
    """Enlarge chips to 128 pixels by the bicubic kernel of super-resolution papers."""
    rng = np.random.default_rng(0)
    return np.stack([PRESETS["bicubic"](chip, CHIP, rng) for chip in chips])


class Evaluator:
    """Computes all metrics of results against sharp chips.

    Args:
        sharp: uint8 (N, 128, 128, 3) RGB.
        landmarks: run of the landmark network, or None.
        lpips: also compute LPIPS.
        recognizers: further recognisers as NAME=FILE.
    """

    def __init__(self, sharp: Chips, landmarks: Path | None, lpips: bool, recognizers: Sequence[str] = ()) -> None:
        self.sharp = sharp
        self.recognizers = {"id" if n == "farsight" else f"id_{n}": r for n, r in open_recognizers(list(recognizers)).items()}
        self.vectors = {name: recognizer.embed_with_quality(sharp)[0] for name, recognizer in self.recognizers.items()}
        self.landmarks = load_averaged(landmarks, {"HeatMapNet": HeatMapNet}) if landmarks else None
        self.marks = self._marks(sharp) if self.landmarks else None
        self.lpips: Any = None
        if lpips:
            import lpips as package

            self.lpips = package.LPIPS(net="alex", verbose=False)

    def __call__(self, result: Chips) -> dict[str, float]:
        pairs = [(luma(a), luma(b)) for a, b in zip(result, self.sharp, strict=True)]
        colours = [(a[..., i], b[..., i]) for a, b in zip(result, self.sharp, strict=True) for i in range(3)]
        found = {
            "db": float(np.mean([psnr(a, b) for a, b in pairs])),
            "ssim": float(np.mean([ssim(a, b) for a, b in pairs])),
            "rgb_db": float(np.mean([psnr(a.astype(float), b.astype(float)) for a, b in zip(result, self.sharp, strict=True)])),
            "rgb_ssim": float(np.mean([ssim(a, b) for a, b in colours])),
        }
        for name, recognizer in self.recognizers.items():
            found[name] = float((recognizer.embed_with_quality(result)[0] * self.vectors[name]).sum(1).mean())
        if self.marks is not None:
            away = (self._marks(result) - self.marks).norm(dim=2).mean(1)
            found["marks"] = float(away.mean()) * 100 / (EYE_DISTANCE / 2)
        if self.lpips is not None:
            with torch.inference_mode():
                both = [torch.from_numpy(c).permute(0, 3, 1, 2).float() / 127.5 - 1 for c in (result, self.sharp)]
                found["lpips"] = float(self.lpips(*both).mean())
        return found

    @torch.inference_mode()
    def _marks(self, chips: Chips) -> torch.Tensor:
        assert self.landmarks is not None
        half = np.stack([cv2.resize(c, (CHIP // 2, CHIP // 2), interpolation=cv2.INTER_AREA) for c in chips])
        x = torch.from_numpy(half).permute(0, 3, 1, 2).float() / 255
        with autocast("cpu"):
            return torch.cat([peaks(self.landmarks(x[i : i + BATCH]).float()) for i in range(0, len(x), BATCH)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--faces", type=int, default=300)
    parser.add_argument("--run", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--sides", type=int, nargs="+", default=ENTRY_LEVELS)
    parser.add_argument("--degradations", nargs="+", choices=PRESETS, default=DEGRADATIONS)
    parser.add_argument("--landmarks", type=Path)
    parser.add_argument("--recognizer", action="append", default=[], metavar="NAME=FILE", help="another recogniser for identity")
    parser.add_argument("--lpips", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--write-card", action="store_true")
    args = parser.parse_args()
    if args.write_card and (set(args.sides) != set(ENTRY_LEVELS) or set(args.degradations) != set(DEGRADATIONS)):
        parser.error("--write-card: the card needs every side and degradation; leave --sides and --degradations out")
    student = load_superres(device="cpu")
    models = [
        Model("bicubic", lambda c, _: enlarge(c)),
        Model(PAPER_BICUBIC, lambda c, _: bicubic_as_in_papers(c)),
        Model("student", lambda c, _: student.upscale(c)),
    ]
    for run in args.run:
        name, _, folder = run.partition("=")
        if not (Path(folder) / "state.pt").is_file():
            parser.error(f"--run {run}: must be NAME=FOLDER of a training run")
        models += load_run(name, Path(folder))
    chips = load_chips(args.data, args.cache)
    rows = chips.rows_with_detail(dev=True)[: args.faces]
    judge = Evaluator(np.ascontiguousarray(chips.images[rows]), args.landmarks, args.lpips, args.recognizer)
    points = chips.landmarks68()[rows]
    found: list[dict[str, Any]] = []
    for preset in args.degradations:
        for side in args.sides:
            rng = np.random.default_rng(0)
            low = np.stack([PRESETS[preset](c, side, rng) for c in judge.sharp])
            for model in models:
                if side not in model.sides:
                    continue
                model.upscale(low[:1], points[:1])  # warm-up
                started = time.perf_counter()
                result = model.upscale(low, points)
                rate = len(low) / (time.perf_counter() - started)
                measures = {k: round(v, 4) for k, v in judge(result).items()}
                found.append({"degradation": preset, "from": side, "model": model.name, **measures, "chips_per_s": round(rate)})
                print_row(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    if args.sheet:
        write_sheet(args.sheet, models)
    if args.write_card:
        figures = {
            "command": f"python -m evaluation.superres --data DATA --faces {args.faces}",
            "data": f"{len(rows)} dev chips; degradations version {VERSION}",
            "rows": [
                {k: v for k, v in row.items() if k != "chips_per_s"}
                for row in found
                if row["model"] in ("bicubic", PAPER_BICUBIC, "student")
            ],
        }
        update_card(weights_path(None, "superres"), figures=figures)


def print_row(found: list[dict[str, Any]]) -> None:
    row = found[-1]
    if len(found) == 1:
        print("  ".join(f"{name:>11}" for name in row))
    print("  ".join(f"{value:>11}" for value in row.values()), flush=True)


def write_sheet(path: Path, models: list[Model]) -> None:
    """Write a picture of two synthetic faces a row, at 16 and 32 pixels, clean and by the median camera.

    Columns: input, each model, sharp; black where a model does not accept that side.
    """
    generator, titles = FaceGenerator(WEIGHTS / "facegen.safetensors"), ["input", *(model.name for model in models), "sharp"]
    looks = Look(smile=0.6), Look(yaw=0.15, light=(0.3, 0.0))
    lines = []
    for place, (side, preset) in enumerate((s, p) for s in (16, 32) for p in SHEET_DEGRADATIONS):
        people = [(generator.identity(2 * place + i), look) for i, look in enumerate(looks)]
        sharp = np.stack([generator.render(*one)[0] for one in people])
        points = np.stack([generator.points(*one) for one in people])
        rng = np.random.default_rng(0)
        low = np.stack([PRESETS[preset](c, side, rng) for c in sharp])
        results = [m.upscale(low, points) if side in m.sides else np.zeros_like(sharp) for m in models]
        columns = np.stack([enlarge(low, cv2.INTER_NEAREST), *results, sharp], 1)
        lines.append(np.hstack(columns.reshape(-1, CHIP, CHIP, 3)))
        put_text(lines[-1], f"{side} px, {preset}", 4, CHIP - 6)
    for column, title in enumerate(titles * len(looks)):
        put_text(lines[0], title, column * CHIP + 4, 12)
    cv2.imwrite(str(path), np.ascontiguousarray(np.vstack(lines)[..., ::-1]))


def put_text(picture: Chips, text: str, x: int, y: int) -> None:
    """Draw white text with a dark outline."""
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, thickness, cv2.LINE_AA)


if __name__ == "__main__":
    main()
