import numpy as np

from evaluation.impostors import strangers


def test_strangers_are_who_certainly_are() -> None:
    names = np.array(["ada", "ada", "bob", "", "", ""])
    source = np.array(["web", "web", "web", "web", "aaf", "utk"])
    found = strangers(names, source)
    assert (found == found.T).all()
    assert found[0].tolist() == [False, False, True, False, True, True]  # the unnamed web photo may be of her
    assert found[4].tolist() == [True, True, True, False, False, False]  # two without a name may be one
