"""A probe of a supervised encoder's last stage against the head that the encoder was trained with."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from downstream.classification.labels import top_k
from downstream.classification.linear import LinearProbe
from downstream.features.extraction import load_images
from downstream.protocol import Runtime
from pretext import inputs
from pretext.backbones import SmallNet
from pretext.data.dataset import Split
from pretext.data.split import make_split
from pretext.encoder import Encoder, load
from pretext.fit import Optimisation, Validation, load_task, pretrain
from pretext.tasks.supervised import Supervised

CLASSES, SIDE, NOISE = 8, 16, 70.0


def gratings(name: str, count: int, seed: int) -> Split:
    """Waves of any direction and phase under noise; the class is the wave length, which no flip changes."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(count) % CLASSES)
    angle, phase = (generator.uniform(0, turn, (count, 1, 1)) for turn in (np.pi, 2 * np.pi))
    y, x = np.mgrid[:SIDE, :SIDE]
    along = np.cos(angle) * x + np.sin(angle) * y  # (N, H, W)
    waves = 40 * np.sin(0.3 * (1 + labels[:, None, None]) * along + phase)
    noisy = (128 + waves + generator.normal(0, NOISE, waves.shape)).clip(0, 255).astype(np.uint8)
    return make_split(name, np.repeat(noisy[..., None], 3, axis=3), labels=labels)


@pytest.mark.slow
def test_a_probe_of_the_last_stage_lands_within_a_point_of_the_encoders_own_head(tmp_path: Path) -> None:
    train, val, test = gratings("train", 3000, 1), gratings("val", 500, 2), gratings("test", 4000, 3)
    torch.manual_seed(0)
    encoder = Encoder(inputs.build("lightness"), SmallNet(1, [16] * 5))
    pretrain(
        Supervised(encoder, classes=CLASSES, multilabel=False, padding=0),
        train,
        val,
        folder=tmp_path / "run",
        cache=tmp_path / "cache",
        name="supervised",
        seed=0,
        epochs=8,
        batch_size=32,
        optimisation=Optimisation(partial(torch.optim.AdamW, lr=4e-3, weight_decay=0.01), clip=1.0),
        validation=Validation(every=8),
    )
    task, trained = load_task(tmp_path / "run"), load(tmp_path / "run")
    assert isinstance(task, Supervised)
    last, accuracy = trained.stage_names[-1], top_k(1)
    with torch.no_grad():
        maps = trained(load_images(test, slice(None), torch.device("cpu"))).maps[last]
        own = accuracy({"scores": task.head(maps.mean((2, 3))).numpy(), "labels": test.labels})
    fitted = LinearProbe(pools=(1,)).fit(trained, train, val, Runtime(cache=tmp_path / "features"))
    probe = accuracy(fitted.predict(test)[last])
    assert 0.4 < own < 0.9, "neither chance nor perfect: the comparison says something"
    assert abs(probe - own) < 0.01
