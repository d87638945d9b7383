"""The probe under corruptions: the same as judging it on each corrupted split by hand."""

from pathlib import Path

import numpy as np
import pytest
from planted import CLASSES, labelled, multi_label, one_hot_label, planted, single_label, small_encoder

from downstream.classification.linear import LinearProbe
from downstream.classification.robustness import Robustness
from downstream.heads.linear_grid import LinearGrid
from downstream.images.corruptions import Brightness, Contrast, corrupt
from downstream.metrics.bootstrap import bootstrap, resamples
from downstream.metrics.scores import mean_average_precision, top_k
from downstream.protocol import Runtime, take
from pretext.backbones import Stage
from pretext.data.dataset import Split

PROBE = LinearProbe(pools=(1,), grid=LinearGrid(lrs=(3e-2,), weight_decays=(0.0,), epochs=10, batch_size=64))
TWO = (Contrast(levels=(0.9, 0.5)), Brightness(levels=(0.1, 0.3)))
ROBUSTNESS = Robustness(PROBE, TWO)


@pytest.mark.parametrize("make", [single_label, multi_label])
def test_scores_are_those_of_the_probe_on_each_corrupted_split(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    encoder, runtime = small_encoder(), Runtime(cache=tmp_path)
    splits, test = (make("train", 120, 1), make("val", 60, 2)), make("test", 70, 3)
    fitted = ROBUSTNESS.fit(encoder, *splits, runtime)
    plain = PROBE.fit(encoder, *splits, runtime)
    assert (fitted.stage, fitted.trials, fitted.selected) == (plain.stage, plain.trials, plain.selected)
    assert fitted.train_score == plain.train_score
    name, metric = ("top1", top_k) if make is single_label else ("mAP", mean_average_precision)

    def value(split: Split) -> float:
        rows = plain.predict(split)[plain.stage]
        return metric(rows["scores"], rows["labels"])

    predicted = fitted.predict(test)
    assert list(predicted) == [plain.stage]
    found = {key: m(predicted[plain.stage]) for key, m in ROBUSTNESS.metrics(test).items()}
    each = {c.name: np.mean([value(corrupt(test, c, s)) for s in (1, 2)]) for c in TWO}
    assert found == pytest.approx(
        {f"{name}_corrupted": np.mean(list(each.values())), f"{name}_clean": value(test)}
        | {f"{name}_{key}": mean for key, mean in each.items()}
    )


@pytest.mark.parametrize("make", [single_label, multi_label])
def test_resampled_values_are_those_of_resampled_rows(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    test = make("test", 40, 3)
    splits = make("train", 120, 1), make("val", 60, 2)
    fitted = ROBUSTNESS.fit(small_encoder(), *splits, Runtime(cache=tmp_path))
    rows, metric = fitted.predict(test)[fitted.stage], next(iter(ROBUSTNESS.metrics(test).values()))
    index = resamples(test.digest, 40, 8)
    np.testing.assert_allclose(bootstrap(metric, rows, index), [metric(take(rows, row)) for row in index])


def sided(name: str, examples: int, seed: int) -> Split:
    """The left half is brighter in class 1, the right half in class 0."""
    generator = np.random.default_rng(seed)
    labels = np.arange(examples) % 2
    made = labelled(labels, name)
    made.pixels[:] = generator.integers(40, 60, made.pixels.shape)  # type: ignore[index]
    made.pixels[labels == 1, :, :8] += np.uint8(60)  # type: ignore[index]
    made.pixels[labels == 0, :, 8:] += np.uint8(60)  # type: ignore[index]
    return made


def test_what_a_corruption_wipes_out_is_chance_and_what_it_leaves_is_found(tmp_path: Path) -> None:
    sides = planted("sides", (Stage("sides", 3, 8), lambda x: x[:, :, :, :8].mean((2, 3), keepdim=True)))
    white = Robustness(PROBE, (Brightness(levels=(1e-6, 0.95)),))  # which makes everything white
    fitted = white.fit(sides, sided("train", 200, 1), sided("val", 100, 2), Runtime(cache=tmp_path))
    test = sided("test", 300, 3)
    found = {key: m(fitted.predict(test)["sides"]) for key, m in white.metrics(test).items()}
    assert found == pytest.approx({"top1_corrupted": 0.75, "top1_clean": 1, "top1_brightness": 0.75})


def test_blind_predictors_are_judged_on_corrupted_images_too() -> None:
    labels = np.arange(200) % 2
    train, test = labelled(labels), labelled(labels[:100], "test")
    for split, own in ((train, labels), (test, labels[:100])):
        split.pixels[own == 1] //= 2  # type: ignore[index]
    made = Robustness(PROBE, (Brightness(levels=(1e-6, 0.9)),))
    assert list(made.blind()) == ["label_prior", "rgb_histogram"]
    rows = {name: predictor.fit(train, test, Runtime())(test) for name, predictor in made.blind().items()}
    np.testing.assert_array_equal(rows["label_prior"]["corrupted"], np.full((100, 1, 2), 0.5))
    assert rows["rgb_histogram"]["clean"].all()
    assert rows["rgb_histogram"]["corrupted"][:, 0, 0].all()
    assert rows["rgb_histogram"]["corrupted"][:, 0, 1].mean() < 1
    assert made.metrics(test)["top1_corrupted"](rows["label_prior"]) == 0.5


def test_bad_corruptions_and_labels_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"each once .* got \[\]"):
        Robustness(PROBE, ())
    with pytest.raises(ValueError, match=r"each once .* got \['contrast', 'contrast'\]"):
        Robustness(PROBE, (Contrast(), Contrast(levels=(0.1,))))
    with pytest.raises(ValueError, match=r"equally many levels; .* \[5, 1\] levels"):
        Robustness(PROBE, (Brightness(), Contrast(levels=(0.1,))))
    fitted = ROBUSTNESS.fit(
        one_hot_label(), single_label("train", 100, 1), single_label("val", 50, 2), Runtime(cache=tmp_path)
    )
    with pytest.raises(ValueError, match=f"example 6 has label 6; train has {CLASSES} classes"):
        fitted.predict(labelled(np.array([0, 1, 2, 3, 4, 0, 6]), "test"))
