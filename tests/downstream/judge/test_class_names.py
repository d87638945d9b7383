"""What classes are called: kept beside records, handed on with them, shown by the page, and never trusted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_records import record
from omegaconf import OmegaConf

from downstream.judge import class_names
from downstream.judge.records import Record, RecordError
from downstream.leaderboard import Beside, Tables, build
from downstream.leaderboard.page import page
from pretext.data.dataset import DataSet, Split
from pretextbench.board import show_board
from pretextbench.exported import export
from pretextbench.schema import Leaderboard

NAMES = ("background", "cat", "dog")
DIGEST = "d" * 64


def data(test: str, masks: tuple[str, ...] = NAMES) -> DataSet:
    split = Split(test, np.zeros((1, 4, 4, 3), np.uint8), test)
    return DataSet("photos", split, split, split, label_names=("cat", "dog"), mask_names=masks)


def scored(test: str = DIGEST) -> list[Record]:
    fields: dict[str, Any] = {
        "task": "segmentation",
        "digests": {"test": test},
        "resampled": (),
        "protocol": "segmentation_linear",
    }
    main = record("e" * 64, metric="mIoU", **fields)
    each = [record("e" * 64, metric=f"IoU_{k}", primary=False, **fields) for k in range(4)]
    others = [record("e" * 64, metric=name, primary=False, **fields) for name in ("pixel_accuracy", "IoU_x")]
    return [main, *each, *others]


def named(content: str) -> dict[str, str]:
    """The names of classes that a page has, by metric."""
    start = content.index('id="data">') + len('id="data">')
    (board,) = json.loads(content[start : content.index("</script>", start)])["boards"]
    return {each["metric"]: each.get("class", "") for each in board["columns"][0]["beside"]}


WANTED = dict(zip(("IoU_0", "IoU_1", "IoU_2"), NAMES, strict=True)) | dict.fromkeys(
    ("IoU_3", "pixel_accuracy", "IoU_x"), ""
)


def test_what_is_kept_is_read_again_by_the_digest_of_the_scored_split(tmp_path: Path) -> None:
    class_names.keep(tmp_path, data(DIGEST))
    (path,) = (tmp_path / "classes").iterdir()
    assert path.name == f"{DIGEST}.json"
    read = class_names.read(class_names.files([tmp_path], scored()), pytest.fail)
    assert read == {DIGEST: {"classification": ("cat", "dog"), "segmentation": NAMES}}
    assert class_names.files([tmp_path], scored("a" * 64)) == {}


def test_the_first_folder_counts_and_a_set_without_names_leaves_nothing(tmp_path: Path) -> None:
    class_names.keep(tmp_path / "a", data(DIGEST))
    class_names.keep(tmp_path / "b", data(DIGEST, masks=("sky", "sea")))
    found = class_names.files([tmp_path / "b", tmp_path / "a"], scored())
    assert found == {DIGEST: tmp_path / "b" / "classes" / f"{DIGEST}.json"}
    class_names.keep(tmp_path / "c", replace(data(DIGEST), label_names=(), mask_names=()))
    assert not (tmp_path / "c").exists()


def test_a_digest_that_is_none_names_no_file(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"segmentation": ["a"]}')
    (tmp_path / "records" / "classes").mkdir(parents=True)
    assert class_names.files([tmp_path / "records"], scored("../../secret")) == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"segmentation": "cat"}',
        '{"segmentation": [1]}',
        '{"segmentation": ["' + "a" * 201 + '"]}',
        '{"segmentation": ["cat"]}' + " " * 2**20,
    ],
    ids=["empty", "list", "text", "numbers", "long", "large"],
)
def test_what_holds_no_names_is_told_and_left_out(content: str, tmp_path: Path) -> None:
    (tmp_path / f"{DIGEST}.json").write_text(content)
    told: list[RecordError] = []
    assert class_names.read({DIGEST: tmp_path / f"{DIGEST}.json"}, told.append) == {}
    assert [str(error).split(": ")[0] for error in told] == [f"{tmp_path}/{DIGEST}.json"]


def test_the_page_names_classes_of_the_set_and_task_that_it_knows() -> None:
    tables = Tables(scored(), build(scored()))
    of = {DIGEST: {"segmentation": NAMES}}
    assert named(page([tables.part()], Beside(classes=of)).decode()) == WANTED
    for other in ({}, {"a" * 64: {"segmentation": NAMES}}, {DIGEST: {"classification": NAMES}}):
        assert set(named(page([tables.part()], Beside(classes=other)).decode()).values()) == {""}
    boxes = [replace(r, evaluation=replace(r.evaluation, task="detection")) for r in scored()]
    of_boxes = Tables(boxes, build(boxes)).part()
    assert set(named(page([of_boxes], Beside(classes=of)).decode()).values()) == {""}


def test_a_board_takes_them_from_beside_its_records_and_an_export_hands_them_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = OmegaConf.structured(Leaderboard)
    class_names.keep(tmp_path / "records", data(DIGEST))
    folder = show_board(tmp_path, scored(), settings)
    assert named((folder / "leaderboard.html").read_text()) == WANTED
    export(scored(), tmp_path / "given" / "mine.jsonl", [tmp_path / "records"])
    elsewhere = show_board(tmp_path / "elsewhere", scored(), settings, folders=[tmp_path / "given"])
    assert named((elsewhere / "leaderboard.html").read_text()) == WANTED
    (tmp_path / "given" / "classes" / f"{DIGEST}.json").write_text("{")
    capsys.readouterr()
    damaged = show_board(tmp_path / "elsewhere", scored(), settings, folders=[tmp_path / "given"])
    assert set(named((damaged / "leaderboard.html").read_text()).values()) == {""}
    assert "no names of classes" in " ".join(capsys.readouterr().out.split())
