"""What is watched while pretraining: two probes, the shape of features, and what is said of a collapse."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from rich.console import Console
from sklearn.neighbors import KNeighborsClassifier

from downstream.judge.flags import OF_PRETRAINING, meaning
from downstream.judge.gates import told_by_pretraining
from pretext.data.dataset import DataSet, Split
from pretext.data.loader import EpochLoader
from pretext.encoder import load
from pretext.fit import Optimisation, Pretrained, Validation, pretrain
from pretext.fit.monitor import PENALTIES, Features, features, flags, probes, ridge, shape, vote
from pretext.task import WATCHED, Progress, Task
from pretext.tasks.barlow_twins import BarlowTwins
from pretext.tasks.byol import Byol
from pretext.tasks.lejepa import LeJepa
from pretext.tasks.rotation import Rotation
from pretext.tasks.simsiam import SimSiam
from pretext.tasks.vicreg import VICReg


def test_the_vote_agrees_with_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    bank, queries = draw.normal(size=(60, 8)), draw.normal(size=(20, 8))
    bank, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank, queries))
    labels = draw.integers(0, 4, 60)
    weigh = lambda distance: np.exp((1 - distance) / 0.07)  # noqa: E731 - scikit-learn takes cosine distances
    reference = KNeighborsClassifier(20, weights=weigh, metric="cosine").fit(bank, labels)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(labels), 4).float()
    found = vote(torch.from_numpy(queries).float(), torch.from_numpy(bank).float(), one_hot, 20)
    np.testing.assert_allclose(found.numpy(), reference.predict_proba(queries), atol=1e-5)


def of(vectors: torch.Tensor, labels: torch.Tensor | None) -> Features:
    return Features(vectors.float(), labels)


@pytest.mark.parametrize("multilabel", [False, True])
def test_planted_features_score_one_and_constant_ones_chance(multilabel: bool) -> None:
    labels = torch.arange(90) % 3
    one_hot = torch.nn.functional.one_hot(labels, 3).float()
    given = one_hot if multilabel else labels
    telling, constant = of(one_hot, given), of(torch.ones(90, 3), given)
    assert probes(telling, telling, 20) == pytest.approx({"knn": 1.0, "linear": 1.0})
    assert probes(constant, constant, 90) == pytest.approx({"knn": 1 / 3, "linear": 1 / 3}, abs=0.01)


def test_the_linear_probe_finds_what_neighbours_do_not() -> None:
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(600, 40, generator=draw)
    labels = (vectors[:, 0] > 0).long()  # one of forty directions
    found = probes(of(vectors[:300], labels[:300]), of(vectors[300:], labels[300:]), 20)
    assert found["linear"] > 0.9
    assert found["knn"] < 0.8


def test_the_linear_probe_is_one_of_its_penalties_on_standardised_features() -> None:
    draw = torch.Generator().manual_seed(0)
    bank = 5 + torch.randn(50, 4, generator=draw) * torch.tensor([1.0, 10, 100, 0])
    asked, labels = bank[:7] + 1, torch.nn.functional.one_hot(torch.arange(50) % 3, 3).float()
    x = (bank - bank.mean(0)) / bank.std(0, correction=0)
    x[:, 3] = 0  # a channel that does not vary says nothing
    z = (asked - bank.mean(0)) / bank.std(0, correction=0)
    z[:, 3] = 1
    found = ridge(asked, bank, labels)
    centred = (labels - labels.mean(0)).double()
    errors, answers = [], []
    for penalty in PENALTIES:
        inverse = torch.linalg.inv(x.double().T @ x.double() + penalty * torch.eye(4).double())
        weights = inverse @ x.double().T @ centred
        answers.append(z.double() @ weights + labels.double().mean(0))
        left_out = []  # each of the fifty is predicted from the others
        for i in range(50):
            rest = torch.arange(50) != i
            mine, rows = x.double()[rest], labels.double()[rest]
            about = mine - mine.mean(0)
            own = torch.linalg.inv(about.T @ about + penalty * torch.eye(4).double()) @ about.T
            fitted = rows.mean(0) + (x.double()[i] - mine.mean(0)) @ own @ (rows - rows.mean(0))
            left_out.append((fitted - labels[i]).square().mean())
        errors.append(float(torch.stack(left_out).mean()))
    assert int(np.argmin(errors)) > 0
    torch.testing.assert_close(found, answers[int(np.argmin(errors))], atol=1e-5, rtol=0)


def test_images_without_a_class_neither_teach_nor_are_asked() -> None:
    labels = torch.arange(90) % 3
    vectors = torch.nn.functional.one_hot(labels, 3).float()
    known = torch.where(torch.arange(90) < 30, labels, -1)
    asked = torch.where(torch.arange(90) < 60, -1, labels)
    found = probes(of(vectors, known), of(vectors, asked), 5)
    assert found == pytest.approx({"knn": 1.0, "linear": 1.0})


@pytest.mark.parametrize("multilabel", [False, True])
def test_where_no_val_image_has_a_label_nothing_is_scored(multilabel: bool) -> None:
    vectors = torch.rand(12, 3)
    some = torch.eye(3).repeat(4, 1) if multilabel else torch.arange(12) % 3
    none = torch.zeros(12, 3) if multilabel else torch.full((12,), -1)
    assert probes(of(vectors, some), of(vectors, none), 5) == {}
    assert probes(of(vectors, some), of(vectors, None), 5) == {}
    if not multilabel:
        assert probes(of(vectors, none), of(vectors, some), 5) == {}


def test_the_shape_of_features_by_hand() -> None:
    orthogonal = torch.cat([torch.eye(4), -torch.eye(4)])
    assert shape(orthogonal) == pytest.approx({"rankme": 4.0, "spread": 1.0}, rel=1e-4)
    one_way = torch.tensor([[1.0, 2.0, 2.0]]) * torch.arange(1, 6)[:, None]  # of several lengths
    assert shape(one_way) == pytest.approx({"rankme": 1.0, "spread": 0.0}, abs=1e-4)


class Collapsing(Rotation):
    """Rotation whose encoder says the same of every image."""

    def after_step(self, progress: Progress) -> None:
        with torch.no_grad():
            for parameter in self.encoder.parameters():
                parameter.zero_()


def run(
    task: Rotation,
    folder: Path,
    train: Split | None = None,
    val: Split | None = None,
    beside: DataSet | None = None,
) -> str:
    """Pretrain for an epoch; return what was printed."""
    said = io.StringIO()
    pretrain(
        task, train or toy.split(24, 0), val or toy.split(8, 1, "val"), folder=folder / "run",
        cache=folder / "cache", name="toy", seed=0, epochs=1, batch_size=8, device="cpu",
        console=Console(file=said),
        optimisation=Optimisation(functools.partial(torch.optim.AdamW, lr=3e-3)),
        validation=Validation(bank=16, pictures=2), beside=beside,
    )  # fmt: skip
    return said.getvalue()


def test_a_collapse_is_said_while_training_kept_with_the_encoder_and_flagged_in_its_scores(
    tmp_path: Path,
) -> None:
    assert "pretrain toy: the features collapse" in run(Collapsing(toy.encoder()), tmp_path / "a")
    fallen = load(tmp_path / "a" / "run")
    assert fallen.provenance["flags"] == ["pretraining_collapsed", "pretraining_at_chance"]
    assert told_by_pretraining(fallen) == OF_PRETRAINING
    assert "collapse" not in run(Rotation(toy.encoder()), tmp_path / "b")
    assert "pretraining_collapsed" not in told_by_pretraining(load(tmp_path / "b" / "run"))


def test_what_is_watched_has_names_that_no_task_takes() -> None:
    few = of(torch.randn(8, 4), torch.arange(8) % 2)
    assert {*shape(few.vectors), *probes(few, few, 2)} == set(WATCHED)


@pytest.mark.parametrize("kind", [Byol, SimSiam, BarlowTwins, VICReg, LeJepa])
def test_a_collapse_is_one_of_features_whatever_a_task_says_of_its_projections(
    kind: Callable[..., Task], tmp_path: Path
) -> None:
    val = toy.split(8, 1, "val")
    run(kind(toy.encoder(), hidden=16), tmp_path, val=val)
    result = Pretrained.read(tmp_path / "run")
    assert result is not None
    seen = features(load(tmp_path / "run"), EpochLoader(val, 8))
    assert {f"val/{name}": value for name, value in shape(seen.vectors).items()} == pytest.approx(
        {name: result.measures[name] for name in ("val/rankme", "val/spread")}, rel=1e-4
    )
    assert result.measures["val/projections_spread"] != result.measures["val/spread"]


def test_features_that_are_not_finite_end_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Rotation(toy.encoder())
    monkeypatch.setattr(task.encoder, "vector", lambda pixels: torch.full((len(pixels), 4), torch.inf))
    run(task, tmp_path)
    result = Pretrained.read(tmp_path / "run")
    assert result is not None
    assert not {"val/spread", "val/knn"} & result.measures.keys()


def test_a_loss_is_at_chance_unless_it_is_a_hundredth_below() -> None:
    assert flags({"val/loss": 0.995, "val/loss_chance": 1.0, "val/spread": 0.5}) == ["pretraining_at_chance"]
    assert flags({"val/loss": 0.985, "val/loss_chance": 1.0, "val/spread": 0.5}) == []
    assert flags({"val/loss": 2.0, "val/spread": 0.5}) == []  # it has no chance level
    both = {"val/loss_chance": 4.0, "val/loss_blind": 3.0, "val/spread": 0.5}
    assert flags({"val/loss": 2.98, **both}) == flags({"val/loss": 4.5, **both}) == ["pretraining_at_chance"]
    assert flags({"val/loss": 2.96, **both}) == []
    assert flags({"val/loss": 2.98, "val/loss_blind": 3.0}) == ["pretraining_at_chance"]
    assert flags({"val/loss": 0.5, "val/loss_chance": 1.0, "val/spread": 0.001}) == ["pretraining_collapsed"]
    assert all(meaning(flag) != flag.replace("_", " ") for flag in OF_PRETRAINING)


def test_words_in_a_file_that_are_no_flags_are_none() -> None:
    for said in (["<b>", "pretraining_at_chance"], "pretraining_collapsed", None):
        encoder = toy.encoder()
        encoder.provenance["flags"] = said
        assert told_by_pretraining(encoder) == (("pretraining_at_chance",) if isinstance(said, list) else ())


def test_pretraining_goes_on_where_no_val_image_has_a_label(tmp_path: Path) -> None:
    val = toy.split(8, 1, "val")
    assert val.labels is not None
    run(Rotation(toy.encoder()), tmp_path, val=replace(val, labels=np.full_like(val.labels, -1)))
    result = Pretrained.read(tmp_path / "run")
    assert result is not None
    assert result.steps == 3
    assert not {"val/knn", "val/linear"} & result.measures.keys()
    assert {"val/rankme", "val/spread"} <= result.measures.keys()


def test_a_second_set_is_probed_by_its_own_train_and_val_and_moves_nothing(tmp_path: Path) -> None:
    other = DataSet(
        "other", *(toy.split(16, seed, name, 16) for seed, name in enumerate(("train", "val", "test"), 5))
    )
    run(Rotation(toy.encoder()), tmp_path / "a")
    run(Rotation(toy.encoder()), tmp_path / "b", beside=other)
    plain, watched = (Pretrained.read(tmp_path / name / "run") for name in "ab")
    assert plain is not None
    assert watched is not None
    more = {f"val/{name}_other" for name in ("knn", "linear", "rankme", "spread")}
    assert watched.measures.keys() == plain.measures.keys() | more
    assert {name: watched.measures[name] for name in plain.measures} == plain.measures
    encoder = load(tmp_path / "b" / "run")
    assert encoder.digest() == load(tmp_path / "a" / "run").digest()
    taught, asked = (
        features(encoder, EpochLoader(split, 8, shuffle=False, drop_last=False))
        for split in (other.train, other.val)
    )
    for name, value in {**probes(taught, asked, 20), **shape(asked.vectors)}.items():
        assert watched.measures[f"val/{name}_other"] == pytest.approx(value, rel=1e-4)
    assert "val/knn_other" in (tmp_path / "b" / "run" / "history.csv").read_text()
