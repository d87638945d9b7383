"""Seven conventions of one area, against thresholds counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from downstream.colorization.conventions import conventions
from downstream.colorization.rows import within


def test_pixels_within_whole_thresholds_are_counted() -> None:
    distance = torch.tensor([[[0.0, 0.5, 1.0], [1.0001, 150.0, 150.5]], [[900.0, 3.0, 3.0], [3.0, 3.0, 2.5]]])
    found = within(distance)
    expected = [[int((d <= t).sum()) for t in range(151)] for d in distance]
    assert found.tolist() == expected


def test_conventions_of_the_same_errors_differ_as_their_definitions_do() -> None:
    errors = np.random.default_rng(0).gamma(
        1.5, 16.35 / 1.5, (2, 40, 50)
    )  # of mean 16.35, as of a gray image
    rows = {
        "within": within(torch.from_numpy(errors)).numpy(),
        "error": np.minimum(errors, 150).sum((1, 2)),
        "weight": np.full(2, 2000.0),
    }
    found = conventions(rows)
    at = {t: float((errors <= t).mean()) for t in range(151)}
    assert found["exact"] == pytest.approx(1 - np.minimum(errors, 150).mean() / 150)
    for step, name in (
        (1, "trapezoids over 0 … 150"),
        (5, "trapezoids, every 5"),
        (10, "trapezoids, every 10"),
    ):
        ts = range(0, 151, step)
        assert found[name] == pytest.approx(np.trapezoid([at[t] for t in ts], list(ts)) / 150)
    assert found["mean over 0 … 150"] == pytest.approx(sum(at.values()) / 151)
    assert found["mean over 1 … 150"] == pytest.approx(sum(list(at.values())[1:]) / 150)
    assert found["mean over 0, 10, … 150"] == pytest.approx(sum(at[t] for t in range(0, 151, 10)) / 16)
    assert found["mean over 0, 10, … 150"] < found["exact"] < found["mean over 1 … 150"]
    assert max(found.values()) - min(found.values()) > 0.02
