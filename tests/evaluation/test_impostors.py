import numpy as np

from evaluation.impostors import at_most, strangers


def test_nobody_prevails() -> None:
    names = np.array(["ada", "", "ada", "bob", "ada", ""])
    assert at_most(2, names, np.arange(6)).tolist() == [0, 1, 2, 3, 5] and at_most(1, names, np.array([4, 2])).tolist() == [4]


def test_strangers_are_who_certainly_are() -> None:
    names = np.array(["ada", "ada", "bob", "", "", ""])
    source = np.array(["web", "web", "web", "web", "aaf", "utk"])
    found = strangers(names, source)
    assert (found == found.T).all()
    assert found[0].tolist() == [False, False, True, False, True, True]  # the unnamed web photo may be of her
    assert found[4].tolist() == [True, True, True, False, False, False]  # two without a name may be one
