"""Every gate lets the sound case through and catches its fault."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_protocol import MeanProbe, make_data, make_encoder, replaced
from made_records import SUBJECT
from torch import nn

from downstream.course import Course
from downstream.judge import flags as flagging
from downstream.judge import gates
from downstream.judge.gates import Unmoved
from downstream.protocol import FRACTION, GateFailed, Runtime, Trial
from pretext.data.dataset import DataSet
from pretext.data.split import make_split


def failure(gate: str, reason: str) -> "pytest.RaisesExc[GateFailed]":
    return pytest.raises(GateFailed, match=rf"gate '{gate}' failed: .*{reason}")


def test_input_as_declared() -> None:
    encoder = make_encoder()
    gates.input_as_declared(encoder, "rgb")
    with failure("input", "declared as 'lightness', but the encoder's input is 'rgb'"):
        gates.input_as_declared(encoder, "lightness")


def with_shared_image(data: DataSet, source: str, target: str) -> DataSet:
    """Put one image of a split into another, label changed: digests of the splits differ all the same."""
    into = data.splits[target]
    pixels = np.asarray(into.pixels[:])
    pixels[3] = data.splits[source].pixels[7]
    return replace(data, **{target: make_split(target, pixels, labels=into.labels)})


@pytest.mark.parametrize(("source", "target"), [("train", "test"), ("val", "test"), ("train", "val")])
def test_splits_disjoint(source: str, target: str) -> None:
    data = make_data()
    gates.splits_disjoint(data)
    with failure("splits", "photos: 1 images"):
        gates.splits_disjoint(with_shared_image(data, source, target))


def test_unseen_by_pretraining() -> None:
    data, other = make_data(), make_data(seed=1)
    subject = replace(SUBJECT, pretraining_digest=other.train.digest)
    assert gates.unseen_by_pretraining(subject, [other.train], data) == ()
    assert gates.unseen_by_pretraining(subject, [], data) == (flagging.OVERLAP_UNCHECKED,)
    assert gates.unseen_by_pretraining(replace(subject, pretraining_digest=data.train.digest), [], data) == ()
    untouched = replace(subject, pretraining="", pretraining_digest="", images_seen=0)
    assert gates.unseen_by_pretraining(untouched, [], data) == ()
    foreign = replace(subject, pretraining="imagenet", pretraining_digest="")
    assert gates.unseen_by_pretraining(foreign, [], data) == (flagging.OVERLAP_UNCHECKED,)
    with failure("pretraining", "trained on the test split of photos"):
        gates.unseen_by_pretraining(replace(subject, pretraining_digest=data.test.digest), [], data)
    leaking = with_shared_image(replace(other, test=data.test), "test", "train").train
    with failure("pretraining", "rotation on photos: 1 images"):
        gates.unseen_by_pretraining(subject, [leaking], data)


def test_unmoved_catches_one_bit_of_any_parameter_or_buffer() -> None:
    encoder = make_encoder()
    held = Unmoved(encoder)
    held.check()
    with torch.no_grad():
        weight = encoder.backbone.blocks["conv2"].get_parameter("conv.weight")
        weight.view(torch.int32)[0, 0, 0, 0] ^= 1
    with failure("frozen", r"backbone\.blocks\.conv2\.conv\.weight of the judged encoder moved"):
        held.check()


def test_unmoved_catches_a_batchnorm_buffer_that_moved_in_train_mode() -> None:
    encoder = make_encoder()
    held = Unmoved(encoder)
    encoder.train()
    with torch.no_grad():
        encoder(torch.rand(4, 3, 16, 16))
    with failure("frozen", r"norm\.(running_mean|running_var|num_batches_tracked) .* moved"):
        held.check()


def test_unmoved_sees_buffers_that_a_state_dict_leaves_out_and_what_appears() -> None:
    module = nn.Linear(2, 2)
    module.register_buffer("hidden", torch.tensor([0.0, float("nan")]), persistent=False)
    held = Unmoved(module)
    held.check()  # NaN is the same NaN
    module.register_buffer("hidden", torch.tensor([-0.0, float("nan")]), persistent=False)
    with failure("frozen", "hidden .* moved"):
        held.check()
    module.register_buffer("extra", torch.zeros(1))
    with failure("frozen", "extra appeared"):
        held.check()


def test_rows_complete() -> None:
    split = make_data(examples=6).test
    good = {"scores": np.zeros((6, 2)), "target": np.zeros(6, np.int64)}
    gates.rows_complete(good, split, "conv1")
    padded = {name: np.concatenate([values, values[:2]]) for name, values in good.items()}
    with failure("rows", "stage 'conv1', 'scores': 8 rows for the 6 images of test"):
        gates.rows_complete(padded, split, "conv1")
    with failure("rows", "'scores': a scalar"):
        gates.rows_complete({"scores": np.array(1.0)}, split, "conv1")
    with failure("rows", "predicted nothing"):
        gates.rows_complete({}, split, "conv1")
    for bad in (np.nan, np.inf):
        scores = np.zeros((6, 2))
        scores[4, 1] = bad
        with failure("rows", "'scores': not finite, first in row 4"):
            gates.rows_complete(good | {"scores": scores}, split, "conv1")


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.1, 67.0])
def test_score_in_range(value: float) -> None:
    assert gates.score_in_range(1.0, FRACTION, "mAP", "conv1") == 1.0
    with failure("score", "mAP of stage 'conv1'"):
        gates.score_in_range(value, FRACTION, "mAP", "conv1")


def test_head_trained() -> None:
    data = make_data()
    fitted = MeanProbe().fit(make_encoder(), data.train, data.val, Runtime())
    assert gates.head_trained(fitted, 0.5, "label_prior", FRACTION) == ()
    assert gates.head_trained(replaced(fitted, train_score=0.5), 0.5, "label_prior", FRACTION) == (
        "head_untrained:label_prior",
    )
    with failure("head", "train score is nan"):
        gates.head_trained(replaced(fitted, train_score=float("nan")), 0.5, "label_prior", FRACTION)
    with failure("head", "nothing was scored on val"):
        gates.head_trained(replaced(fitted, train_score=0.9, trials=()), 0.5, "label_prior", FRACTION)
    trials = (Trial("conv1", {"lr": 1.0}, 0.7), Trial("conv1", {"lr": 1e9}, float("nan")))
    lost = gates.head_trained(replaced(fitted, trials=trials), 0.5, "label_prior", FRACTION)
    assert lost == ("diverged:1 of 2: lr 1e+09",)


def test_settings_that_diverged_are_named_by_what_they_share() -> None:
    def trials(*bad: tuple[str, float, float]) -> list[Trial]:
        grid = itertools.product(("conv1", "conv2", "conv3"), (0.1, 1.0, 10.0), (0.0, 1e-3))
        return [
            Trial(
                stage, {"lr": lr, "weight_decay": decay}, float("nan") if (stage, lr, decay) in bad else 0.5
            )
            for stage, lr, decay in grid
        ]

    assert gates.diverged(trials()) == ()
    wild = [("conv2", lr, decay) for lr in (1.0, 10.0) for decay in (0.0, 1e-3)]
    assert gates.diverged(trials(*wild)) == ("diverged:4 of 18: stage conv2 lr 1/10",)
    assert gates.diverged(trials(("conv1", 10.0, 0.0), ("conv3", 10.0, 1e-3))) == (
        "diverged:2 of 18: stage conv1/conv3 lr 10",
    )
    everywhere = [(f"conv{i}", 10.0, d) for i in (1, 2, 3) for d in (0.0, 1e-3)]
    assert flagging.meaning(gates.diverged(trials(*everywhere))[0]) == (
        "settings that diverged were left out of the selection (6 of 18: lr 10)"
    )


def test_head_fitted() -> None:
    """Every sign of a head that more steps would change, and none of one that is done."""
    data = make_data()
    trials = (Trial("conv1", {}, 0.7), Trial("conv2", {}, 0.6), Trial("conv2", {}, 0.5))
    settled = Course(100, 3.0, (2.0, 1.5, 1.2, 1.1, 1.1, 1.1, 1.0, 1.0))

    def flags(trains_encoder: bool = False, **fields: object) -> tuple[str, ...]:
        fitted = MeanProbe().fit(make_encoder(), data.train, data.val, Runtime())
        shown = {"trials": trials, "stage": "conv2", "train_score": 0.61, "course": settled} | fields
        return gates.head_fitted(
            replaced(fitted, **shown), trains_encoder, 600, FRACTION
        )  # standard error .02

    assert flags() == ()
    assert flags(course=None) == ()
    # Of the selected stage alone.
    no_better = "head_underfitted:its train score is no better than its val score"
    assert flags(train_score=0.6) == (no_better,)
    assert flags(stage="conv1") == (no_better,)
    assert flags(train_score=1.0, trials=(Trial("conv2", {}, 1.0),)) == ()  # nothing is left to learn
    assert flags(course=replace(settled, steps=99)) == ("head_underfitted:trained for 99 steps",)
    falling = replace(settled, parts=(2.9, 2.6, 2.4, 2.2, 1.8, 1.6, 1.3, 1.0))
    assert flags(course=falling) == ("head_underfitted:its loss was still falling",)
    assert flags(course=falling, train_score=0.63) == ()  # what it learned already is train's own
    diverged = (*trials, Trial("conv2", {}, float("nan")))
    assert flags(train_score=0.6, trials=diverged[::-1]) == (no_better,)
    assert len(flags(course=replace(falling, steps=5), train_score=0.1)) == 3
    # With its encoder a head learns on and on.
    assert flags(trains_encoder=True, course=falling) == ()
    assert len(flags(trains_encoder=True, course=replace(falling, steps=5), train_score=0.1)) == 2
    assert flagging.meaning(no_better) == (
        "the head is undertrained, as it seems (its train score is no better than its val score)"
    )


def test_every_flag_has_words() -> None:
    assert flagging.meaning("at_edge:lr") == "the selected hyper-parameter lies at the end of its grid (lr)"
    assert flagging.meaning("something_new") == "something new"
    for flag in flagging.MEANING:
        assert " " in flagging.meaning(flag)
