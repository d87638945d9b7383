"""Images with masks side by side: however folders and lists are written, the same splits arrive."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hydra import compose
from hydra.utils import instantiate
from paired import (
    COLOURS,
    HEIGHT,
    NAMES,
    WIDTH,
    digests,
    fill,
    in_color,
    mask_of,
    read,
    save,
    where,
)
from pictures import encoded, photo

from pretext.data.decode import BadImage
from pretext.data.pairs import pairs
from pretext.data.source import BadArchive, MissingData
from pretext.data.voc_layout import voc_layout


def test_masks_arrive_as_written_and_splits_are_carved_out(tmp_path: Path) -> None:
    data = read(fill(tmp_path / "set"), val=0.2, test=0.25)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 7, "val": 2, "test": 3}
    assert data.mask_names == ("background", "1", "2")
    assert set(where(data)) == set(NAMES)
    assert data.train.labels is None
    assert data.train.boxes is None


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("Images/{}.jpg", "Labels/{}.png"),
        ("JPEGImages/{}.jpg", "SegmentationClass/{}.png"),
        ("data/imgs/{}.jpg", "data/gt/{}_gt.png"),
        ("img/{}.jpg", "ann/{}-mask.png"),
        ("leftImg8bit/{}_leftImg8bit.jpg", "gtFine/{}_gtFine_labelIds.png"),
        ("images/{}_sat.jpg", "images/masks/{}_mask.png"),
    ],
)
def test_usual_names_are_found(tmp_path: Path, images: str, masks: str) -> None:
    plain = read(fill(tmp_path / "plain"))
    assert digests(read(fill(tmp_path / "set", images, masks))) == digests(plain)


def test_other_folders_are_named(tmp_path: Path) -> None:
    root = fill(tmp_path / "set", "scans/a/{}.jpg", "hand/drawn/{}.png")
    with pytest.raises(
        BadArchive, match=r"no images in a folder called as one of images, .*data\.images=FOLDER"
    ):
        read(root)
    with pytest.raises(BadArchive, match=r"no masks in .*\.png.*data\.masks=FOLDER.*hand/drawn, scans/a"):
        read(root, images="scans/a")
    assert digests(read(root, images="scans/a", masks="hand/drawn")) == digests(
        read(fill(tmp_path / "plain"))
    )


PUBLISHED = {"train": NAMES[:6], "val": NAMES[6:8], "test": NAMES[8:]}
TRUTH = {name: part for part, names in PUBLISHED.items() for name in names}


@pytest.mark.parametrize(
    ("images", "masks", "folders"),
    [
        ("images/{part}/{{}}.jpg", "masks/{part}/{{}}.png", ("train", "val", "test")),
        ("{part}/images/{{}}.jpg", "{part}/masks/{{}}.png", ("training", "valid", "testing")),
        ("set/leftImg8bit/{part}/a/{{}}.jpg", "set/gtFine/{part}/a/{{}}.png", ("train", "val", "test")),
    ],
)
def test_published_folders_are_the_splits(
    tmp_path: Path, images: str, masks: str, folders: tuple[str, str, str]
) -> None:
    for folder, names in zip(folders, PUBLISHED.values(), strict=True):
        fill(tmp_path / "set", images.format(part=folder), masks.format(part=folder), names)
    assert where(read(tmp_path / "set")) == TRUTH


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("{}.txt", "{name}"),
        ("splits/{}.txt", "images/{name}.jpg masks/{name}.png"),
        ("{}.csv", "images/{name}.jpg,masks/{name}.png"),
        ("lists/{}.tsv", "{name}.jpg\t{name}.png"),
        ("ImageSets/Segmentation/{}.txt", "{name}.jpg"),
    ],
)
def test_published_lists_are_the_splits(tmp_path: Path, file: str, line: str) -> None:
    root = fill(tmp_path / "set")
    for part, names in PUBLISHED.items():
        lines = [line.format(name=name) for name in names]
        heads = ["image,mask"] if file.endswith(".csv") else []
        save(root / file.format(part), "\r\n".join(heads + lines).encode("utf-8-sig"))
    assert where(read(root)) == TRUTH
    chosen = {part: file.format(part) for part in ("train", "test")}
    two = where(read(root, lists=chosen))
    assert {name for name, part in two.items() if part == "test"} == set(PUBLISHED["test"])
    assert set(two) == set(PUBLISHED["train"]) | set(PUBLISHED["test"])


def test_a_list_may_name_files_that_lie_anywhere(tmp_path: Path) -> None:
    root = fill(tmp_path / "set", "x/a {}.jpg", "y/m{}.png")
    save(root / "all.csv", "".join(f'"x/a {name}.jpg";y/m{name}.png\n' for name in NAMES).encode())
    data = read(root, lists="all.csv")
    assert digests(data) == digests(read(fill(tmp_path / "plain")))
    save(root / "all.csv", b"x/a p00.jpg;y/nowhere.png\n")
    with pytest.raises(BadArchive, match=r"all\.csv, line 1: there is no mask 'y/nowhere\.png'"):
        read(root, lists="all.csv")
    with pytest.raises(BadArchive, match=r"other\.csv, which data\.lists names, is not there"):
        read(root, lists={"train": "other.csv"})
    with pytest.raises(ValueError, match=r"data\.lists names lists of train, val and test"):
        read(root, lists={"training": "all.csv"})


def test_one_more_folder_is_test_and_one_without_masks_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path / "set", "images/train/{}.jpg", "masks/train/{}.png", NAMES[:8])
    fill(tmp_path / "set", "images/val/{}.jpg", "masks/val/{}.png", NAMES[8:])
    for i in range(20):
        save(tmp_path / "set/images/test" / f"{i}.jpg", encoded(photo(100 + i, HEIGHT, WIDTH)))
    data = read(tmp_path / "set", val=0.25)
    assert len(data.train) == 6
    assert {name for name, part in where(data).items() if part == "test"} == set(NAMES[8:])
    said = [str(remark) for remark in data.remarks]
    assert "20 in test/ without masks" in said
    assert "val is test, val is carved out of train" in said


def test_the_same_as_through_vocs_layout(tmp_path: Path) -> None:
    """The pictures of a VOC folder: pixels, masks and splits of the two readers are the same."""
    base = fill(tmp_path / "voc", "JPEGImages/{}.jpg", "SegmentationClass/{}.png")
    for name in NAMES:
        text = f"<annotation><size><width>{WIDTH}</width><height>{HEIGHT}</height></size></annotation>"
        save(base / "Annotations" / f"{name}.xml", text.encode())
    for part, names in (("train", NAMES[:9]), ("val", NAMES[9:])):
        save(base / "ImageSets" / "Main" / f"{part}.txt", "\n".join(names).encode())
    size, classes = [24, 24], ["background", "a", "b"]
    theirs = voc_layout(
        str(base), str(tmp_path / "cache"), name="voc", places=["."], size=size, val=2, mask_names=classes
    )
    ours = read(base, size=size, val=2 / 9, mask_names=classes)
    for name, split in ours.splits.items():
        other = theirs.splits[name]
        np.testing.assert_array_equal(split.pixels[:], other.pixels[:])
        np.testing.assert_array_equal(split.masks, other.masks)
    assert ours.mask_names == theirs.mask_names


def write(file: str, content: bytes) -> Callable[[Path], None]:
    return lambda root: save(root / file, content)


@pytest.mark.parametrize(
    ("damage", "options", "error", "message"),
    [
        (write("masks/p03.png", encoded(mask_of(3)[:, :-2], "PNG")), {}, BadArchive,
         r"p03\.png is 30×20, its image .*p03\.jpg 32×20"),
        (write("masks/p03.png", encoded(np.full((HEIGHT, WIDTH), 9, np.uint8), "PNG")),
         {"mask_names": ["a", "b", "c"]}, BadArchive, r"p03\.png holds the label 9, classes end at 2"),
        (write("masks/p03.png", encoded(mask_of(3), "PNG")[:40]), {}, BadImage, r"p03\.png: "),
        (write("masks/p03.png", in_color(3)), {"palette": COLOURS}, BadImage,
         r"\.png: holds the colour \(255, 255, 255\), which is not in data\.palette"),
        (write("masks/p03_mask.png", encoded(mask_of(3), "PNG")), {"masks": "masks"}, None, ""),
        (write("labels/p03.png", encoded(mask_of(3), "PNG")), {}, BadArchive,
         r"labels/p03\.png and masks/p03\.png are both there: which is the mask of p03\?"),
        (write("images/p03.png", encoded(photo(3, HEIGHT, WIDTH), "PNG")), {}, BadArchive,
         r"p03\.jpg and images/p03\.png are both there: which is p03\?"),
        (write("train.txt", b"p00\np99\n"), {}, BadArchive, r"train\.txt, line 2: there is no image 'p99'"),
        (write("train.txt", b""), {}, BadArchive, r"train\.txt names no image"),
        (lambda root: fill(root, "a/train.txt/{}.jpg", "a/{}.png", []), {}, None, ""),
        (lambda root: None, {"palette": [[0, 0, 300]]}, ValueError, r"from 0 to 255, not \[0, 0, 300\]"),
        (lambda root: None, {"mask_names": ["a", "b"], "mask_map": {2: 5}}, ValueError, r"maps 2 to 5"),
    ],
)  # fmt: skip
def test_contradictions_are_named(
    tmp_path: Path,
    damage: Callable[[Path], object],
    options: dict[str, object],
    error: type[Exception] | None,
    message: str,
) -> None:
    root = fill(tmp_path / "set")
    damage(root)
    if error is None:
        read(root, **options)
        return
    with pytest.raises(error, match=message):
        read(root, **options)


def test_what_has_no_partner_is_counted(tmp_path: Path) -> None:
    root = fill(tmp_path / "set")
    (root / "masks/p03.png").unlink()
    (root / "images/p05.jpg").unlink()
    said = [str(remark) for remark in read(root).remarks]
    assert "1 image without a mask (p03.jpg)" in said
    assert "1 mask without an image (p05.png)" in said
    for name in NAMES[3:10]:
        (root / f"masks/{name}.png").unlink(missing_ok=True)
    with pytest.raises(
        BadArchive, match=r"6 of 11 images have no mask .*a mask is called like its image, or ends"
    ):
        read(root)


def test_a_tar_and_a_stream_give_the_same_masks(tmp_path: Path) -> None:
    root = fill(tmp_path / "set")
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(root, "anything")
    plain = read(root)
    packed = pairs(str(tmp_path), str(tmp_path / "cache"), size=[HEIGHT, WIDTH], place="set.tar")
    assert digests(packed) == digests(plain)
    streamed = read(root, stream=True)
    assert {name: len(split) for name, split in streamed.splits.items()} == {
        name: len(split) for name, split in plain.splits.items()
    }
    assert set(where(streamed)) == set(NAMES)


@pytest.mark.usefixtures("hydra")
def test_a_command_line_says_all_of_it(tmp_path: Path) -> None:
    """Maps and lists take the place of null: into an empty map of a typed configuration nothing goes."""
    root = fill(tmp_path / "set", draw=in_color)
    save(root / "a.txt", b"p00\np01\np02\np03\np04\np05")
    save(root / "b.txt", b"p06\np07")
    config = compose(
        "config",
        overrides=[
            "data=pairs", f"data.root={root}", f"data.size=[{HEIGHT},{WIDTH}]", "data.mask_map={3: 255}",
            "data.palette=[[0,0,0],[200,0,0],[0,120,40],[255,255,255]]",
            "data.lists={train: a.txt, test: b.txt}",
            "data.mask_names=[ground,a,b]",
        ],
    ).data  # fmt: skip
    data = instantiate(config, cache=str(tmp_path / "cache"), _convert_="all")
    assert [len(split) for split in data.splits.values()] == [5, 1, 2]
    assert data.mask_names == ("ground", "a", "b")
    assert set(where(data)) == set(NAMES[:8])


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"pairs: found none of \. in .*nowhere\. data\.root=PATH"):
        read(tmp_path / "nowhere")
