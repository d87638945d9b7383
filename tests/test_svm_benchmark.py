"""The two sides of the SVM benchmark solve the same problems, and agree within its limits."""

from benchmarks.svm import FOLDS, LIMITS, batched, by_cost, features, loop, random_encoder, tasks_of
from pretext.data.dataset import DataSet


def test_both_sides_solve_the_same_problems(few_scenes: DataSet) -> None:
    rows, labels = features(few_scenes.train, random_encoder(few_scenes.train), 400, "conv3")
    tasks = tasks_of(labels)
    assert len(tasks) == FOLDS * labels.shape[1]
    kept = [0, len(tasks) - 1]
    _, ours = batched(rows, tasks, kept)
    part, theirs = loop(rows, tasks, kept)
    assert part.cpu > 0
    for row in by_cost(ours, theirs):
        assert row["objective, largest relative excess"] < LIMITS["objective"], row
        if row["loop converged"]:
            assert row["average precision, largest difference"] < 0.05, row  # few images, one swap counts
