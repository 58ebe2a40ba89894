"""The enrolment gate on photos of one person (upright and rotated), photos of several people, and photos without a face.

    python -m evaluation.enrolment --data DATA [--photos 300]

DATA holds scenes/ and scenes2/, each scenes.tar and labels.json. A photo shows one person where no second labelled face is
wider than 0.3 of the widest, and two where the second is half as wide. Prints the share of photos by outcome.
"""

from __future__ import annotations

import argparse
import json
import random
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from models import load_detector, load_recognizer
from models.faces import pairwise_iou
from models.pictures import read_picture
from watchlist.enrolment import Gate, Verdict
from watchlist.photo_faces import analyse_photo

SURE, SECOND, ALONE = 0.7, 0.5, 0.3  # labelled scores and shares of the widest face
FACELESS = "imagenet"  # photos whose name begins so show no face


def labelled_photos(data: Path) -> Iterator[tuple[str, bytes, np.ndarray]]:
    """Yield kind (one, two, none), file content, and the box (4,) of the widest face."""
    for part in ("scenes", "scenes2"):
        labels = json.loads((data / part / "labels.json").read_text())
        with tarfile.open(data / part / "scenes.tar") as tar:
            for member in tar:
                name = Path(member.name).name
                content = tar.extractfile(member)
                if content is None:
                    continue
                if name.startswith(FACELESS):
                    yield "none", content.read(), np.zeros(4, np.float32)
                elif name in labels:
                    boxes, scores = np.array(labels[name]["boxes"], np.float32).reshape(-1, 4), np.array(labels[name]["scores"])
                    widths = boxes[:, 2] - boxes[:, 0]
                    if not len(boxes) or scores[widths.argmax()] < SURE:
                        continue
                    if ((widths > ALONE * widths.max()) & (scores > ALONE)).sum() == 1:
                        yield "one", content.read(), boxes[widths.argmax()]
                    elif ((widths > SECOND * widths.max()) & (scores > SECOND)).sum() > 1:
                        yield "two", content.read(), boxes[widths.argmax()]


def outcome(gate: Gate, path: Path, right: int | None) -> str:
    """The gate's outcome for a photo that ``right`` counterclockwise quarter turns make upright; None: any rotation is right."""
    verdict: Verdict = gate.judge("", path)
    if verdict.reason:
        return verdict.reason.partition(":")[0]
    return "enrolled" if right is None or verdict.turns == right else "enrolled turned wrongly"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=300, help="of each kind")
    args = parser.parse_args()
    kinds: dict[str, list[tuple[bytes, np.ndarray]]] = {"one": [], "two": [], "none": []}
    for kind, content, box in labelled_photos(args.data):
        kinds[kind].append((content, box))
    detector, recognizer = load_detector(min_score=0.5), load_recognizer()
    gate = Gate(detector, recognizer)
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.png"
        for kind, found in kinds.items():
            random.Random(0).shuffle(found)
            for number, (content, box) in enumerate(found[: args.photos]):
                pixels = read_picture(content)
                turns = number % 4 if kind == "one" else 0
                for turned in {0, turns}:
                    Image.fromarray(np.ascontiguousarray(np.rot90(pixels, -turned))).save(path)
                    row = counts.setdefault(kind if not turned else f"{kind}, turned", Counter())
                    result = outcome(gate, path, turned if kind == "one" else None)
                    if result == "enrolled" and kind == "one" and not turned:
                        seen = analyse_photo(detector, recognizer, pixels)
                        box_taken = seen.faces.boxes[seen.subjects()[0]]
                        result = result if pairwise_iou(box_taken[None], box[None])[0, 0] > 0.4 else "enrolled another face"
                    row[result] += 1
    reasons = list(dict.fromkeys(reason for row in counts.values() for reason in row))
    table = Table("photos", "number", *reasons, box=None)
    for kind, row in counts.items():
        table.add_row(kind, str(row.total()), *(f"{100 * row[reason] / row.total():.1f} %" for reason in reasons))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
