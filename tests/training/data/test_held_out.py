"""Which photos nothing trains on."""

import pytest

from training.data.held_out import held_out


@pytest.mark.parametrize(
    ("repository", "path", "kept"),
    [
        ("MonsterVivy/shanghaitech", "part_B/train_data/images/IMG_1.jpg", True),
        ("MonsterVivy/shanghaitech", "part_A/train_data/images/IMG_1.jpg", False),
        ("EliSchwartz/imagenet-sample-images", "n01443537_goldfish.JPEG", True),  # MD5 begins with 3
        ("EliSchwartz/imagenet-sample-images", "n01440764_tench.JPEG", False),
        ("Obiot24/dataset_facemask3", "images/1.jpg", False),
    ],
)
def test_photos_of_the_dev_set_never_train(repository: str, path: str, kept: bool) -> None:
    assert held_out(repository, path) is kept
