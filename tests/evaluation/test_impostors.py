import numpy as np

from evaluation.impostors import strangers


def test_strangers_are_who_certainly_are() -> None:
    found = strangers(np.array(["ada", "ada", "bob", "", ""]))
    assert (found == found.T).all()
    assert found[0].tolist() == [False, False, True, False, False]  # a photo of nobody named may be of her
    assert not found[3].any()  # two without a name may be one
