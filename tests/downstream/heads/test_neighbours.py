"""Search and vote against a double loop and scikit-learn, whatever the size of the pieces."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from downstream.heads import neighbours
from downstream.heads.neighbours import nearest, vote

CPU = torch.device("cpu")


def made(queries: int = 23, bank: int = 57, width: int = 6, seed: int = 0) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    scale = generator.uniform(0.01, 100, (bank, 1))
    return (
        generator.normal(size=(queries, width)).astype(np.float32),
        (scale * generator.normal(size=(bank, width))).astype(np.float32),
    )


def slow_search(queries: np.ndarray, bank: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The definition, one pair at a time."""
    similarity, index = [], []
    for query in queries.astype(np.float64):
        own = [
            sum(query * row) / math.sqrt(sum(query**2)) / math.sqrt(sum(row**2))
            for row in bank.astype(np.float64)
        ]
        order = sorted(range(len(bank)), key=lambda i, own=own: -own[i])[:k]
        index.append(order)
        similarity.append([own[i] for i in order])
    return np.array(similarity), np.array(index)


@pytest.mark.parametrize(
    ("bank_size", "product"),
    [(neighbours.BANK, neighbours.PRODUCT["cpu"]), (6 * 5, 40), (6 * 100, 57 * 3), (1, 1)],
)
def test_search_is_the_double_loop_in_pieces_of_any_size(
    bank_size: int, product: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BANK", bank_size)
    monkeypatch.setitem(neighbours.PRODUCT, "cpu", product)
    queries, bank = made()
    similarity, index = slow_search(queries, bank, 11)
    found = nearest(queries, bank, 11, CPU)
    np.testing.assert_array_equal(found.rows.numpy(), index)
    np.testing.assert_allclose(found.similarity.numpy(), similarity, atol=1e-6)


def slow_vote(
    similarity: np.ndarray, index: np.ndarray, labels: np.ndarray, classes: int, temperature: float
) -> np.ndarray:
    scores = np.zeros((len(index), classes))
    for m, row in enumerate(index):
        weights = [math.exp(s / temperature) for s in similarity[m]]
        for weight, i in zip(weights, row, strict=True):
            for c in range(classes):
                mine = labels[i] == c if labels.ndim == 1 else labels[i, c]
                scores[m, c] += weight * bool(mine)
        scores[m] /= sum(weights)
    return scores


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_vote_is_the_double_loop(several: bool, temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, bank = made()
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 4, 57)
    if several:
        labels = (generator.random((57, 4)) < 0.4).astype(np.uint8)
    monkeypatch.setattr(neighbours, "VOTES", 100)
    found = nearest(queries, bank, 20, CPU)
    for k in (1, 7, 20):
        scores = vote(found, torch.from_numpy(labels), 4, k, temperature).numpy()
        wanted = slow_vote(*slow_search(queries, bank, k), labels, 4, temperature)
        np.testing.assert_allclose(scores, wanted, atol=2e-5)


def test_scikit_learn_says_the_same() -> None:
    queries, bank = made(200, 500, 12)
    labels = np.random.default_rng(2).integers(0, 7, 500)
    oracle = KNeighborsClassifier(
        15, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / 0.1)
    ).fit(bank, labels)
    scores = vote(nearest(queries, bank, 15, CPU), torch.from_numpy(labels), 7, 15, 0.1).numpy()
    np.testing.assert_allclose(scores, oracle.predict_proba(queries), atol=1e-5)


def test_vote_by_hand() -> None:
    bank = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    found = nearest(np.array([[3, 0]], dtype=np.float32), bank, 3, CPU)
    assert found.rows.tolist() == [[0, 1, 2]]
    assert found.similarity.tolist() == [[1, 0, -1]]
    e = math.e
    total = e + 1 + 1 / e
    scores = vote(found, torch.tensor([1, 0, 1]), 2, 3, 1.0)
    assert scores.tolist()[0] == pytest.approx([1 / total, (e + 1 / e) / total])
    scores = vote(found, torch.tensor([[1, 1], [0, 1], [0, 0]]), 2, 3, 1.0)
    assert scores.tolist()[0] == pytest.approx([e / total, (e + 1) / total])


@pytest.mark.parametrize("bank_size", [neighbours.BANK, 6 * 10])
def test_a_query_of_the_bank_is_not_its_own_neighbour(
    bank_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BANK", bank_size)
    _, bank = made()
    bank[30] = bank[3]  # a twin is no self
    own = np.array([3, 56, 0, 30])
    found = nearest(bank[own], bank, 5, CPU, own)
    for row, i in enumerate(own):
        others = np.delete(np.arange(57), i)
        _, index = slow_search(bank[[i]], bank[others], 5)
        assert sorted(found.rows[row].tolist()) == sorted(others[index[0]])  # twins tie
    assert found.rows[0, 0] == 30
    everything = nearest(bank[own], bank, 57, CPU, own)
    np.testing.assert_array_equal(everything.rows[:, -1].numpy(), own)
    assert torch.isfinite(vote(everything, torch.zeros(57, dtype=torch.int64), 1, 57, 0.07)).all()


def test_length_has_no_say_and_zeros_have_no_direction() -> None:
    queries, bank = made()
    plain = nearest(queries, bank, 9, CPU)
    for factor in (1e-30, 1e25):  # their squares are no float32
        scaled = nearest(queries * np.float32(factor), bank, 9, CPU)
        np.testing.assert_array_equal(plain.rows.numpy(), scaled.rows.numpy())
        np.testing.assert_allclose(plain.similarity.numpy(), scaled.similarity.numpy(), atol=1e-6)
    assert (nearest(np.zeros((1, 6), np.float32), bank, 9, CPU).similarity == 0).all()


def test_bad_input_is_named() -> None:
    queries, bank = made()
    with pytest.raises(ValueError, match="k=58 neighbours of a bank of 57 examples; k must be 1 to 57"):
        nearest(queries, bank, 58, CPU)
    with pytest.raises(ValueError, match="k=0 neighbours"):
        nearest(queries, bank, 0, CPU)
    with pytest.raises(ValueError, match=r"queries are \(23, 5\), the bank \(57, 6\)"):
        nearest(queries[:, :5], bank, 3, CPU)
    with pytest.raises(ValueError, match="no query"):
        nearest(queries[:0], bank, 3, CPU)
    with pytest.raises(ValueError, match="no neighbour but itself"):
        nearest(bank[:1], bank[:1], 1, CPU, np.array([0]))
    for value in (np.nan, np.inf):
        spoiled = bank.copy()
        spoiled[31, 2] = value
        with pytest.raises(ValueError, match="row 31 of the bank is not finite"):
            nearest(queries, spoiled, 3, CPU)
        spoiled = queries.copy()
        spoiled[4, 0] = value
        with pytest.raises(ValueError, match="row 4 of the queries is not finite"):
            nearest(spoiled, bank, 3, CPU)
