"""A balanced share of the labels: who is drawn, and that the probe sees nothing else."""

from pathlib import Path

import numpy as np
import pytest
from planted import CLASSES, labelled, multi_label, one_hot_label, single_label, small_encoder

from downstream.classification.fraction import Fraction, balanced
from downstream.classification.linear import LinearProbe
from downstream.heads.linear_grid import LinearGrid
from downstream.protocol import Runtime
from pretext.data.dataset import Split

PROBE = LinearProbe(
    pools=(1,), grid=LinearGrid(lrs=(1e-2, 1e-1), weight_decays=(0.0, 1e-2), epochs=30, batch_size=64)
)


def labels_of(split: Split) -> np.ndarray:
    assert split.labels is not None
    return np.asarray(split.labels)


def test_classes_are_as_equally_frequent_as_can_be() -> None:
    counts = np.bincount(labels_of(balanced(single_label("train", 200, 0), 0.1)))
    assert counts.tolist() == [4] * CLASSES
    counts = np.bincount(labels_of(balanced(single_label("train", 200, 0), 0.085)))
    assert sorted(counts) == [3, 3, 3, 4, 4]
    # One class has three images; the others make up for it.
    counts = np.bincount(labels_of(balanced(labelled(np.array([0] * 3 + [1] * 50 + [2] * 47)), 0.21)))
    assert counts.tolist() == [3, 9, 9]
    drawn = labels_of(balanced(multi_label("train", 300, 0), 0.1))
    assert len(drawn) == 30
    assert drawn.sum(0).min() >= 30 // CLASSES


def test_the_draw_is_that_of_the_split() -> None:
    train = single_label("train", 200, 0)
    first, again = balanced(train, 0.1), balanced(train, 0.1)
    assert first.digest == again.digest
    assert first.digest != balanced(single_label("train", 200, 1), 0.1).digest
    pixels = {image.tobytes() for image in np.asarray(train.pixels[:])}
    assert all(image.tobytes() in pixels for image in np.asarray(first.pixels[:]))
    assert len({image.tobytes() for image in np.asarray(first.pixels[:])}) == 20


def test_images_without_a_class_are_not_drawn() -> None:
    labels = np.zeros((40, 2), np.uint8)
    labels[:5, 0], labels[5:10, 1] = 1, 1
    assert labels_of(balanced(labelled(labels), 0.2)).sum(0).tolist() == [4, 4]
    assert len(balanced(labelled(labels), 0.9)) == 10


def test_it_is_the_probe_on_these_images_alone(tmp_path: Path) -> None:
    encoder, runtime = small_encoder(), Runtime(cache=tmp_path)
    train, val, test = (single_label(name, n, n) for name, n in (("train", 200), ("val", 60), ("test", 50)))
    fitted = Fraction(0.2, PROBE).fit(encoder, train, val, runtime)
    alone = PROBE.fit(encoder, balanced(train, 0.2), val, runtime)
    assert fitted.trials == alone.trials
    np.testing.assert_array_equal(
        fitted.predict(test)[fitted.stage]["scores"], alone.predict(test)[alone.stage]["scores"]
    )
    assert PROBE.fit(encoder, train, val, runtime).trials != fitted.trials


def test_label_features_give_everything_and_permuted_labels_chance(tmp_path: Path) -> None:
    runtime, test = Runtime(cache=tmp_path), single_label("test", 1000, 3)
    protocol = Fraction(0.05, PROBE)
    metric = next(iter(protocol.metrics(test).values()))
    fitted = protocol.fit(one_hot_label(), single_label("train", 300, 1), single_label("val", 60, 2), runtime)
    assert metric(fitted.predict(test)[fitted.stage]) == 1.0
    train, val = (single_label(name, 300, i, permuted=True) for i, name in enumerate(("train", "val")))
    fitted = protocol.fit(small_encoder(), train, val, runtime)
    assert metric(fitted.predict(test)[fitted.stage]) == pytest.approx(1 / CLASSES, abs=0.05)


def test_the_share_is_in_the_name_and_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    assert [Fraction(share).name for share in (0.01, 0.1, 0.125)] == [
        "fraction_1",
        "fraction_10",
        "fraction_12.5",
    ]
    assert Fraction(0.1, PROBE).selects == PROBE.selects
    for share in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="share must lie between 0 and 1"):
            Fraction(share)
    train, val = single_label("train", 200, 1), single_label("val", 60, 2)
    with pytest.raises(
        ValueError, match=r"0\.02 of the 200 images of split 'train' are 4, fewer than its 5 classes"
    ):
        Fraction(0.02, PROBE).fit(small_encoder(), train, val, Runtime(cache=tmp_path))
    with pytest.raises(ValueError, match="split 'train' has no example of class 1"):
        Fraction(0.5, PROBE).fit(small_encoder(), labelled(np.array([0, 2] * 10)), val, Runtime())
