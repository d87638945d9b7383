"""The board: who is compared with whom, who is ranked, what is marked."""

from dataclasses import replace

import numpy as np
import pytest
from made_board import COLUMNS, TRUTH, benchmark, blind, one
from scipy.stats import rankdata

from downstream.judge import provenance
from downstream.judge.records import Record
from downstream.leaderboard import comparison, tables
from downstream.leaderboard.board import Board, Cell, Row, Verdict
from downstream.leaderboard.captions import group_title
from downstream.leaderboard.families import Ranks
from downstream.leaderboard.options import Stated
from downstream.leaderboard.statistics import Kind
from downstream.leaderboard.tables import build
from downstream.leaderboard.tidy import cells_frame, scores_frame


def rows(board: Board) -> dict[str, Row]:
    assert len(board.groups) == 1
    return {row.label: row for row in board.groups[0].rows}


def cells(row: Row) -> list[Cell]:
    return list(row.cells.values())


def without(records: list[Record], pretext: str, task: str) -> list[Record]:
    return [r for r in records if (r.subject.pretext, r.evaluation.task) != (pretext, task)]


def test_a_cell_is_the_mean_over_seeds_of_the_mean_over_draws() -> None:
    made = [
        one("rotation", *COLUMNS[0], seed, "photos", value=value, draw=draw)
        for seed, draw, value in ((0, 0, 0.1), (0, 1, 0.3), (1, 0, 0.6))
    ]
    (cell,) = cells(rows(build(made))["rotation"])
    np.testing.assert_allclose(cell.scores.values, [0.2, 0.6])
    assert (cell.seeds, cell.value) == ((0, 1), pytest.approx(0.4))
    drawn = [np.array(r.result.resampled) for r in made]
    np.testing.assert_allclose(cell.scores.resampled, [(drawn[0] + drawn[1]) / 2, drawn[2]])


def test_sections_and_order() -> None:
    board = build(benchmark() + blind())
    assert [row.label for row in board.groups[0].rows] == [
        "colorization", "rotation", "autoencoder", "random", "supervised",
    ]  # fmt: skip
    assert [row.label for row in board.blind] == ["label_prior"]
    assert all(set(row.cells) == set(board.columns) for row in (*board.groups[0].rows, *board.blind))
    assert [(c.task, c.mode) for c in board.columns] == [
        (task, {"tuned": "fine-tuned"}.get(mode, mode)) for task, mode, _ in COLUMNS
    ]


def test_ranks_and_gains_by_hand() -> None:
    values = {"random": 0.2, "supervised": 0.6, "rotation": 0.5, "colorization": 0.4}
    swapped = values | {"rotation": 0.3, "colorization": 0.5}
    made = [one(p, *COLUMNS[c], 0, "photos", value=v) for c in (0, 1) for p, v in values.items()]
    made += [one(p, *COLUMNS[2], 0, "voc", value=v) for p, v in swapped.items()]
    found = rows(build(made))
    # Two columns of photos count once: ranks (1 + 1)/2 and 2, averaged; shares .75 and .25, .5 and .75.
    assert found["rotation"].place == pytest.approx(1.5)
    assert found["colorization"].place == pytest.approx(1.5)
    assert found["rotation"].gain == pytest.approx((0.75 + 0.25) / 2)
    assert found["colorization"].gain == pytest.approx((0.5 + 0.75) / 2)
    assert list(found)[:2] == ["colorization", "rotation"]
    assert found["random"].place is None


def test_an_incomplete_row_is_not_ranked_and_does_not_move_the_ranks_of_others() -> None:
    found = rows(build(without(benchmark(), "colorization", "detection")))
    assert found["colorization"].covered == (4, 6)
    assert found["colorization"].place is None
    assert [found[name].place for name in ("rotation", "autoencoder")] == [1.0, 2.0]
    assert list(found)[:3] == ["rotation", "autoencoder", "colorization"]


def test_best_and_what_is_not_separated_from_it() -> None:
    near = [replace(r, subject=replace(r.subject, pretext="twinlike", recipe="t")) for r in benchmark()]
    near = [r for r in near if r.subject.run.startswith("colorization")]
    found = rows(build(benchmark() + near))
    assert all(cell.best for cell in cells(found["colorization"]))
    assert all(cell.best for cell in cells(found["twinlike"]))  # equal values: both
    moved = [replace(r, result=replace(r.result, value=r.result.value - 1e-4)) for r in near]
    found = rows(build(benchmark() + moved))
    assert {cell.verdict for cell in cells(found["twinlike"])} == {Verdict.NOT_SEPARATED}
    assert {cell.verdict for cell in cells(found["autoencoder"])} == {Verdict.BELOW}
    assert {cell.verdict for cell in cells(found["supervised"])} == {None}


def test_a_mark_holds_over_the_column_not_over_the_pair() -> None:
    """One row below the best, by so much that a pair tells them apart and a column of many rows does not."""
    rows_of = {"colorization": 0.5, "rotation": 0.4875}

    def made(names: dict[str, float]) -> list[Record]:
        return [
            one(p, *COLUMNS[0], seed, "photos", value=v + 0.005 * (seed - 2), resampled=(v,) * 20)
            for p, v in names.items()
            for seed in range(5)
        ]

    few = rows(build(made(rows_of)))
    assert [cell.verdict for cell in cells(few["rotation"])] == [Verdict.BELOW]
    assert [cell.ranks for row in few.values() for cell in cells(row)] == [Ranks(1, 1, 2), Ranks(2, 2, 2)]
    many = rows(build(made(rows_of | {f"other{i}": 0.3 for i in range(20)})))
    assert [cell.verdict for cell in cells(many["rotation"])] == [Verdict.NOT_SEPARATED]
    assert [cell.ranks for cell in cells(many["rotation"])] == [Ranks(1, 2, 22)]
    assert [cell.ranks for cell in cells(many["other7"])] == [Ranks(3, 22, 22)]


def test_ranks_are_among_the_rows_that_have_seeds_enough() -> None:
    single = [one("jigsaw", *COLUMNS[0], 0, "photos", value=0.9)]
    found = rows(build(benchmark(3) + single))
    column = next(iter(found["jigsaw"].cells))
    assert found["jigsaw"].cells[column].best
    assert found["jigsaw"].cells[column].ranks is None
    assert found["rotation"].cells[column].verdict is Verdict.TOO_FEW
    assert [found[name].cells[column].ranks for name in ("colorization", "rotation", "autoencoder")] == [
        Ranks(1, 1, 3), Ranks(2, 2, 3), Ranks(3, 3, 3),
    ]  # fmt: skip
    assert {cell.ranks for name in ("random", "supervised") for cell in cells(found[name])} == {None}


def test_where_less_is_better_the_least_has_the_first_rank() -> None:
    made = [replace(r, result=replace(r.result, direction="lower")) for r in benchmark(3)]
    found = rows(build(made))
    assert {cell.ranks for cell in cells(found["autoencoder"])} == {Ranks(1, 1, 3)}
    assert {cell.ranks for cell in cells(found["colorization"])} == {Ranks(3, 3, 3)}


def test_gains_over_random_are_one_family_a_column() -> None:
    found = rows(build(benchmark(3)))
    assert {c.gain.separated for c in cells(found["colorization"]) if c.gain} == {True}
    near = [
        one("jigsaw", *column, seed, "photos", value=0.2003 + 0.01 * i + 0.004 * (seed - 1), recipe="j")
        for i, column in enumerate(COLUMNS)
        for seed in range(3)
    ]
    found = rows(build(benchmark(3) + near))
    assert {c.gain.separated for c in cells(found["jigsaw"]) if c.gain} == {False}
    assert {c.gain.separated for c in cells(found["colorization"]) if c.gain} == {True}
    for board in (build(benchmark(2)), build(benchmark(3, "scenes"))):
        assert {c.gain.separated for row in rows(board).values() for c in cells(row) if c.gain} == {None}


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_runs_to_say(seeds: int) -> None:
    found = rows(build(benchmark(seeds)))
    assert {cell.verdict for cell in cells(found["autoencoder"])} == {Verdict.TOO_FEW}
    assert {cell.ranks for cell in cells(found["autoencoder"])} == {None}
    kinds = {cell.interval.kind for cell in cells(found["autoencoder"]) if cell.interval}
    assert kinds == {Kind.IMAGES if seeds == 1 else Kind.SEEDS}


def test_scenes_never_rank() -> None:
    board = build(benchmark(3, "scenes"))
    assert not board.ranked
    for row in board.groups[0].rows:
        assert (row.place, row.rank, row.gain) == (None, None, None)
        assert not any(cell.best or cell.verdict for cell in cells(row))
    assert [row.label for row in board.groups[0].pretext] == ["autoencoder", "colorization", "rotation"]
    mixed = rows(build(benchmark(3, "scenes-128") + benchmark(3)))
    assert mixed["rotation"].place == rows(build(benchmark()))["rotation"].place
    assert mixed["rotation"].gain == rows(build(benchmark()))["rotation"].gain


def test_scores_that_describe_do_not_rank() -> None:
    described = [
        replace(
            r, evaluation=replace(r.evaluation, task="representation", protocol="health", metric="RankMe")
        )
        for r in benchmark()
        if (r.evaluation.task, r.evaluation.protocol) == (COLUMNS[0][0], f"{COLUMNS[0][1]}_{COLUMNS[0][0]}")
    ]
    assert len(described) == 3 * len(TRUTH)
    plain, beside = rows(build(benchmark())), rows(build(benchmark() + described))
    for name in TRUTH:
        assert (beside[name].place, beside[name].gain) == (plain[name].place, plain[name].gain)
        (cell,) = (cell for column, cell in beside[name].cells.items() if column.task == "representation")
        assert not cell.best
        assert cell.verdict is None


def test_twins_are_those_of_the_same_input_network_and_pretraining_images() -> None:
    other = benchmark(pretexts=("colorization",), input="lightness")
    board = build(benchmark() + other)
    by_input = {group.match.input: group for group in board.groups}
    assert all(cell.gain is None for row in by_input["lightness"].rows for cell in cells(row))
    assert all(cell.gain is not None for row in by_input["rgb"].pretext for cell in cells(row))
    for field in ("backbone", "pretraining", "calibration"):
        apart = build(benchmark(pretexts=("random",)) + benchmark(pretexts=("rotation",), **{field: "other"}))
        assert len(apart.groups) == 2, field
    assert all(row.place == 1.0 for row in by_input["lightness"].pretext)


def test_rows_that_see_colour_are_never_among_rows_that_see_lightness() -> None:
    """A control in colour: sections of its own, and no mark, place or gain of the others moves."""
    usual = benchmark(input="lightness")
    better = [
        replace(r, result=replace(r.result, value=r.result.value + 0.1)) for r in benchmark(input="rgb")
    ]
    (alone,), both = build(usual).groups, build(usual + better).groups
    by_input = {group.match.input: group for group in both}
    assert set(by_input) == {"lightness", "rgb"}
    assert len(both) == 2
    assert [group_title(g, both).partition(" · ")[0] for g in both] == ["input lightness", "input rgb"]
    assert len(by_input["rgb"].rows) == len(by_input["lightness"].rows) == len(alone.rows)
    for before, now in zip(alone.rows, by_input["lightness"].rows, strict=True):
        assert (now.label, now.place, now.rank, now.gain) == (
            before.label, before.place, before.rank, before.gain,
        )  # fmt: skip
        marks = [[(c.best, c.verdict, c.ranks) for c in cells(row)] for row in (before, now)]
        assert marks[0] == marks[1]


def test_gains_pair_the_seeds_that_both_have() -> None:
    made = [r for r in benchmark() if not (r.subject.pretext == "random" and r.subject.seed == 2)]
    found = rows(build(made))
    for column, cell in found["rotation"].cells.items():
        low = found["random"].cells[column]
        assert cell.gain is not None
        assert cell.gain.over_random == pytest.approx(cell.scores.values[:2].mean() - low.value)
        assert cell.gain.interval is not None
        assert cell.gain.over_random in cell.gain.interval


def test_a_gain_is_over_the_twin_that_the_row_names() -> None:
    """Which recipe hash is larger decides nothing."""
    column = COLUMNS[0]
    for recipes in (("aaaa", "zzzz"), ("zzzz", "aaaa")):
        own, other = recipes
        made = [
            one("rotation", *column, 0, "photos", value=0.5, twins={"random": "r", "supervised": own}),
            one("random", *column, 0, "photos", value=0.4, recipe="r"),
            one("supervised", *column, 0, "photos", value=0.8, recipe=own),
            one("supervised", *column, 0, "photos", value=0.45, recipe=other),
        ]
        (cell,) = cells(rows(build(made))["rotation"])
        assert cell.gain is not None
        assert cell.gain.over_random == pytest.approx(0.1)
        assert cell.gain.over_supervised == pytest.approx(-0.3)
        gone = [r for r in made if r.subject.recipe != own]
        (cell,) = cells(rows(build(gone))["rotation"])
        assert cell.gain is not None
        assert (cell.gain.over_supervised, cell.gain.share.value) == (None, None)


def test_a_row_that_names_no_twin_has_one_only_where_there_is_one() -> None:
    made = [one(p, *COLUMNS[0], 0, "photos", recipe=r) for p, r in (("rotation", "a"), ("random", "b"))]
    assert cells(rows(build(made))["rotation"])[0].gain is not None
    two = [*made, one("random", *COLUMNS[0], 0, "photos", recipe="c")]
    board = build(two)
    assert cells(rows(board)["rotation"])[0].gain is None
    assert any("Several recipes of random (b, c)" in note and "rotation" in note for note in board.notes)


def test_what_took_no_training_stands_beside_the_rows_of_every_budget() -> None:
    """The gain of a row over random comes from its own budget's table, and budgets are not mixed."""
    made = [
        one(p, *COLUMNS[0], 0, "photos", budget=budget, recipe=f"{p}{budget}", value=value)
        for budget, own in (("4 epochs", (0.5, 0.6)), ("40 epochs", (0.7, 0.9)))
        for p, value in zip(("rotation", "supervised"), own, strict=True)
    ]
    made += [
        one(p, *COLUMNS[0], 0, "photos", budget="", value=value)
        for p, value in (("random", 0.4), ("kmeans_init", 0.45))
    ]
    board = build(made)
    assert [group.match.budget for group in board.groups] == ["4 epochs", "40 epochs"]
    for group, share in zip(board.groups, (0.5, 0.6), strict=True):
        found = {row.label: row for row in group.rows}
        assert set(found) == {"rotation", "kmeans_init", "random", "supervised"}
        (cell,) = cells(found["rotation"])
        assert cell.gain is not None
        assert cell.gain.over_random == pytest.approx(cell.value - 0.4)
        assert (cell.value - 0.4) / (found["supervised"].cells[board.columns[0]].value - 0.4) == (
            pytest.approx(share)
        )
    (alone,) = build([r for r in made if not r.subject.budget]).groups
    assert {row.label for row in alone.rows} == {"random", "kmeans_init"}


@pytest.mark.parametrize(
    "field",
    ["backbone", "input", "pretraining_digest", "budget"],
)
def test_rows_that_differ_in_what_must_be_matched_stand_apart(field: str) -> None:
    """Two widths, two scales of the input, two samples of one set, two budgets."""
    made = benchmark(pretexts=("rotation", "supervised")) + benchmark(
        pretexts=("colorization",), **{field: "other"}
    )
    board = build(made)
    assert len(board.groups) == 2
    assert all(row.place == 1.0 for group in board.groups for row in group.pretext)
    assert len({group_title(group, board.groups) for group in board.groups}) == 2


def test_coverage_counts_columns_that_rank_and_rows_that_compete() -> None:
    complete = rows(build(benchmark()))
    health = [
        replace(r, evaluation=replace(r.evaluation, task="representation", protocol="health", digest="h"))
        for r in benchmark(pretexts=("colorization",))[:3]
    ]
    scenes = benchmark(pretexts=("rotation",), data="scenes")
    twins = benchmark(pretexts=("supervised",), data="voc")
    for more in (health, scenes, twins):
        found = rows(build(benchmark() + more))
        for name in ("colorization", "rotation", "autoencoder"):
            assert found[name].covered == (6, 6)
            assert found[name].place == complete[name].place
            assert found[name].gain == complete[name].gain


def test_settings_of_one_protocol_count_as_one() -> None:
    """By hand: the second setting of one protocol does not outweigh the other protocol."""
    made = []
    for settings, options, values in (
        ("x", {"class": "LinearProbe", "pools": [1], "grid": {"epochs": 20}}, (0.3, 0.4)),
        ("y", {"class": "LinearProbe", "pools": [1.0], "grid": {"epochs": 5}}, (0.3, 0.4)),
    ):
        made += [
            one(p, *COLUMNS[0], 0, "photos", settings=settings, options=options, value=v)
            for p, v in zip(("rotation", "colorization"), values, strict=True)
        ]
    made += [one(p, *COLUMNS[2], 0, "photos", value=v) for p, v in (("rotation", 0.6), ("colorization", 0.5))]
    board = build(made)
    assert [row.place for row in board.groups[0].rows] == [1.5, 1.5]
    assert sorted(board.options.values()) == ["grid.epochs=20", "grid.epochs=5"]


def test_resamples_that_define_nothing_are_left_out_of_every_row_alike() -> None:
    """By hand: what is left pairs up, so that a difference of .1 in every resample has no width."""
    draws = {"rotation": (0.5, None, 0.7, 0.6), "random": (0.4, 0.9, 0.6, 0.5)}
    made = [one(p, *COLUMNS[0], 0, "photos", value=v[0], resampled=v) for p, v in draws.items()]
    found = rows(build(made))
    (cell,), (low,) = cells(found["rotation"]), cells(found["random"])
    np.testing.assert_allclose(cell.scores.resampled, [[0.5, 0.7, 0.6]])
    np.testing.assert_allclose(low.scores.resampled, [[0.4, 0.6, 0.5]])
    assert cell.interval is not None
    assert cell.gain is not None
    assert cell.gain.interval is not None
    assert cell.gain.interval.half == pytest.approx(0)
    nothing = one("rotation", *COLUMNS[0], 0, "photos", resampled=(None, None, 0.5))
    (alone,) = cells(rows(build([nothing]))["rotation"])
    assert alone.interval is None


def test_a_flag_of_one_seed_is_not_said_of_all() -> None:
    made = [
        one("rotation", *COLUMNS[0], seed, "photos", flags=flags)
        for seed, flags in ((0, ("at_edge:lr", "selected_on_test")), (1, ("at_edge:lr",)))
    ]
    (cell,) = cells(rows(build(made))["rotation"])
    assert cell.flags == {"at_edge:lr": 1.0, "selected_on_test": 0.5}


def test_a_changed_recipe_is_a_row_of_its_own_and_changed_settings_a_column() -> None:
    made = [one("rotation", *COLUMNS[0], s, "photos", recipe=r) for s in (0, 1) for r in ("aaaaa", "bbbbb")]
    assert set(rows(build(made))) == {"rotation aaaa", "rotation bbbb"}
    made = [one("rotation", *COLUMNS[0], 0, "photos", settings=s) for s in ("x", "y")]
    assert len(build(made).columns) == 2


def test_the_newest_of_two_records_of_one_run_counts_and_the_other_is_told_of() -> None:
    old = one("rotation", *COLUMNS[0], 0, "photos", value=0.1, utc="2026-01-01T00:00:00Z")
    new = one("rotation", *COLUMNS[0], 0, "photos", value=0.2, utc="2026-01-02T00:00:00Z")
    board = build([new, old])
    assert [cell.value for cell in cells(rows(board)["rotation"])] == [0.2]
    assert "1 records were left out" in board.notes[0]


def test_stages_that_were_not_selected_are_in_the_curve_alone() -> None:
    stages = (("stem", 0.1, False), ("layer1", 0.4, True), ("layer2", 0.3, False))
    made = [
        one("rotation", *COLUMNS[0], seed, "photos", digest=f"{seed}", stage=s, value=v, selected=chosen)
        for seed in (0, 1)
        for s, v, chosen in stages
    ]
    board = build(made)
    row = rows(board)["rotation"]
    assert [cell.value for cell in cells(row)] == [pytest.approx(0.4)]
    (curve,) = [own for curves in board.stages.values() for own in curves.values()]
    assert curve == {"stem": pytest.approx(0.1), "layer1": pytest.approx(0.4), "layer2": pytest.approx(0.3)}
    assert list(curve) == ["stem", "layer1", "layer2"]
    assert build(benchmark()).stages == {}


def test_blind_rows_belong_to_every_precision() -> None:
    board = build(benchmark(1) + benchmark(1, precision="bfloat16") + blind())
    assert len(board.columns) == 12
    assert set(board.blind[0].cells) == set(board.columns)


def test_columns_that_mix_scoring_code_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [one("rotation", *COLUMNS[0], seed, "photos", scoring=f"code{seed}") for seed in (0, 1, 2)]
    assert list(build(made).codes.values()) == [3]
    known = {made[0].evaluation.protocol: Stated("this", 1, "", {})}
    monkeypatch.setattr(tables, "stated", lambda: known)
    alike = {"this": (frozenset({"code0", "code2"}),), "another": (frozenset({"code1", "code2"}),)}
    monkeypatch.setattr(provenance, "alike", lambda: alike)
    assert list(build(made).codes.values()) == [2]


def test_no_primary_metric_is_an_error() -> None:
    with pytest.raises(ValueError, match="there are none"):
        build([one("rotation", *COLUMNS[0], 0, "photos", primary=False)])


def test_frames_hold_every_cell_and_every_record() -> None:
    made = benchmark() + blind()
    board = build(made)
    frame = cells_frame(board)
    assert len(frame) == 6 * 6
    row = frame[(frame.label == "rotation") & (frame.task == "detection") & (frame["mode"] == "frozen")].iloc[
        0
    ]
    mine = [
        r.result.value
        for r in made
        if (r.subject.pretext, r.evaluation.task) == ("rotation", "detection")
        and not r.evaluation.trains_encoder
    ]
    assert row.value == pytest.approx(np.mean(mine))
    assert row.low < row.value < row.high
    assert row["of"] == 6
    assert (row.over, row.df, row.n, row.seeds) == ("seeds+images", 10, 3, "0 1 2")
    assert (row.rank_low, row.rank_high, row.rank_of, row.over_random_separated) == (2, 2, 3, True)
    scores = scores_frame(made)
    assert len(scores) == len(made)
    assert set(scores["result.value"]) == {r.result.value for r in made}
    assert not any("resampled" in name for name in scores.columns)


@pytest.mark.parametrize("values", [[0.1], [0.3, 0.1, 0.2], [0.5, 0.5, 0.1], [0.2, 0.2, 0.2, 0.9]])
def test_places_are_scipys_ranks_from_the_top(values: list[float]) -> None:
    assert comparison._places(np.array(values)).tolist() == rankdata([-value for value in values]).tolist()
