"""YUV against scikit-image, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import color
from torch import Tensor

from pretext.color import U_MAX, V_MAX, rgb_to_yuv, yuv_to_rgb


def images() -> Tensor:
    free = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3).repeat(2, 1)  # (16, 3)
    return torch.cat([free, corners.t().reshape(1, 3, 4, 4)])


def test_yuv_is_that_of_scikit_image() -> None:
    found = rgb_to_yuv(images())
    np.testing.assert_allclose(found, color.rgb2yuv(images().double().numpy(), channel_axis=1), atol=3e-4)
    assert float(found[:, 1].abs().max()) == pytest.approx(U_MAX, abs=5e-4)
    assert float(found[:, 2].abs().max()) == pytest.approx(V_MAX, abs=5e-4)


def test_rgb_comes_back_and_stays_in_its_cube() -> None:
    torch.testing.assert_close(yuv_to_rgb(rgb_to_yuv(images())), images(), atol=1e-6, rtol=0)
    yuv = torch.tensor([0.4, 0.1, -0.05]).view(1, 3, 1, 1)
    assert yuv_to_rgb(yuv).flatten().tolist() == pytest.approx(
        [0.4 - 1.14 * 0.05, 0.4 - 0.395 * 0.1 + 0.581 * 0.05, 0.4 + 2.033 * 0.1], abs=1e-3
    )
    beyond = yuv_to_rgb(torch.tensor([0.9, 0.4, 0.4]).view(1, 3, 1, 1))
    assert 0 <= float(beyond.min()) <= float(beyond.max()) <= 1
