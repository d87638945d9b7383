"""Evaluations that are killed leave whole records or none, and no record twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from plug import killed_at

from downstream.classification.linear import LinearProbe
from downstream.heads.linear_grid import LinearGrid
from downstream.judge.evaluate import evaluate
from downstream.judge.record_files import read_all, read_rows
from downstream.judge.records import Record, Subject
from downstream.protocol import Runtime
from pretext import inputs
from pretext.backbones import SmallNet
from pretext.data.dataset import DataSet
from pretext.encoder import Encoder

SUBJECT = Subject(
    pretext="toy",
    backbone="SmallNet",
    input="lightness",
    calibration="batchnorm",
    pretraining="scenes",
    pretraining_digest="0" * 64,
    budget="",
    images_seen=0,
    recipe="a",
    twins={},
    run="b",
    seed=0,
    precision="float32",
)


def judge(folder: Path, data: DataSet) -> None:
    torch.manual_seed(0)
    encoder = Encoder(inputs.build("lightness"), SmallNet(1, (8, 8, 8, 8, 8)))
    probe = LinearProbe(pools=(1,), grid=LinearGrid(lrs=(0.01, 0.1), weight_decays=(0.0,), epochs=2))
    evaluate(
        encoder, probe, data, Runtime(cache=folder / "cache"),
        subject=SUBJECT, records=folder / "records", draws=20,
    )  # fmt: skip


def told(record: Record) -> str:
    """A record without what differs from run to run."""
    return str((record.subject, record.evaluation, record.data, record.result))


@pytest.mark.slow
def test_killed_at_every_file_operation(tmp_path: Path, few_scenes: DataSet) -> None:
    judge(tmp_path / "whole", few_scenes)
    broken = tmp_path / "broken"
    moment = kills = 0
    while killed_at(moment, lambda: judge(broken, few_scenes)):
        kills += 1
        moment += 3
        for record in read_all(broken / "records"):
            read_rows(broken / "records", record)  # values first: a record's rows are always there
    assert kills >= 6
    whole, again = (read_all(folder / "records") for folder in (tmp_path / "whole", broken))
    assert Counter(map(told, again)) == Counter(map(told, whole))
    assert max(Counter(map(told, again)).values()) == 1
