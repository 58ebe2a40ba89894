"""Publish a training run: save the averaged network as float16 safetensors, with its model card.

    python -m training.common.publish recognizer --run runs/recognizer --out models/weights/recognizer.safetensors

``--run`` also takes several runs (or published weights) that started from the same weights, and publishes the mean of their
weights. The mean generalises better than each run at the same inference cost (model soups, arXiv 2203.05482).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from models.export import KINDS
from models.weights_io import save_weights
from training.common.runs import Provenance, average_weights, full_architecture, load_averaged, merge_provenance, provenance_of

LICENCE = "Apache-2.0 for the weights; research use: trained on data whose terms are non-commercial or not stated"
CHIPS = (
    "web photos (PINS, All-Age-Faces, UTKFace), CelebA in the wild, computer-made portraits; "
    "dev rows left out (training/data/chips.py)"
)
SCENES = (
    "CelebA in the wild (568 photos), frames of 12 short clips (CC-BY-4.0 and unstated terms), the chips pasted, where the "
    "command says so (training.data.pose_augmentation) some turned to the side; weights begun or gone on "
    "with since training.data.voted is there also "
    "photos of public repositories (crowds, streets, groups, masks, things; CC BY 4.0, research use, ImageNet terms or none "
    "stated; training/README.md); head-pose-two, mall-door and what training.data.held_out names left out"
)
TEACHERS = (
    "labels of SCRFD-2.5GF (non-commercial) at full and doubled size; where the command says so (training.data.second_opinion), "
    "doubtful ones confirmed by YuNet; photos of public repositories: what both see is a face, what one does is ignored"
)
CARDS: dict[str, dict[str, Any]] = {
    "recognizer": {
        "about": "low-resolution face recogniser, 256 numbers a face",
        "preprocessing": "chip's centre 112/128 scaled to 64x64 (bicubic), RGB, (x - 127.5) / 127.5, mean of it and its mirror",
        "data": CHIPS + "; faces of nobody, made of these (training/data/morphs.py, online_morphs.py)",
        "teacher": "embeddings of EdgeFace-XS (non-commercial), image plus mirror",
        "limits": "below the teacher on sharp faces; children look alike to it: thresholds hold for lists of adults; scores of "
        "look-alikes and twins are unknown",
    },
    "detector": {
        "about": "small-face detector with five landmarks, strides 4, 8, 16",
        "preprocessing": "RGB frame at its own size, and at a quarter of it for near faces, (x - 127.5) / 127.5, padded to "
        "multiples of 32",
        "data": SCENES,
        "teacher": TEACHERS,
        "limits": "faces under 8 pixels and profiles are weak; hands at the mouth and on a microphone may be taken for faces; "
        "what it finds is judged once more (rescore.json), and so are the landmarks it tells (landmarks.json)",
    },
    "landmarks": {
        "about": "five landmarks of a found face, looked for once more in its chip",
        "preprocessing": "centre 112/128 of the chip cut by the detector's landmarks, 48x48 RGB, (x - 127.5) / 127.5",
        "data": CHIPS,
        "teacher": "68-point landmarks of a dense face mesh",
        "limits": "faces under 10 pixels; profiles, of which its data holds few",
    },
    "rescore": {
        "about": "whether what the detector offers is a face, by a closer look at it and at what is around it",
        "preprocessing": "candidate 24 pixels high in the middle of a square, RGB, (x - 127.5) / 127.5, and the detector's logit",
        "data": SCENES,
        "teacher": TEACHERS,
        "limits": "profiles and faces cut by the picture's edge; learned from candidates of the shipped detector",
    },
    "superres": {
        "about": "progressive face super-resolution, 16, 32 or 64 to 128 pixels",
        "preprocessing": "RGB chip, x / 255",
        "data": CHIPS + "; chips without detail at 128 pixels (soft_db above 37) left out",
        "teacher": "of the runs whose command says so: the same network shown the sharp face's parsing map; identity term: the "
        "recogniser of the time (training/superres/train.py)",
        "limits": "what it adds is likely, not seen; its pictures must be labelled as synthetic",
    },
}


def provenance_fields(whole: Provenance) -> dict[str, Any]:
    """The provenance fields of a card: commands, samples, minutes, machines and commits."""
    return {
        "command": "; ".join(whole.commands),
        "trained": {
            "samples": whole.samples,
            "minutes": round(whole.seconds / 60),
            "machine": "; ".join(dict.fromkeys("; ".join(whole.machines).split("; "))),
            "commit": "; ".join(dict.fromkeys(filter(None, whole.commits))),
        },
    }


def kept_speed(file: Path, architecture: dict[str, Any]) -> dict[str, Any]:
    """Return the speed figures of the existing card if its architecture is the same: speed does not depend on the weights."""
    card = file.with_suffix(".json")
    before = json.loads(card.read_text()) if card.exists() else {}
    return {"speed": before["speed"]} if "speed" in before and before.get("architecture") == architecture else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=CARDS)
    parser.add_argument("--run", type=Path, required=True, nargs="+", help="several: the mean of their weights")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data-note", help="the training data, if it is not that of the shipped weights")
    parser.add_argument("--licence", default=LICENCE)
    args = parser.parse_args()
    nets = [load_averaged(run, {KINDS[args.kind].__name__: KINDS[args.kind]}) for run in args.run]
    runs = [provenance_of(run) for run in args.run]
    architecture = full_architecture(KINDS[args.kind], runs[0].architecture)
    for run, each in zip(args.run, runs, strict=True):
        if (takes := full_architecture(KINDS[args.kind], each.architecture)).get("regions"):
            raise SystemExit(f"{run}: a teacher, which needs the parsing map of the sharp face; only a student can be published")
        if takes != architecture:
            raise SystemExit(f"{run}: has another architecture than {args.run[0]}; only runs of one architecture can be averaged")
    net, whole = average_weights(nets), merge_provenance(runs)
    card = {
        "kind": args.kind,
        **CARDS[args.kind],
        **({"data": args.data_note} if args.data_note else {}),
        "architecture": architecture,
        **provenance_fields(whole),
        "licence": args.licence,
        "figures": {},
        **kept_speed(args.out, architecture),
    }
    save_weights(net, args.out, card)
    print(f"{args.out}: {whole.samples} samples, {whole.seconds / 60:.0f} minutes")


if __name__ == "__main__":
    main()
