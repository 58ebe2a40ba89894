"""Label video frames with a teacher detector at doubled size, where it finds small faces.

    python -m training.data.label_frames --data DATA --teacher scrfd_2.5g_kps.onnx --out .cache/frames

Each frame is searched whole and in overlapping tiles of 320 pixels, enlarged to 640. Faces cut by a tile's edge are left to the
neighbouring tile. Writes ``CLIP-NNNN.jpg``, ``labels.json`` in the layout of ``DATA/scenes/labels.json``, and ``command.txt``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import av
import cv2
import numpy as np

from models.backends.onnx_detectors import load_onnx_detector
from models.faces import Faces
from training.common.runs import current_command

DEV_CLIPS = ("head-pose-two", "mall-door")
TILE, STEP, EDGE = 320, 240, 4
LEAST_SCORE = 0.25


def label_frame(detector, frame: np.ndarray) -> Faces:
    """Faces of a frame (H, W, 3), from the whole frame and its doubled tiles, in pixels of the frame."""
    height, width = frame.shape[:2]
    parts = [detector.detect([frame])[0]]
    for top in range(0, max(1, height - TILE + STEP), STEP):
        for left in range(0, max(1, width - TILE + STEP), STEP):
            tile = frame[top : top + TILE, left : left + TILE]
            found = detector.detect([cv2.resize(tile, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)])[0].scaled(0.5)
            x1, y1, x2, y2 = found.boxes.T
            cut = ((x1 < EDGE) & (left > 0)) | ((y1 < EDGE) & (top > 0))
            cut |= ((x2 > TILE - EDGE) & (left + TILE < width)) | ((y2 > TILE - EDGE) & (top + TILE < height))
            parts.append(found[~cut].scaled(1.0, left, top))
    return Faces.merge(parts).with_nms(0.35)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=24, help="frames a clip, evenly spaced")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    detector = load_onnx_detector(args.teacher, LEAST_SCORE)
    labels = {}
    for clip in sorted((args.data / "videos").glob("*.mp4")):
        with av.open(str(clip)) as container:
            total = container.streams.video[0].frames
            wanted = set(np.linspace(0, total - 1, min(args.frames, total)).astype(int).tolist())
            for index, picture in enumerate(container.decode(video=0)):
                if index not in wanted:
                    continue
                frame = picture.to_ndarray(format="rgb24")
                faces = label_frame(detector, frame)
                name = f"{clip.stem}-{index:05d}.jpg"
                cv2.imwrite(str(args.out / name), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
                labels[name] = {
                    "boxes": faces.boxes.tolist(),
                    "landmarks": faces.landmarks.tolist(),
                    "scores": faces.scores.tolist(),
                }
        print(clip.stem, sum(len(v["scores"]) for k, v in labels.items() if k.startswith(clip.stem)), "faces", flush=True)
    (args.out / "labels.json").write_text(json.dumps(labels))
    (args.out / "command.txt").write_text(current_command())


if __name__ == "__main__":
    main()
