"""How the study of labelled series reads stays in intensive care."""

import numpy as np

from experiments.mgrn_series import _stays


def test_stays_get_what_is_known_of_the_patient(tmp_path):
    rng = np.random.default_rng(0)
    measured = rng.normal(size=(300, 4, 2))
    measured[0, 0, 0], measured[1, 1, 1] = 1e6, np.nan
    static = np.tile([63.0, -1.0], (300, 1))
    facts = {"static": static, "y": np.arange(300) % 2}
    names = {"variables": np.array(["HR", "pH"]), "static_names": np.array(["Age", "Height"])}
    np.savez(tmp_path / "PhysioNet2012_train.npz", X=measured, **facts, **names)
    np.savez(tmp_path / "PhysioNet2012_test.npz", X=measured + 100, **facts)
    training, test = _stays(tmp_path)
    assert training.names == test.names == ("HR", "pH", "patient Age", "patient Height")
    assert training.values[0, 0, 0] < 5  # a slip of the pen is cut off
    assert np.isnan(training.values[1, 1, 1])
    assert (training.values[:, :, 2] == 63).all()
    assert np.isnan(training.values[:, :, 3]).all()
    assert test.values[:, :, 0].max() == training.values[:, :, 0].max()  # the limits are those of training
