"""Public photos and clips that are held out for measuring the detector (`evaluation.detection_sources`). Nothing trains on them.

Whole collections are held out, so the dev set measures the detector on unseen sources. The ImageNet samples, one image for each
of 1,000 classes, are split in half: images whose file name has an MD5 digest that begins with 0 to 7 are held out.
"""

from __future__ import annotations

import hashlib

COLLECTIONS = {  # repository on GitHub: folder
    "MacwinWin/face_mask_dataset": "data/images/",
    "Huyhoclaptrinh/smoking-detection": "dataset/images/",
    "MonsterVivy/shanghaitech": "part_B/",
}
THINGS = "EliSchwartz/imagenet-sample-images"


def held_out(repository: str, path: str) -> bool:
    """Whether a picture is held out.

    Args:
        repository: OWNER/NAME on GitHub.
        path: path of the picture in the repository, with forward slashes.
    """
    if repository == THINGS:
        return hashlib.md5(path.rsplit("/", 1)[-1].encode(), usedforsecurity=False).hexdigest()[0] in "01234567"
    folder = COLLECTIONS.get(repository)
    return folder is not None and path.startswith(folder)
