"""One line says of a set what it holds and what it lacks; remarks of one kind add up."""

from dataclasses import replace

import numpy as np

from pretext.data.dataset import DataSet, Remark, merged
from pretext.data.split import make_split


def made(counts: tuple[int, int, int] = (5, 2, 3), **options: object) -> DataSet:
    splits = [
        make_split(name, np.zeros((n, 2, 2, 3), np.uint8))
        for name, n in zip(("train", "val", "test"), counts, strict=True)
    ]
    return DataSet("pets", *splits, **options)


def test_classes_are_named_up_to_six_and_counted_above() -> None:
    assert made().summary() == "pets: no labels · 5 train, 2 val, 3 test"
    assert made(label_names=("cat",)).summary().startswith("pets: 1 class (cat) · ")
    assert made(box_names=("a", "b")).summary().startswith("pets: boxes of 2 classes (a, b) · ")
    six = tuple("abcdef")
    both = made(label_names=six, box_names=six, mask_names=("ground", *six, "g"))
    assert both.summary().startswith(
        "pets: labels and boxes of 6 classes (a, b, c, d, e, f), masks of 7 classes · "
    )
    assert made((1200, 2, 3)).summary().endswith("1,200 train, 2 val, 3 test")


def test_what_is_left_out_comes_before_what_else_there_is() -> None:
    remarks = (
        Remark("val/ is test", left_out=False),
        Remark("skipped", 1, ("x.jpg: truncated",)),
        Remark("duplicates", 1, one="duplicate"),
        Remark("duplicates", 2, one="duplicate"),
        Remark(".heic not read", 4),
    )
    assert made(remarks=remarks).summary() == (
        "pets: no labels · 5 train, 2 val, 3 test"
        " · left out: 1 skipped (x.jpg: truncated); 3 duplicates; 4 .heic not read · val/ is test"
    )


def test_remarks_of_one_kind_add_up_and_name_three() -> None:
    first = Remark("skipped", 2, ("a", "b"))
    second = Remark("skipped", 3, ("b", "c", "d"))
    assert merged([first, Remark("lost", 1), second]) == (
        Remark("skipped", 5, ("a", "b", "c")),
        Remark("lost", 1),
    )
    assert str(merged([first, second])[0]) == "5 skipped (a, b, c, …)"
    assert str(Remark("duplicates", 1, one="duplicate")) == "1 duplicate"
    assert merged([Remark("x", left_out=False)] * 2) == (Remark("x", left_out=False),)


def test_a_set_without_colour_is_said_to_be_gray() -> None:
    data = made()
    gray = replace(data.train, colourless=np.ones(5, np.bool_))
    assert (
        replace(data, train=gray).summary()
        == "pets: no labels · 5 train, 2 val, 3 test · all of train is gray"
    )
    some = replace(data.train, colourless=np.arange(5) > 0)
    assert "gray" not in replace(data, train=some).summary()


def test_the_line_is_one_line() -> None:
    assert "\n" not in made(label_names=("a\nb",)).summary()
