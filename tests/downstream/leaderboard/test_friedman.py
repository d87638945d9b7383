"""Mean ranks over data sets, as Demšar's paper, scipy and scikit-posthocs have them."""

from __future__ import annotations

import numpy as np
import pytest
from made_board import COLUMNS, benchmark, one
from numpy.typing import NDArray
from scipy import stats

from downstream.judge.records import Record
from downstream.leaderboard.board import Column
from downstream.leaderboard.captions import how_to_read
from downstream.leaderboard.friedman import cliques, critical_difference, mean_ranks, range_quantile
from downstream.leaderboard.image_sets import image_sets
from downstream.leaderboard.tables import build
from downstream.leaderboard.tidy import cells_frame

AUC = """
.763 .768 .771 .798  .599 .591 .590 .569  .954 .971 .968 .967  .628 .661 .654 .657  .882 .888 .886 .898
.936 .931 .916 .931  .661 .668 .609 .685  .583 .583 .563 .625  .775 .838 .866 .875  1.000 1.000 1.000 1.000
.940 .962 .965 .962  .619 .666 .614 .669  .972 .981 .9751 .975  .957 .978 .946 .970
"""
"""Table 6 of Demšar (2006): AUC of C4.5 with and without two parameters tuned, on 14 data sets."""
SCORES = np.array(
    [
        [0.1, 0.4, 1.5, 1.4, 1.9], [0.4, 1.8, 1.8, 0.6, 1.1], [-0.6, 0.5, -1.4, 1.1, 1.2],
        [-0.7, 0.0, 0.6, 1.7, 3.4], [-0.1, 1.9, 0.2, 1.7, 3.3], [0.1, -0.2, 0.0, 0.8, 2.6],
        [-1.0, 0.3, 0.7, 1.8, 2.6], [0.4, -0.2, 0.8, 2.1, 3.9],
    ]
)  # fmt: skip


def ranked(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(stats.rankdata(-scores, axis=1))


def test_the_example_of_demsar() -> None:
    found = mean_ranks(ranked(np.array(AUC.split(), dtype=float).reshape(14, 4)))
    np.testing.assert_allclose(found.means, [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    assert found.difference == pytest.approx(1.25, abs=0.005)
    assert found.sets == 14


def test_critical_values_are_those_of_demsars_table() -> None:
    table = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    assert [range_quantile(k) / np.sqrt(2) for k in range(2, 11)] == pytest.approx(table, abs=1e-3)


@pytest.mark.parametrize("count", [2, 5, 30])
def test_the_range_of_normal_variates_is_scipys(count: int) -> None:
    assert range_quantile(count) == pytest.approx(stats.studentized_range.ppf(0.95, count, np.inf), rel=1e-5)


@pytest.mark.parametrize("scores", [SCORES, SCORES.round(0), np.random.default_rng(1).normal(size=(6, 3))])
def test_friedmans_statistic_is_scipys_with_ties_and_without(scores: NDArray[np.float64]) -> None:
    found = mean_ranks(ranked(scores))
    assert found.chi2 == pytest.approx(stats.friedmanchisquare(*scores.T).statistic)
    sets, rows = scores.shape
    f = (sets - 1) * found.chi2 / (sets * (rows - 1) - found.chi2)
    assert (found.f, found.p) == pytest.approx((f, stats.f.sf(f, rows - 1, (rows - 1) * (sets - 1))))


def test_pairs_below_the_critical_difference_are_those_of_scikit_posthocs() -> None:
    """p-values of `posthoc_nemenyi_friedman` of scikit-posthocs 0.17.1 of the same scores."""
    p = {
        (0, 1): 0.759571, (0, 2): 0.458838, (0, 3): 0.084101, (0, 4): 0.000379, (1, 2): 0.989665,
        (1, 3): 0.663593, (1, 4): 0.028417, (2, 3): 0.908062, (2, 4): 0.102135, (3, 4): 0.509525,
    }  # fmt: skip
    found = mean_ranks(ranked(SCORES))
    for (i, j), own in p.items():
        assert (abs(found.means[i] - found.means[j]) > found.difference) == (own < 0.05)


def test_no_spread_and_complete_agreement() -> None:
    level = mean_ranks(np.full((7, 3), 2.0))
    assert (level.chi2, level.p) == (0.0, 1.0)
    alike = mean_ranks(np.tile([1.0, 2.0, 3.0], (7, 1)))
    assert (alike.chi2, alike.f, alike.p) == (14.0, np.inf, 0.0)


def test_cliques_by_hand() -> None:
    assert cliques([3.0, 1.0, 1.5, 4.2], 1.6) == [(1, 2), (2, 0), (0, 3)]
    assert cliques([3.0, 1.0, 1.5, 4.2], 2.0) == [(1, 2, 0), (0, 3)]
    assert cliques([1.0, 3.0], 1.0) == []


def on_sets(names: list[str], **fields: object) -> list[Record]:
    return [record for name in names for record in benchmark(3, name, **fields)]


def test_labels_of_one_image_set_are_one_data_set() -> None:
    columns = build(on_sets(["voc07", "coco", "cifar10"])).columns
    assert set(image_sets(columns).values()) == {"voc", "coco", "cifar10"}
    assert image_sets([c for c in columns if c.data == "voc07"]) == {
        c: "voc" for c in columns if c.data == "voc07"
    }

    def column(data: str, test: str) -> Column:
        return columns[0]._replace(data=data, splits=(("test", test), ("train", "shared")))

    # Images under two names, and through a third the others: a–b by one test set, b–c by another.
    chain = [column("a", "1"), column("b", "1"), column("b", "2"), column("c", "2"), column("d", "3")]
    for order in (chain, chain[::-1], [chain[i] for i in (3, 0, 4, 2, 1)]):
        found = image_sets(order)
        assert [found[own] for own in chain] == ["a", "a", "a", "a", "d"]
    names = ["tiny_imagenet", "m", "imagenette", "m"]
    loop = [column(name, test) for name, test in zip(names, "1122", strict=True)]
    assert set(image_sets(loop).values()) == {"imagenet"}


SIX = [f"set{i}" for i in range(6)]


def test_below_six_independent_data_sets_there_are_no_mean_ranks() -> None:
    for names in (SIX[:5], [*SIX[:5], "voc07", "voc07_segmentation"][1:]):
        board = build(on_sets(names))
        assert board.groups[0].over_sets is None
        assert all(row.rank is None for row in board.groups[0].rows)
        assert not any("Friedman" in note for note in how_to_read(board))


def test_from_six_on_mean_ranks_are_tested() -> None:
    records = on_sets(SIX)
    turned = {"random": 0.1, "supervised": 0.9, "rotation": 0.5, "colorization": 0.4, "autoencoder": 0.6}
    records = [r for r in records if r.evaluation.data != "set5"]
    records += [one(p, *c, 0, "set5", value=value) for c in COLUMNS for p, value in turned.items()]
    board = build(records)
    found = board.groups[0].over_sets
    assert found is not None
    assert found.sets == 6
    ranks = {row.label: row.rank for row in board.groups[0].pretext}
    assert ranks == {
        "colorization": pytest.approx((5 * 1 + 3) / 6),
        "rotation": pytest.approx((5 * 2 + 2) / 6),
        "autoencoder": pytest.approx((5 * 3 + 1) / 6),
    }
    assert found.means.tolist() == [ranks[row.label] for row in board.groups[0].pretext]
    assert (
        found.difference
        == pytest.approx(critical_difference(3, 6))
        == pytest.approx(2.343 * np.sqrt(12 / 36), abs=1e-3)
    )
    (note,) = (note for note in how_to_read(board) if "Friedman" in note)
    assert "mean over 6 independent image sets" in note
    assert "(2, 10 df)" in note
    assert set(cells_frame(board).mean_rank.dropna()) == set(ranks.values())
