"""Find the people of lfw-dev who resemble somebody in the training chips; they are excluded from evaluation.

    python -m evaluation.shared_people --data DATA --teacher edgeface_xs.safetensors   # writes shared_people.txt; minutes

Both collections show public figures. A person counts as shared if the cosine of one of their pictures to a chip exceeds `ALIKE`
for EdgeFace-XS. Pictures of two strangers rarely do, so a few strangers are excluded as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from evaluation.lfw import SHARED_PEOPLE, load_lfw
from training.common.edgeface import EdgeFace
from training.data.chips import load_chips
from training.data.morphs import embedding_alignment

ALIKE = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True, help="weights of EdgeFace-XS")
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    args = parser.parse_args()
    chips, teacher, lfw = load_chips(args.data, args.cache), EdgeFace(args.teacher), load_lfw(args.data, include_shared=True)
    train = np.flatnonzero(chips.train)
    turn = embedding_alignment(teacher, chips, np.random.default_rng(0).choice(train, min(len(train), 2048), replace=False))
    vectors = teacher.embed(lfw.chips) @ turn
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = (vectors @ chips.teacher_embeddings()[train].T).max(1)
    found = sorted({str(name) for name in lfw.names[nearest > ALIKE]})
    SHARED_PEOPLE.write_text("\n".join(found) + "\n")
    print(f"{len(found)} of {len(set(lfw.names.tolist()))} people are shared: {SHARED_PEOPLE}")


if __name__ == "__main__":
    main()
