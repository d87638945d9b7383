"""Rank, alignment, uniformity and CKA against definitions, hand-worked cases and invariances."""

from pathlib import Path

import numpy as np
import pytest
import torch
from planted import SIZE, constant, planted, single_label, small_encoder
from scipy.spatial.distance import pdist

from downstream.features.pooling import Maps
from downstream.metrics.bootstrap import bootstrap, resamples
from downstream.protocol import Runtime, take
from downstream.representation import hypersphere
from downstream.representation.cka import StageSimilarity, linear_cka, stage_similarity
from downstream.representation.health import (
    COLLAPSED,
    Crop,
    RepresentationHealth,
    effective_rank_share,
    rank_share,
)
from downstream.representation.hypersphere import alignment, uniformity
from pretext.backbones import Stage
from pretext.data.dataset import Split
from pretext.data.split import make_split
from pretext.encoder.spectrum import effective_rank, rankme

HEALTH = RepresentationHealth()


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def rows(features: np.ndarray) -> dict[str, np.ndarray]:
    return {"features": features, "views": features}


def test_ranks_by_hand() -> None:
    assert rankme(np.array([2.0, 2.0, 2.0])) == pytest.approx(3, abs=1e-5)
    assert rankme(np.array([5.0, 0.0, 0.0])) == pytest.approx(1, abs=1e-5)
    assert rankme(np.array([3.0, 1.0])) == pytest.approx(4 / 27**0.25, abs=1e-5)  # H = ln 4 − ¾ ln 3
    assert rankme(np.zeros(3)) == effective_rank(np.zeros(3)) == 0
    assert effective_rank(np.array([3.0, 1.0, 0.0])) == pytest.approx(4 / 27**0.25)
    assert effective_rank(np.ones(7)) == pytest.approx(7)


def test_shares_are_the_definitions_by_singular_values() -> None:
    features = drawn(50, 6) @ np.diag([5, 3, 1, 0.2, 0.01, 0]) + 2
    p = np.linalg.svd(features, compute_uv=False)
    p = p / p.sum() + 1e-7
    assert rank_share(rows(features)) == pytest.approx(np.exp(-(p * np.log(p)).sum()) / 6, rel=1e-5)
    variances = np.linalg.eigvalsh(np.cov(features.T))[1:]  # the sixth is nothing
    q = variances / variances.sum()
    assert effective_rank_share(rows(features)) == pytest.approx(np.exp(-(q * np.log(q)).sum()) / 6)


def test_shares_of_known_representations() -> None:
    white = np.linalg.qr(drawn(200, 8))[0]
    assert rank_share(rows(white)) == pytest.approx(1, abs=1e-4)
    assert effective_rank_share(rows(drawn(5000, 8))) > 0.99
    line = np.outer(drawn(50), drawn(8, seed=1))
    assert rank_share(rows(line)) == pytest.approx(1 / 8, rel=1e-4)
    assert effective_rank_share(rows(line)) == pytest.approx(1 / 8, rel=1e-6)
    far = drawn(500, 8) + 1000 * np.eye(8)[0]  # an offset is a direction to RankMe alone
    assert rank_share(rows(far)) < 0.2
    assert effective_rank_share(rows(far)) > 0.9
    for share in (rank_share, effective_rank_share):
        assert share(rows(1e-3 * far)) == pytest.approx(share(rows(far)), rel=1e-6)


def test_resampled_ranks_are_those_of_resampled_rows() -> None:
    made, index = rows(drawn(40, 5)), resamples("digest", 40, 12)
    for share in (rank_share, effective_rank_share):
        again = [share(take(made, row)) for row in index]
        np.testing.assert_allclose(bootstrap(share, made, index), again, rtol=1e-9)


def test_alignment_by_hand() -> None:
    first = np.array([[2.0, 0], [0, 3.0], [1.0, 1.0]])
    assert alignment(first, 7 * first) == pytest.approx(0)
    assert alignment(first, -first) == pytest.approx(4)
    assert alignment(first[:2], first[1::-1]) == pytest.approx(2)
    assert alignment(np.zeros((2, 3)), np.zeros((2, 3))) == 0


def test_uniformity_is_the_papers_and_has_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    features = drawn(60, 5)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    wanted = np.log(np.exp(-2 * pdist(unit, "sqeuclidean")).mean())
    assert uniformity(features) == pytest.approx(wanted)
    monkeypatch.setattr(hypersphere, "PIECE", 60 * 7)
    assert uniformity(features) == pytest.approx(wanted)
    assert uniformity(np.ones((5, 3))) == pytest.approx(0, abs=1e-9)
    assert uniformity(np.array([[1.0, 0], [-1.0, 0]])) == pytest.approx(-8)  # two images are no distribution
    assert -4 < uniformity(drawn(2000, 400)) < -3.9
    with pytest.raises(ValueError, match="uniformity is of pairs of images; there are 1"):
        uniformity(np.ones((1, 3)))


def test_crops_are_parts_of_the_image_and_all_of_it_where_asked() -> None:
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] / 31
    image = np.stack([x, y, np.full_like(x, 0.5)], 2)
    widths, mirrored = [], 0
    for _ in range(300):
        found = Crop((0.2,))(image, 0.2, generator)
        assert found.shape == image.shape
        along, down = found[16, :, 0], found[:, 16, 1]
        mirrored += along[0] > along[-1]
        widths.append(np.ptp(along) * np.ptp(down))  # the share of the area, but for the border
        assert (np.diff(down) >= 0).all()
        assert np.allclose(found[..., 2], 0.5, atol=1 / 255)
    assert 110 < mirrored < 190
    assert 0.1 < min(widths) < 0.25
    assert 0.9 < max(widths) <= 1


def textured(name: str, examples: int, seed: int) -> Split:
    """Images of one random colour each."""
    colours = np.random.default_rng(seed).integers(0, 256, (examples, 1, 1, 3), dtype=np.uint8)
    return make_split(name, np.broadcast_to(colours, (examples, SIZE, SIZE, 3)).copy())


def measured(encoder, runtime: Runtime) -> tuple[dict[str, float], float]:  # type: ignore[no-untyped-def]
    fitted = HEALTH.fit(encoder, textured("train", 80, 1), textured("val", 40, 2), runtime)
    test = textured("test", 60, 3)
    values = {n: metric(fitted.predict(test)[fitted.stage]) for n, metric in HEALTH.metrics(test).items()}
    return values, fitted.train_score


def test_a_collapsed_representation_is_seen_and_is_what_others_are_read_against(tmp_path: Path) -> None:
    values, train = measured(constant(), Runtime(cache=tmp_path))
    assert values == pytest.approx(
        {"RankMe": 1 / 4, "effective_rank": 0, "alignment": 1, "uniformity": 0}, abs=1e-5
    )
    assert train == pytest.approx(1 / 4, abs=1e-5)
    test = textured("test", 30, 3)
    blind = HEALTH.blind()["collapsed"].fit(test, test, Runtime())(test)
    values = {name: metric(blind) for name, metric in HEALTH.metrics(test).items()}
    wanted = {"RankMe": 1 / COLLAPSED, "effective_rank": 0, "alignment": 1, "uniformity": 0}
    assert values == pytest.approx(wanted, abs=1e-5)


def test_colours_that_no_crop_changes_are_aligned_and_spread(tmp_path: Path) -> None:
    colour = planted("colour", (Stage("colour", 3, 8), lambda x: x.mean((2, 3), keepdim=True) - 127.5))
    values, train = measured(colour, Runtime(cache=tmp_path))
    assert values["alignment"] == pytest.approx(1, abs=1e-6)
    assert values["RankMe"] > 0.9
    assert values["effective_rank"] > 0.9
    assert values["uniformity"] > 0.25
    assert train > 0.9
    position = planted("corner", (Stage("corner", 3, 8), lambda x: x[:, :, :1, :1] - 127.5))
    noise = [single_label(name, 60, seed) for seed, name in enumerate(("train", "val", "test"))]
    fitted = HEALTH.fit(position, *noise[:2], Runtime(cache=tmp_path))
    made = fitted.predict(noise[2])["corner"]
    assert HEALTH.metrics(noise[2])["alignment"](made) < 0.8  # a crop has another corner


def test_the_last_stage_is_measured_unless_another_is_named(tmp_path: Path) -> None:
    splits, runtime = (textured("train", 30, 1), textured("val", 20, 2)), Runtime(cache=tmp_path)
    encoder = small_encoder()
    assert HEALTH.fit(encoder, *splits, runtime).stage == encoder.stage_names[-1]
    fitted = RepresentationHealth(stage="conv2").fit(encoder, *splits, runtime)
    assert list(fitted.predict(splits[1])) == ["conv2"]
    assert fitted.trials[0].val == pytest.approx(rank_share(fitted.predict(splits[1])["conv2"]))
    with pytest.raises(ValueError, match="no stage 'conv9'"):
        RepresentationHealth(stage="conv9").fit(encoder, *splits, runtime)
    for crop in (0.0, 1.5):
        with pytest.raises(ValueError, match=r"crop=.*; expected a share in \(0, 1\]"):
            RepresentationHealth(crop=crop)


def slow_cka(x: np.ndarray, y: np.ndarray) -> float:
    """By HSIC of the centred Gram matrices, as the paper defines it."""
    n = len(x)
    centre = np.eye(n) - 1 / n

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        return float(np.trace(k @ centre @ m @ centre)) / (n - 1) ** 2

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


@pytest.mark.parametrize(("n", "d", "e"), [(40, 5, 7), (10, 30, 20), (10, 3, 50), (2, 1, 1)])
def test_cka_is_its_definition_by_either_way(n: int, d: int, e: int) -> None:
    x, y = drawn(n, d) + 3, drawn(n, e, seed=1) - 1
    y[:, 0] += 2 * x[:, 0]
    assert linear_cka(x, y) == pytest.approx(slow_cka(x, y))
    assert linear_cka(y, x) == pytest.approx(linear_cka(x, y))


def test_cka_by_hand_and_its_invariances() -> None:
    x = drawn(300, 6)
    turn = np.linalg.qr(drawn(6, 6, seed=2))[0]
    assert linear_cka(x, 1e200 * (x @ turn) + 5e200) == pytest.approx(1)
    assert linear_cka(x, x * [1, 1, 1, 1, 1, 100]) < 0.7
    assert linear_cka(x, drawn(300, 6, seed=3)) < 0.05
    orthogonal = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=float)
    assert linear_cka(orthogonal[:, :1], orthogonal[:, 1:]) == pytest.approx(0)
    assert linear_cka(orthogonal, orthogonal[:, :1]) == pytest.approx(1 / np.sqrt(2))


def test_stages_of_two_encoders(tmp_path: Path) -> None:
    images, runtime = single_label("test", 40, 0), Runtime(cache=tmp_path)
    first, second = small_encoder(0), small_encoder(1, widths=(4, 8, 8, 8, 12))
    same = stage_similarity(first, first, images, runtime)
    np.testing.assert_allclose(np.diag(same.values), 1)
    np.testing.assert_allclose(same.values, same.values.T)
    other = stage_similarity(first, second, images, runtime)
    assert other.values.shape == (len(first.stage_names), len(second.stage_names))
    assert other.first == first.stage_names
    assert ((other.values > 0) & (other.values < 1)).all()
    with torch.no_grad():
        pixels = torch.from_numpy(images.pixels[:]).permute(0, 3, 1, 2) / 255
        maps = [encoder(pixels).maps["conv2"].flatten(1).numpy() for encoder in (first, second)]
    whole = stage_similarity(first, second, images, runtime, Maps(half=False))
    i = first.stage_names.index("conv2")
    assert whole.values[i, i] == pytest.approx(slow_cka(*(m.astype(float) for m in maps)), rel=1e-4)


def test_the_report_is_a_table() -> None:
    made = StageSimilarity(("a", "b"), ("x", "y", "z"), np.array([[1, 0.5, 0], [0.123, 0.456, 0.789]]))
    assert made.markdown().splitlines() == [
        "| CKA | x | y | z |",
        "|---|---|---|---|",
        "| a | 1.00 | 0.50 | 0.00 |",
        "| b | 0.12 | 0.46 | 0.79 |",
    ]


def test_features_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x has 5 rows, y 6"):
        linear_cka(drawn(5, 2), drawn(6, 2))
    with pytest.raises(ValueError, match="CKA: y: its features are the same for all 5 images"):
        linear_cka(drawn(5, 2), np.full((5, 3), 0.3))
    spoiled = drawn(5, 2)
    spoiled[3, 1] = np.nan
    with pytest.raises(ValueError, match="CKA: x: the feature of example 3 is not finite"):
        linear_cka(spoiled, drawn(5, 2))
    with pytest.raises(ValueError, match="stage 'constant': its features are the same for all 20 images"):
        stage_similarity(small_encoder(), constant(), single_label("test", 20, 0), Runtime(cache=tmp_path))
