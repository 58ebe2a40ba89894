import numpy as np

from models.networks.facegen import FaceGenerator, Look


def test_the_same_seed_renders_the_same_person(generator: FaceGenerator) -> None:
    a, b = (generator.render(generator.identity(5))[0] for _ in range(2))
    assert (a == b).all() and a.shape == (128, 128, 3) and a.dtype == np.uint8
    assert np.abs(a.astype(int) - generator.render(generator.identity(6))[0]).mean() > 5


def test_pose_and_light_change_the_image_not_the_person(generator: FaceGenerator) -> None:
    person = generator.identity(5)
    straight = generator.points(person, Look())
    turned = generator.points(person, Look(yaw=0.4))
    assert turned[30, 0] - straight[30, 0] > 3  # the tip of the nose moves to the side
    dark, _ = generator.render(person, Look(gain=0.5))
    assert dark.mean() < 0.7 * generator.render(person)[0].mean()


def test_the_mask_covers_the_head_only(generator: FaceGenerator) -> None:
    _, mask = generator.render(generator.identity(5))
    assert mask[64, 64] > 0.99 and mask[2, 2] < 0.05 and 0.3 < mask.mean() < 0.9
