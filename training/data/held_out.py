"""Which public photos and clips are kept for measuring the detector: nothing trains on them (`evaluation.detection_sources`).

Whole collections are held out, so that the dev set says how a detector does on sources it has never seen. Of the thing pictures
of ImageNet, which show 1,000 kinds of things once each, those whose file name's MD5 begins with 0 to 7 are held out.
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
    """Whether the picture at ``path`` (with / between folders) of a GitHub repository (OWNER/NAME) is kept for measuring."""
    if repository == THINGS:
        return hashlib.md5(path.rsplit("/", 1)[-1].encode(), usedforsecurity=False).hexdigest()[0] in "01234567"
    folder = COLLECTIONS.get(repository)
    return folder is not None and path.startswith(folder)
