"""What a protocol and a data set cannot do together is told by the labels, before an encoder is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hydra import compose
from hydra.utils import instantiate

from downstream.classification.clustering import Clustering
from downstream.classification.fraction import Fraction
from downstream.classification.goyal19_svm import Goyal19Svm
from downstream.classification.knn import NearestNeighbours
from downstream.classification.linear import LinearProbe
from downstream.classification.lowshot import LowShot, LowShotLegacy
from downstream.classification.moco_linear import MocoLinear
from downstream.classification.retrieval import Retrieval
from downstream.detection.frozen import DetectionFrozen
from downstream.judge.evaluate import check
from downstream.protocol import Protocol, Runtime
from downstream.segmentation.linear import SegmentationLinear
from pretext.data.dataset import Boxes, DataSet, Split
from pretext.data.split import make_split

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "downstream").glob("*.yaml"))


class Untouched:
    """Stands for an encoder that nobody may look at."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"the encoder's {name} was looked at before the labels were")


def split(name: str, count: int = 12, width: int = 16, **labels: Any) -> Split:
    pixels = np.random.default_rng(len(name)).integers(0, 255, (count, 16, width, 3), dtype=np.uint8)
    return make_split(name, pixels, **labels)


def classes(name: str, labels: list[int], **named: Any) -> Split:
    return split(name, len(labels), labels=np.array(labels, np.int64), **named)


def boxed(name: str, labels: list[int], difficult: bool = False) -> Split:
    """One box on each image."""
    n = len(labels)
    return split(
        name,
        n,
        boxes=Boxes(
            np.arange(n + 1),
            np.tile(np.array([2, 2, 9, 9], np.float32), (n, 1)),
            np.array(labels, np.int64),
            np.full(n, difficult),
        ),
    )


def masked(name: str, values: list[int]) -> Split:
    """A stripe of each value on every image."""
    row = np.resize(np.array(values, np.uint8), 16)
    return split(name, masks=np.tile(row, (12, 16, 1)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("hydra")
def test_every_protocol_refuses_before_its_encoder_is_needed(name: str) -> None:
    """`check` and `fit` say the same of splits without any labels; the first needs no encoder."""
    config = compose("config", overrides=[f"downstream=[{name}]"]).downstream[name]
    protocol: Protocol = instantiate(config, _convert_="all")
    train, val = split("train"), split("val")
    if protocol.task == "representation":
        protocol.check(train, val)
        return
    with pytest.raises(ValueError, match=r"split 'train' has no") as told:
        protocol.check(train, val)
    with pytest.raises((ValueError, AssertionError)) as raised:
        protocol.fit(Untouched(), train, val, Runtime())  # type: ignore[arg-type]
    if isinstance(raised.value, ValueError):  # a few look a stage up first, which trains nothing
        assert str(raised.value) == str(told.value)


TWO = [0, 1] * 6
REFUSED: dict[str, tuple[Protocol, tuple[Split, ...], str]] = {
    "k": (
        NearestNeighbours(ks=(10, 13)),
        (classes("train", TWO), classes("val", TWO)),
        r"k=13 neighbours, but split 'train' has 12 images",
    ),
    "k of a limited train": (
        NearestNeighbours(ks=(10,), train_limit=9),
        (classes("train", TWO), classes("val", TWO)),
        r"k=10 neighbours, but split 'train' has 9 images",
    ),
    "recall": (
        Retrieval(recalls=(12,)),
        (classes("train", TWO), classes("val", TWO)),
        r"recall@12, but split 'train' has 12 images",
    ),
    "nothing to retrieve": (
        Retrieval(recalls=(1,)),
        (classes("train", [0, 1, 2]), classes("val", [0, 1])),
        r"no two images of split 'train' share a class",
    ),
    "clusters": (
        Clustering(clusters=13),
        (classes("train", TWO), classes("val", TWO)),
        r"13 clusters, but split 'train' has 12 images",
    ),
    "shots": (
        LowShot(shots=(1, 7)),
        (classes("train", TWO), classes("val", TWO)),
        r"class 0 has 6 images in split 'train'; k = 7 needs 7: leave out every k above 6",
    ),
    "folds": (
        Goyal19Svm(folds=3),
        (classes("train", [0, 2] * 5 + [1]), classes("val", [0, 1])),
        r"class 1 has 2 images in splits 'train' and 'val' together: too few for 3 folds",
    ),
    "fraction": (
        Fraction(share=0.1),
        (classes("train", TWO), classes("val", TWO)),
        r"0.1 of the 12 images of split 'train' are 1, fewer than its 2 classes",
    ),
    "square": (
        MocoLinear(),
        (classes("train", TWO, width=20), classes("val", TWO, width=20)),
        r"need square images, got 16×20",
    ),
    "a class without example": (
        LinearProbe(),
        (classes("train", [0, 2] * 6), classes("val", TWO)),
        r"split 'train' has no example of class 1",
    ),
    "one class": (
        LinearProbe(),
        (classes("train", [0] * 12), classes("val", [0])),
        r"all images of split 'train' have the same class",
    ),
    "a class that only test has": (
        LinearProbe(),
        (classes("train", TWO), classes("val", TWO), classes("test", [0, 1, 2])),
        r"split 'test': example 2 has label 2; train has 2 classes",
    ),
    "no positive": (
        LinearProbe(),
        (split("train", labels=np.ones((12, 2), np.uint8)), split("val", labels=np.zeros((12, 2), np.uint8))),
        r"no image of split 'val' has a class",
    ),
    "a class that only test has boxes of": (
        DetectionFrozen(),
        (boxed("train", TWO), boxed("val", TWO), boxed("test", [2])),
        r"split 'test': a box of image 0 has label 2; train has 2 classes",
    ),
    "nothing to find": (
        DetectionFrozen(),
        (boxed("train", TWO), boxed("val", TWO), boxed("test", TWO, difficult=True)),
        r"split 'test' has no object to find",
    ),
    "a class without pixel": (
        SegmentationLinear(),
        (masked("train", [0, 2]), masked("val", [0, 1])),
        r"split 'train' has no pixel of class 1: .* masks hold 0, 2 and 255, which means unlabelled",
    ),
    "masks of 0 and 255": (
        SegmentationLinear(),
        (masked("train", [0, 255]), masked("val", [0, 255])),
        r"no pixel of class 1: it cannot be learned; its masks hold 0 and 255",
    ),
    "no labelled pixel": (
        SegmentationLinear(),
        (masked("train", [0, 1]), masked("val", [255])),
        r"split 'val' has no labelled pixel",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_labels_do_not_suffice_for_is_named(case: str) -> None:
    protocol, (train, val, *others), said = REFUSED[case]
    with pytest.raises(ValueError, match=said):
        protocol.check(train, val, *others)
    if not others:  # what concerns train and val, fit says itself
        with pytest.raises(ValueError, match=said):
            protocol.fit(Untouched(), train, val, Runtime())  # type: ignore[arg-type]


def test_what_suffices_is_not_refused() -> None:
    train, val, test = (classes(name, TWO) for name in ("train", "val", "test"))
    for protocol in (
        NearestNeighbours(ks=(12,)),
        Retrieval(recalls=(11,)),
        Clustering(clusters=12),
        LowShot(shots=(6,)),
        Goyal19Svm(folds=3),
        Fraction(share=0.2),
        MocoLinear(),
    ):
        protocol.check(train, val, test)
    DetectionFrozen().check(boxed("train", TWO), boxed("val", [0]), boxed("test", [1]))
    SegmentationLinear().check(masked("train", [0, 1, 255]), masked("val", [1]), masked("test", [0, 1]))


def test_legacy_protocols_are_asked_of_train_and_test() -> None:
    """They never see val, whatever it lacks."""
    asked: list[tuple[str, ...]] = []
    train, val, test = (classes(name, TWO) for name in ("train", "val", "test"))
    data = DataSet("made", train, val, test)
    for kind in (LowShot, LowShotLegacy):
        protocol = kind(shots=(1,))
        object.__setattr__(protocol, "check", lambda *splits: asked.append(tuple(s.name for s in splits)))
        check(protocol, data)
    assert asked == [("train", "val", "test"), ("train", "test")]
