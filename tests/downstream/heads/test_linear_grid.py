"""The batched linear heads against scikit-learn, one by one, and under rescaling."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from downstream.heads import linear_grid
from downstream.heads.linear_grid import LinearGrid, Setting, Standardisation, _softmax
from downstream.protocol import Trial
from downstream.selection import at_edge, best

CPU = torch.device("cpu")


def blobs(examples: int = 300, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Four overlapping classes in eight dimensions of very different scale."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, examples)
    centres = np.random.default_rng(1).normal(size=(4, 8))
    features = centres[labels] + 1.5 * generator.normal(size=(examples, 8))
    return (features * 10.0 ** np.arange(-3, 5) + 3).astype(np.float32), labels.astype(np.int64)


def multi_hot(labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.stack([labels == 0, labels >= 2, labels != 3], 1).astype(np.uint8)


def test_a_budget_has_a_least_number_of_steps() -> None:
    features, labels = blobs(25)
    few = LinearGrid(lrs=(0.1,), weight_decays=(0.0,), epochs=2, batch_size=10)  # three steps a pass
    for least, steps in ((0, 6), (6, 6), (7, 7), (30, 30)):
        calls: list[tuple[int, int]] = []
        grid = replace(few, least_steps=least)
        heads = grid.fit(features, labels, 4, CPU, 0, lambda *call, calls=calls: calls.append(call))
        assert calls[-1] == (steps, steps)
        assert len(calls) == steps
    longer = replace(few, epochs=10).fit(features, labels, 4, CPU, 0)
    assert torch.equal(heads.weight, longer.weight)  # 30 steps, however they are asked for
    with pytest.raises(ValueError, match="LinearGrid: least_steps=-1"):
        LinearGrid(least_steps=-1)


@pytest.mark.parametrize("decay", [1e-2, 1e-1])
def test_softmax_heads_reach_scikit_learns_optimum(decay: float) -> None:
    features, labels = blobs()
    grid = LinearGrid(lrs=(0.1,), weight_decays=(decay,), epochs=600, batch_size=300)
    head = grid.fit(features, labels, 4, CPU, seed=0).select(0)
    standard = (features - features.mean(0)) / features.std(0)
    truth = LogisticRegression(C=1 / (decay * len(labels)), tol=1e-8, max_iter=2000).fit(standard, labels)
    wanted = truth.decision_function(standard)
    found = head.logits(features)
    # Softmax does not feel a shift of all logits.
    np.testing.assert_allclose(
        found - found.mean(1, keepdims=True), wanted - wanted.mean(1, keepdims=True), atol=0.02
    )


def test_sigmoid_heads_reach_scikit_learns_optimum() -> None:
    features, labels = blobs()
    targets, decay = multi_hot(labels), 1e-2
    grid = LinearGrid(lrs=(0.1,), weight_decays=(decay,), epochs=600, batch_size=300)
    found = grid.fit(features, targets, 3, CPU, seed=0).select(0).logits(features)
    standard = (features - features.mean(0)) / features.std(0)
    for c in range(3):
        truth = LogisticRegression(C=1 / (decay * len(labels)), tol=1e-8, max_iter=2000)
        wanted = truth.fit(standard, targets[:, c]).decision_function(standard)
        np.testing.assert_allclose(found[:, c], wanted, atol=0.02)


@pytest.mark.parametrize("several", [False, True])
def test_a_grid_trains_each_setting_as_if_alone(several: bool) -> None:
    features, labels = blobs()
    targets = multi_hot(labels) if several else labels
    classes = 3 if several else 4
    grid = LinearGrid(lrs=(1e-3, 1e-2), weight_decays=(0.0, 1e-2, 1.0), epochs=3, batch_size=64)
    together = grid.fit(features, targets, classes, CPU, seed=5)
    assert grid.settings[4] == Setting(1e-2, 1e-2)
    for p, setting in enumerate(grid.settings):
        alone = replace(grid, lrs=(setting.lr,), weight_decays=(setting.weight_decay,))
        single = alone.fit(features, targets, classes, CPU, seed=5).select(0)
        np.testing.assert_allclose(
            together.select(p).logits(features), single.logits(features), rtol=1e-4, atol=1e-4
        )


def test_heads_do_not_feel_positive_scales_nor_offsets_of_channels() -> None:
    features, labels = blobs()
    grid = LinearGrid(epochs=3)
    plain = grid.fit(features, labels, 4, CPU, seed=0).select(3).logits(features)
    changed = (features * np.float32([1e-6, 1e3, 7, 1, 1e-2, 3, 1e5, 2])).astype(np.float32)
    scaled = grid.fit(changed, labels, 4, CPU, seed=0).select(3).logits(changed)
    np.testing.assert_allclose(scaled, plain, rtol=1e-3, atol=1e-3)


def correlated(examples: int = 2000) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features that share one strong direction, as an encoder's channels do; the class is in the rest."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, examples)
    rest = 0.05 * (
        np.random.default_rng(1).normal(size=(4, 16))[labels] + generator.normal(size=(examples, 16))
    )
    return (generator.normal(size=(examples, 1)) + rest).astype(np.float32), labels.astype(np.int64)


def test_principal_axes_shorten_the_way_to_the_same_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = correlated()
    decay = 1e-3
    standard = (features - features.mean(0)) / features.std(0)
    truth = LogisticRegression(C=1 / (decay * len(labels)), tol=1e-8, max_iter=5000).fit(standard, labels)
    grid = LinearGrid(lrs=(0.1,), weight_decays=(decay,), epochs=10, batch_size=200)
    along = grid.fit(features, labels, 4, CPU, seed=0).select(0).logits(features)
    monkeypatch.setattr(linear_grid, "ROTATED", 0)
    plain = grid.fit(features, labels, 4, CPU, seed=0).select(0).logits(features)
    best_possible = truth.score(standard, labels)
    assert (along.argmax(1) == labels).mean() > best_possible - 0.02
    assert (plain.argmax(1) == labels).mean() < best_possible - 0.06


def test_constant_channels_count_for_nothing() -> None:
    features, labels = blobs()
    more = np.concatenate([features, np.full((len(features), 2), 0.3, np.float32)], 1)
    grid = LinearGrid(epochs=2)
    with_them = grid.fit(more, labels, 4, CPU, seed=0)
    np.testing.assert_allclose(
        with_them.select(0).logits(more),
        grid.fit(features, labels, 4, CPU, seed=0).select(0).logits(features),
        atol=1e-3,
    )
    scaling = Standardisation.of(more, CPU)
    assert scaling.inverse[-2:].tolist() == [0.0, 0.0]


def test_standardisation_is_numpys_in_any_number_of_pieces() -> None:
    features = np.random.default_rng(0).normal(3, 5, (9001, 3)).astype(np.float32)
    scaled = Standardisation.of(features, CPU)(torch.from_numpy(features))
    wanted = (features - features.mean(0, dtype=np.float64)) / features.std(0, dtype=np.float64)
    np.testing.assert_allclose(scaled, wanted, atol=1e-5)


def test_examples_without_label_do_not_move_the_head() -> None:
    features, labels = blobs()
    grid = LinearGrid(lrs=(1e-2,), weight_decays=(1e-3,), epochs=60, batch_size=len(features))
    kept = np.arange(len(labels)) % 3 > 0
    labels = np.where(kept, labels, -1)
    some = grid.fit(features, labels, 4, CPU, seed=0)
    # Standardisation sees the same rows both times: the unlabelled are given again as further rows.
    other = features.copy()
    other[~kept] = features[~kept][::-1]
    again = grid.fit(other, labels, 4, CPU, seed=0)
    torch.testing.assert_close(some.weight, again.weight, atol=1e-4, rtol=1e-3)
    nothing = grid.fit(features, np.full_like(labels, -1), 4, CPU, seed=0)
    assert nothing.weight.abs().max() == 0


def test_heads_start_from_the_share_of_each_class() -> None:
    _, labels = blobs()
    blank = np.zeros((len(labels), 2), dtype=np.float32)
    grid = LinearGrid(lrs=(1e-9,), weight_decays=(0.0,), epochs=1)
    softmax = grid.fit(blank, labels, 4, CPU, seed=0).select(0).logits(blank)[0]
    share = np.bincount(labels) / len(labels)
    np.testing.assert_allclose(np.exp(softmax) / np.exp(softmax).sum(), share, atol=0.01)
    sigmoid = grid.fit(blank, multi_hot(labels), 3, CPU, seed=0).select(0).logits(blank)[0]
    np.testing.assert_allclose(1 / (1 + np.exp(-sigmoid)), multi_hot(labels).mean(0), atol=0.01)


def test_values_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"LinearGrid: lrs=\(\) is out of range"):
        LinearGrid(lrs=())
    with pytest.raises(ValueError, match="weight_decays"):
        LinearGrid(weight_decays=(-1.0,))
    with pytest.raises(ValueError, match="epochs=0"):
        LinearGrid(epochs=0)


def trial(val: float, lr: float, decay: float = 0.0, stage: str = "a") -> Trial:
    return Trial(stage, {"lr": lr, "weight_decay": decay}, val)


def test_best_is_the_first_of_equal_trials() -> None:
    assert best([trial(0.2, 1), trial(0.7, 2), trial(0.7, 3)]).setting["lr"] == 2


def test_edge_is_flagged_only_where_the_grid_was_too_short() -> None:
    trials = [trial(0.1, 1), trial(0.2, 2), trial(0.3, 3)]
    assert at_edge(trials, trials[2], 100) == ("lr",)
    assert at_edge(trials, trials[1], 100) == ()
    # A value inside does as well: a longer grid would change nothing.
    flat = [trial(0.3, 1), trial(0.3, 2), trial(0.3, 3)]
    assert at_edge(flat, flat[0], 10**9) == ()
    # Nothing lies below a decay of zero; other stages do not count; one value is no grid.
    decays = [trial(0.5, 1, 0.0), trial(0.3, 1, 0.1), trial(0.2, 1, 1.0), trial(0.9, 7, 9.0, stage="b")]
    assert at_edge(decays, decays[0], 100) == ()
    assert at_edge(decays, trial(0.2, 1, 1.0), 100) == ()
    rising = [trial(0.1, 1, 0.0), trial(0.3, 1, 0.1), trial(0.5, 1, 1.0)]
    assert at_edge(rising, rising[2], 100) == ("weight_decay",)
    pair = [trial(0.1, 1), trial(0.3, 2)]  # two values are ends both
    assert at_edge(pair, pair[1], 100) == ("lr",)


def test_an_end_is_flagged_only_where_val_can_tell_that_it_is_better() -> None:
    # The standard error of .3 on 84 examples is √(.3 · .7 / 84) = .05.
    trials = [trial(0.1, 1), trial(0.251, 2), trial(0.3, 3)]
    assert at_edge(trials, trials[2], 84) == ()
    assert at_edge(trials, trials[2], 85 * 85) == ("lr",)
    better = [trial(0.1, 1), trial(0.249, 2), trial(0.3, 3)]
    assert at_edge(better, better[2], 84) == ("lr",)
    # The other end says as well that the parameter does not matter.
    ends = [trial(0.29, 1), trial(0.2, 2), trial(0.3, 3)]
    assert at_edge(ends, ends[2], 84) == ()
    # From the map's own size on no grid is finer.
    pools = [Trial("a", {"pool": pool}, val) for pool, val in ((1, 0.1), (2, 0.2), (4, 0.9))]
    assert at_edge(pools, pools[2], 10**6, {"pool": 4}) == ()
    assert at_edge(pools, pools[2], 10**6, {"pool": 5}) == ("pool",)


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_softmax_of_few_classes_is_torchs(classes: int) -> None:
    logits = 30 * torch.randn(7, 3, classes, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(_softmax(logits), logits.softmax(2))


def rare(examples: int, channels: int, seed: int = 0) -> NDArray[np.float32]:
    """Features most of which are 0 for every example, as a small set's from a wide stage."""
    draw = np.random.default_rng(seed)
    shown = draw.random((1, channels)) < 0.3
    return (np.maximum(draw.normal(size=(examples, channels)), 0) * shown).astype(np.float32)


def colours(examples: int, bins: int) -> NDArray[np.float32]:
    draw = np.random.default_rng(0)
    counts = np.stack([np.bincount(draw.integers(0, bins, 20), minlength=bins) for _ in range(examples)])
    return (counts / 20).astype(np.float32)


FEW_OF_WIDE = {
    "wide": rare(25, 192),
    "one image a class": rare(3, 256),
    "two": rare(2, 64),
    "colours of 25": colours(25, 512),
    "each thrice": np.repeat(rare(8, 320), 3, axis=0),
    "each channel ten times": np.tile(rare(20, 30), (1, 10)),
}


@pytest.mark.parametrize("name", FEW_OF_WIDE)
def test_few_examples_of_many_channels_are_separated(name: str) -> None:
    features = FEW_OF_WIDE[name]
    labels = np.arange(len(features)) // (3 if name == "each thrice" else 1) % 3
    grid = LinearGrid(lrs=(0.1,), weight_decays=(1e-4,), epochs=60)
    found = grid.fit(features, labels, 3, CPU, seed=0).select(0).logits(features)
    assert (found.argmax(1) == labels).all()


def test_features_that_never_vary_give_the_shares_of_the_classes() -> None:
    labels = np.arange(20) % 4 // 3
    head = LinearGrid(epochs=20).fit(np.ones((20, 300), np.float32), labels, 2, CPU, seed=0).select(0)
    probability = torch.from_numpy(head.logits(np.ones((1, 300), np.float32))).softmax(1)[0]
    assert float(probability[1]) == pytest.approx(0.25, abs=0.03)
