"""Every YAML of conf/ is held to its contract the moment it exists."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import every
import numpy as np
import pytest
import torch
from hydra import compose
from hydra.utils import instantiate

from downstream.head import WithHead
from downstream.judge import gates
from downstream.judge.evaluate import evaluate
from downstream.judge.headless import evaluate_blind
from downstream.judge.kept import open_kept
from downstream.judge.record_files import read_rows
from downstream.judge.records import Record
from downstream.protocol import Fitted, GateFailed, Protocol, Runtime
from downstream.tuning.rates import TunedProtocol
from pretext import inputs
from pretext.backbones import SmallNet
from pretext.backbones.base import Backbone
from pretext.data.dataset import DataSet
from pretext.encoder import Encoder
from pretextbench import merging, runs, schema, subjects, trial
from pretextbench.context import NEEDS

CONF = Path(__file__).parent.parent / "conf"


def names(group: str) -> list[str]:
    found = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert found, f"conf/{group} is empty"
    return found


@pytest.fixture
def composed(hydra: None) -> Any:
    return lambda *overrides: compose("config", overrides=list(overrides))


def asked(name: str) -> list[str]:
    """A pretext task on a network that it takes."""
    takes = every.kind(name).takes
    return [
        f"pretext={name}",
        *([] if issubclass(SmallNet, takes) else [f"backbone={every.smallest(takes)}"]),
    ]


@pytest.mark.parametrize("name", names("pretext"))
def test_pretext(name: str, composed: Any, few_scenes: DataSet) -> None:
    """The YAML alone makes a run whose optimiser takes the task's groups; see `tests/tasks` for the task."""
    cfg = composed(*asked(name))
    assert cfg.pretext.name == name
    assert cfg.pretext.title
    assert cfg.pretext.paper
    run = runs.one(cfg, cfg.pretext, few_scenes, "32-true")
    task, optimisation = trial.built(run)
    assert task.untrained == (optimisation is None) == (run.spec["budget"]["epochs"] == 0)
    if not task.untrained:
        trial.show(task, few_scenes.train)  # as every run begins, on fewer images than it will have
    twins = runs.with_twins(cfg, few_scenes, "32-true")[1:]
    for twin in twins:
        assert {twin.spec[key] for key in ("input", "precision")} == {
            run.spec["input"],
            run.spec["precision"],
        }
        assert twin.spec["backbone"] == run.spec["backbone"]
        assert twin.spec["budget"]["batch_size"] == run.spec["budget"]["batch_size"]


@pytest.mark.parametrize("name", names("pretext"))
def test_yaml_and_signature_agree_on_a_papers_constants(
    name: str, composed: Any, few_scenes: DataSet
) -> None:
    """A value that both hold must be the same value, so that a notebook and a run do the same."""
    cfg = composed(*asked(name))
    run = runs.one(cfg, cfg.pretext, few_scenes, "32-true")
    stated = {key: value for key, value in run.spec["task"].items() if key != "_target_"}
    task = runs.build_task(run)
    assert stated.keys() <= task.arguments.keys(), f"{name} states arguments that the task does not keep"
    assert {key: task.arguments[key] for key in stated} == stated


@pytest.mark.parametrize("name", names("backbone"))
def test_backbone(name: str, composed: Any) -> None:
    cfg = composed(f"backbone={name}")
    for kind in inputs.INPUTS.values():
        if kind.channels <= cfg.backbone.get("first", 0):  # of two side by side each must see a channel
            continue
        backbone = instantiate(cfg.backbone, in_channels=kind.channels, _convert_="all")
        assert isinstance(backbone, Backbone)
    encoder = Encoder(inputs.build("rgb"), instantiate(cfg.backbone, in_channels=3, _convert_="all")).eval()
    size = 128
    with torch.no_grad():
        features = encoder(torch.rand(2, 3, size, size))
    assert tuple(features.maps) == encoder.stage_names
    for stage in encoder.stages:
        _, channels, height, width = features.maps[stage.name].shape
        assert channels == stage.channels
        assert abs(height - size / stage.stride) <= 1
        assert height == width


def _remembered_fits(protocol: Protocol, monkeypatch: pytest.MonkeyPatch) -> list[Fitted]:
    kind, fits = type(protocol), list[Fitted]()
    plain = kind.fit

    def fit(*arguments: Any, **named: Any) -> Fitted:
        fits.append(plain(*arguments, **named))
        return fits[-1]

    monkeypatch.setattr(kind, "fit", fit)
    return fits


def _chosen_among(fitted: Fitted) -> set[str]:
    """What differs between the trials of a fit."""
    values: dict[str, set[object]] = {"stage": {each.stage for each in fitted.trials}}
    for each in fitted.trials:
        for key, value in each.setting.items():
            values.setdefault(key, set()).add(value)
    return {key for key, found in values.items() if len(found) > 1}


def _brief(budget: dict[str, Any]) -> dict[str, Any]:
    """What makes a budget small."""
    if "share" in budget:
        return {"share": 1e-4}
    steps = {"iterations": 2, "milestones": [1], "warmup_iterations": 1, "batch_size": 4}
    few = {key: steps[key] for key in steps if key in budget}
    return few if "iterations" in budget else {"epochs": 1, "least_steps": 0}


def check_head(
    protocol: Protocol, record: Record, encoder: Encoder, data: DataSet, folder: Path, records: Path
) -> None:
    """What was kept predicts what was scored; what keeps nothing says why."""
    if protocol.headless is not None:
        assert not isinstance(protocol, WithHead)
        assert not folder.exists()
        return
    head = open_kept(folder, None if isinstance(protocol, TunedProtocol) else encoder)
    rows, wanted = head.rows(data.test), read_rows(records, record)
    assert rows.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_array_equal(rows[name], values, err_msg=name)
    metric = protocol.metrics(data.test)[record.evaluation.metric]
    assert metric(rows) == record.result.value
    few = np.asarray(data.test.pixels[:3])
    found = head(few)
    assert len(found) == 3
    said = json.dumps([found.told(i, head.names) for i in range(3)])
    assert protocol.task == "detection" or any(name in said for name in head.names)
    floats = torch.from_numpy(few).permute(0, 3, 1, 2) / 255
    again = head(floats)
    assert json.dumps([again.told(i, head.names) for i in range(3)]) == said


def _small_protocol(cfg: Any, name: str) -> Protocol:
    """The protocol of a YAML with a budget for a handful of images."""
    small = {
        "min_size": 64,
        "max_size": 64,
        "width": 32,
        "ks": [5, 20],
        "shots": [1, 2],
        "share": 0.4,
        "min_sizes": [64],
        "trials": 2,
        "train_limit": 32,
    }
    settings = runs.plain(cfg.downstream[name])
    settings |= {key: value for key, value in small.items() if key in settings}
    if "hidden" in settings:  # the width of one layer, or of several
        hidden = settings["hidden"]
        settings["hidden"] = [64 for _ in hidden] if isinstance(hidden, list) else 64
    for place in (settings, settings.get("probe", {})):
        for budget in ("recipe", "grid"):
            if budget in place:
                place[budget] |= _brief(place[budget])
    protocol: Protocol = instantiate(settings, _convert_="all")
    return protocol


def _small_encoder(cfg: Any) -> Encoder:
    torch.manual_seed(0)
    backbone = instantiate(cfg.backbone, in_channels=1, widths=[8, 8, 8, 8, 8], _convert_="all")
    return Encoder(inputs.build("lightness"), backbone).eval()


LONG = {
    "lowshot", "lowshot_legacy", "faster_rcnn", "faster_rcnn_fpn", "zhang16_fast_rcnn", "moco_c4",
    "vissl_voc07_svm", "robustness",
}  # fmt: skip
"""Protocols that take seconds however small they are made."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in names("downstream")]
)
def test_downstream(
    name: str, composed: Any, few_scenes: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = composed(f"downstream=[{name}]")
    protocol = _small_protocol(cfg, name)
    assert protocol.task in NEEDS
    assert protocol.version >= 1
    encoder = _small_encoder(cfg)
    before = copy.deepcopy(encoder.state_dict())
    fitted = _remembered_fits(protocol, monkeypatch)
    runtime = Runtime(cache=tmp_path / "features")
    run = runs.one(cfg, runs.pretext_config("random"), few_scenes, "32-true")
    records = evaluate(
        encoder,
        protocol,
        few_scenes,
        runtime,
        subject=subjects.of_run(run, encoder),
        records=tmp_path / "r",
        heads=tmp_path / "heads",
        draws=20,
    )
    assert all(torch.equal(value, encoder.state_dict()[key]) for key, value in before.items())
    assert len(fitted) == 1
    if protocol.selects is not None:
        assert set(protocol.selects) == _chosen_among(fitted[0]), (
            f"{name} chooses something else than it says"
        )
    primary = [r for r in records if r.evaluation.primary and r.result.selected]
    assert len(primary) == 1
    assert primary[0].evaluation.task == protocol.task
    kept = tmp_path / "heads" / primary[0].evaluation.digest
    check_head(protocol, primary[0], encoder, few_scenes, kept, tmp_path / "r")
    assert all(0 <= r.result.value <= 1 and np.isfinite(r.result.value) for r in records)
    if {"recipe", "grid", "probe"} & set(cfg.downstream[name]):  # trained by gradients, and here by few
        assert any(flag.startswith(gates.UNDERFITTED) for flag in primary[0].result.flags)
    blind = evaluate_blind(protocol, few_scenes, runtime, records=tmp_path / "r", draws=20)
    assert blind, f"{name} has nothing to be read against"
    assert all(r.subject.blind for r in blind)
    again = evaluate(
        encoder,
        protocol,
        few_scenes,
        runtime,
        subject=subjects.of_run(run, encoder),
        records=tmp_path / "r",
        draws=20,
    )
    assert again == records
    shared = merging.merged([str(tmp_path / "r")], tmp_path, reference=False)
    assert len(shared.records) == len(records) + len(blind)
    assert not any("computed again" in note for note in shared.notes), "not all, from options and rows"


@pytest.mark.parametrize("name", names("downstream"))
def test_downstream_refuses_features_that_are_not_finite(
    name: str, composed: Any, few_scenes: DataSet, tmp_path: Path
) -> None:
    cfg = composed(f"downstream=[{name}]")
    encoder = _small_encoder(cfg)
    with torch.no_grad():
        for value in encoder.parameters():
            value.fill_(torch.nan)
    run = runs.one(cfg, runs.pretext_config("random"), few_scenes, "32-true")
    with pytest.raises((FloatingPointError, ValueError, GateFailed), match=r"finite|nan"):
        evaluate(
            encoder,
            _small_protocol(cfg, name),
            few_scenes,
            Runtime(cache=tmp_path / "features"),
            subject=subjects.of_run(run, encoder),
            records=tmp_path / "r",
            draws=20,
        )
    assert not list(tmp_path.glob("r/*.json"))


@pytest.mark.parametrize("name", names("experiment"))
def test_experiment(name: str, composed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an experiment sets exists, also for protocols that it leaves to be asked for."""
    monkeypatch.setenv("PRETEXTBENCH_DATA", "nowhere")
    settled = composed(f"experiment={name}").downstream
    cfg = composed(f"experiment={name}", f"downstream=[{','.join(settled)}]")
    schema.check(cfg)
    for protocol, settings in cfg.downstream.items():
        assert instantiate(settings, _convert_="all").name == protocol
