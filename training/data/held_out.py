"""Public photos and clips that are held out for measuring the detector (`evaluation.detection_sources`). Nothing trains on them.

Whole collections are held out, so that the dev set measures the detector on sources it has never seen. Of the ImageNet samples,
which show 1,000 kinds of things once each, half are held out: those whose file name has an MD5 that begins with 0 to 7.
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
        path: of the picture in the repository, with forward slashes.
    """
    if repository == THINGS:
        return hashlib.md5(path.rsplit("/", 1)[-1].encode(), usedforsecurity=False).hexdigest()[0] in "01234567"
    folder = COLLECTIONS.get(repository)
    return folder is not None and path.startswith(folder)
