"""Records of one person that others merge with theirs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_records import SUBJECT

from downstream.classification.linear import LinearProbe
from downstream.classification.retrieval import Retrieval
from downstream.heads.linear_grid import LinearGrid
from downstream.judge.evaluate import evaluate
from downstream.judge.headless import evaluate_blind
from downstream.protocol import Runtime
from pretext.backbones import SmallNet
from pretext.data.dataset import DataSet
from pretext.encoder import Encoder
from pretext.inputs import RGB

PROBE = LinearProbe(pools=(1,), grid=LinearGrid(lrs=(0.1,), weight_decays=(0.0,), epochs=1, least_steps=0))


@pytest.fixture(scope="session")
def made(few_scenes: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a person who judged one encoder by two protocols."""
    folder = tmp_path_factory.mktemp("made")
    torch.manual_seed(0)
    encoder = Encoder(RGB(), SmallNet(3, (4, 4, 4, 4, 4))).eval()
    runtime = Runtime(cache=folder / "cache")
    subject = replace(
        SUBJECT,
        backbone="SmallNet(widths=[4, 4, 4, 4, 4])",
        pretraining_digest=few_scenes.train.digest,
        images_seen=4 * 96,
    )
    config = {"pretext": {"name": "rotation"}, "trainer": {"epochs": 4, "batch_size": 32}}
    for protocol in (PROBE, Retrieval(train_limit=48)):
        evaluate(
            encoder,
            protocol,
            few_scenes,
            runtime,
            subject=subject,
            records=folder / "records",
            config=config,
            draws=40,
        )
        evaluate_blind(protocol, few_scenes, runtime, records=folder / "records", draws=40)
    return folder


@pytest.fixture
def theirs(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(made / "records", tmp_path / "theirs"))
