import numpy as np

from evaluation.impostors import different_people


def test_only_named_pictures_of_two_people_count_as_impostors() -> None:
    found = different_people(np.array(["ada", "ada", "bob", "", ""]))
    assert (found == found.T).all()
    assert found[0].tolist() == [False, False, True, False, False]  # a photo of nobody named may be of her
    assert not found[3].any()  # two without a name may be one
