"""VOC's layout as it is found: other suffixes, names, lists, sizes, positions, masks and turned images."""

import codecs
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, photo
from PIL import Image

from pretext.data.dataset import IGNORE, DataSet
from pretext.data.decode import BadImage
from pretext.data.source import BadArchive
from pretext.data.voc_layout import voc_layout

HEIGHT, WIDTH = 20, 40
BOX = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"


def note(*boxes: tuple[object, ...], size: str = f"<width>{WIDTH}</width><height>{HEIGHT}</height>") -> str:
    things = "".join(f"<object><name>cat</name><bndbox>{BOX.format(*box)}</bndbox></object>" for box in boxes)
    return f"<annotation><size>{size}</size>{things}</annotation>"


def write(base: Path, stem: str = "img{}", suffix: str = ".png", count: int = 12) -> list[str]:
    """Images, each with one box: the last four in the list val, the others in train. Returns the names."""
    names = [stem.format(i) for i in range(count)]
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        (base / "JPEGImages" / f"{name}{suffix}").write_bytes(encoded(photo(seed, HEIGHT, WIDTH), "PNG"))
        (base / "Annotations" / f"{name}.xml").write_text(note((1, 1, 10 + seed, 10)))
    lists(base, train=names[:-4], val=names[-4:])
    return names


def lists(base: Path, **parts: list[str]) -> None:
    for part, names in parts.items():
        (base / "ImageSets/Main" / f"{part}.txt").write_text("\n".join(names) + "\n")


def read(base: Path, **options: object) -> DataSet:
    arguments = {"name": "cats", "places": ["."], "size": [HEIGHT, WIDTH], "val": 2, **options}
    return voc_layout(str(base), str(base.parent / "cache"), **arguments)


def seeds(data: DataSet, part: str) -> list[int]:
    """Which images a split holds, by their box, which is 10 pixels wider than the number of the image."""
    return sorted((data.splits[part].boxes.xyxy[:, 2] - 10).astype(int).tolist())


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".tif", ".jfif"])
@pytest.mark.parametrize("stem", ["img{}", "screenshot 2020-12-16 {}", "v1.{}", "sub/img{}", "{} 1"])
def test_images_are_found_by_their_stem(tmp_path: Path, suffix: str, stem: str) -> None:
    base = tmp_path / "set"
    (base / "JPEGImages/sub").mkdir(parents=True)
    (base / "Annotations/sub").mkdir(parents=True)
    write(base, stem, suffix)
    data = read(base)
    assert seeds(data, "test") == [8, 9, 10, 11]
    assert sorted(seeds(data, "train") + seeds(data, "val")) == list(range(8))
    for split in data.splits.values():
        for i in range(len(split)):
            seed = int(split.boxes.of(i)[0][0, 2]) - 10
            np.testing.assert_array_equal(split.pixels[i], photo(seed, HEIGHT, WIDTH))


LINES = ["{}.png", "JPEGImages/{}.png", "./{}", "{}  1", "{} -1", "JPEGImages\\{}.png"]


@pytest.mark.parametrize(
    ("stem", "line"),
    [*((stem, line) for stem in ("img{}", "a b{}") for line in LINES), ("img{}", "{}.png {}.xml")],
)
def test_lists_may_give_suffixes_folders_and_flags(tmp_path: Path, line: str, stem: str) -> None:
    base = tmp_path / "set"
    names = write(base, stem)
    lists(base, val=[line.format(name, name) for name in names[-4:]])
    assert seeds(read(base), "test") == [8, 9, 10, 11]


def test_lists_may_have_marks_carriage_returns_and_blank_lines(tmp_path: Path) -> None:
    base = tmp_path / "set"
    names = write(base)
    content = codecs.BOM_UTF8 + "\r\n\r\n".join(names[-4:]).encode() + b"\r\n  \r\n"
    (base / "ImageSets/Main/val.txt").write_bytes(content)
    assert seeds(read(base), "test") == [8, 9, 10, 11]
    (base / "ImageSets/Main/val.txt").write_text("\n")
    with pytest.raises(BadArchive, match=r"val\.txt names no image"):
        read(base)


def test_what_is_not_there_is_told_from_what_is_not_read_or_there_twice(tmp_path: Path) -> None:
    base = tmp_path / "set"
    write(base)
    image = base / "JPEGImages" / "img3.png"
    image.rename(image.with_suffix(".heic"))
    with pytest.raises(BadImage, match=r"img3\.jpg: is listed but not there, but img3\.heic, which is not"):
        read(base)
    image.with_suffix(".bmp").write_bytes(b"x")
    image.with_suffix(".gif").write_bytes(b"x")
    with pytest.raises(BadArchive, match=r"img3\.bmp and .*img3\.gif are both there: which is img3\?"):
        read(base)
    image.with_suffix(".jpg").write_bytes(encoded(photo(3, HEIGHT, WIDTH)))
    assert len(read(base).test) == 4  # as VOC has it goes first


@pytest.mark.parametrize(
    ("made", "chosen", "counts", "said"),
    [
        ({"train": (0, 6), "val": (6, 9), "test": (9, 12)}, None, (6, 3, 3), ""),
        ({"training": (0, 6), "valid": (6, 9), "testing": (9, 12)}, None, (6, 3, 3), ""),
        ({"train": (0, 6), "val": (6, 9), "trainval": (0, 9), "test": (9, 12)}, None, (6, 3, 3), ""),
        ({"trainval": (0, 9), "test": (9, 12)}, None, (7, 2, 3), ""),
        ({"train": (0, 9), "test": (9, 12)}, None, (7, 2, 3), ""),
        ({"train": (0, 9), "valid": (9, 12)}, None, (7, 2, 3), "the list valid is test, val is carved"),
        (
            {"train": (0, 6), "val": (6, 9), "test": (9, 12)},
            ["train", "val"],
            (4, 2, 3),
            "3 images in no list",
        ),
        ({"a": (0, 6), "b": (6, 9), "c": (9, 12)}, ["c", "b", "a"], (3, 3, 6), ""),
    ],
)
def test_the_lists_of_splits_are_those_of_their_names(
    tmp_path: Path,
    made: dict[str, tuple[int, int]],
    chosen: list[str] | None,
    counts: tuple[int, ...],
    said: str,
) -> None:
    base = tmp_path / "set"
    names = write(base)
    for part in ("train", "val"):
        (base / "ImageSets/Main" / f"{part}.txt").unlink()
    lists(base, **{part: names[slice(*span)] for part, span in made.items()})
    data = read(base, parts=chosen)
    assert tuple(map(len, data.splits.values())) == counts
    assert said in data.summary()
    if not said:
        assert "left out" not in data.summary()


def test_a_list_of_test_without_annotations_is_left_out_and_said(tmp_path: Path) -> None:
    base = tmp_path / "set"
    names = write(base)
    lists(base, train=names[:6], val=names[6:9], test=names[9:])
    for name in names[9:]:
        (base / "Annotations" / f"{name}.xml").unlink()
    data = read(base)
    assert seeds(data, "test") == [6, 7, 8]
    assert "left out: 3 in the list test without annotations · the list val is test" in data.summary()
    with pytest.raises(ValueError, match="parts are two or three lists of ImageSets/Main, not"):
        read(base, parts=["train"])


def test_boxes_from_0_are_named_with_the_way_out(tmp_path: Path) -> None:
    base = tmp_path / "set"
    write(base)
    (base / "Annotations/img0.xml").write_text(note((0, 5.25, 20.5, 20)))
    with pytest.raises(
        BadArchive, match=r"box 0 5\.25 20\.5 20 leaves .* data\.inclusive=false takes .* from 0"
    ):
        read(base)
    edges = read(base, inclusive=False)
    found = [box.tolist() for split in edges.splits.values() for box in split.boxes.xyxy]
    assert [0, 5.25, 20.5, 20] in found


@pytest.mark.parametrize("size", ["<width>0</width><height>0</height>", "", "<width/><height> </height>"])
def test_a_size_that_is_not_given_is_the_images(tmp_path: Path, size: str) -> None:
    base = tmp_path / "set"
    names = write(base)
    for name in names:
        (base / "Annotations" / f"{name}.xml").write_text(note((1, 1, 5, 5), size=size))
    data = read(base)
    assert (data.test.boxes.xyxy == [0, 0, 5, 5]).all()
    assert "12 annotations without a size, the images' is taken (img" in data.summary()


def test_boxes_that_are_none_are_dropped_and_counted(tmp_path: Path) -> None:
    base = tmp_path / "set"
    write(base)
    right = (3, 3, 30, 9)
    bad = [("nan", 1, 5, 5), (1, "inf", 5, 5), (4, 1, 4, 5), (4, 5, 9, 5)]
    (base / "Annotations/img11.xml").write_text(note(*bad, right))
    for stream in (False, True):
        data = read(base, inclusive=False, stream=stream)
        assert data.test.boxes.of(3)[0].tolist() == [list(right)]
        assert "left out: 2 boxes not finite (img11.xml, …); 2 boxes without extent" in data.summary()


def test_turned_photographs_are_read_as_stored_on_request(tmp_path: Path) -> None:
    base = tmp_path / "set"
    write(base)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(photo(11, HEIGHT, WIDTH), "PNG", exif=exif)
    (base / "JPEGImages/img11.png").write_bytes(turned)
    said = r"img11\.xml is for 40×20, its image is 20×40: EXIF data turn .* data\.upright=false reads"
    for stream in (False, True):
        with pytest.raises(BadArchive, match=said):
            read(base, stream=stream)
        data = read(base, upright=False, stream=stream)
        np.testing.assert_array_equal(data.test.pixels[3], photo(11, HEIGHT, WIDTH))
    (base / "JPEGImages/img11.png").write_bytes(encoded(photo(11, WIDTH, HEIGHT), "PNG"))
    with pytest.raises(BadArchive, match=r"img11\.xml is for 40×20, its image is 20×40$"):
        read(base)


def masks(base: Path, names: list[str], inside: int, outside: int = 0) -> None:
    (base / "SegmentationClass").mkdir()
    for name in names:
        mask = np.full((HEIGHT, WIDTH), outside, np.uint8)
        mask[5:9, 3:8] = inside
        (base / "SegmentationClass" / f"{name}.png").write_bytes(encoded(mask, "PNG"))


def test_masks_of_0_and_255_are_named_and_can_be_mapped(tmp_path: Path) -> None:
    base = tmp_path / "set"
    masks(base, write(base), 255)
    held = r"set.*: the masks of train hold the values 0, 255, of which 255 is ignored, and no pixel of cat: "
    with pytest.raises(BadArchive, match=held + r"'data\.mask_map=\{255: 1\}' reads 255 as cat"):
        read(base, mask_names=["ground", "cat"])
    data = read(base, mask_names=["ground", "cat"], mask_map={255: 1})
    assert np.bincount(data.test.masks.ravel()).tolist() == [4 * (HEIGHT * WIDTH - 20), 4 * 20]


def test_other_values_of_masks_are_named_and_mapped(tmp_path: Path) -> None:
    base = tmp_path / "set"
    masks(base, write(base), 128, 7)
    with pytest.raises(
        BadArchive, match=r"holds the label 7, classes end at 1; 'data\.mask_map=\{7: 1\}' reads"
    ):
        read(base, mask_names=["ground", "cat"])
    data = read(base, mask_names=["ground", "cat"], mask_map={128: 1, 7: IGNORE})
    assert sorted(np.unique(data.test.masks)) == [1, IGNORE]
    with pytest.raises(ValueError, match="mask_map maps 7 to 2; classes are 0 to 1, and 255 is ignored"):
        read(base, mask_names=["ground", "cat"], mask_map={7: 2})
    with pytest.raises(ValueError, match="mask_map maps values of 0 to 255, not 300"):
        read(base, mask_names=["ground", "cat"], mask_map={300: 1})


def test_folders_that_are_links_and_those_of_systems(tmp_path: Path) -> None:
    real = tmp_path / "real"
    write(real)
    base = tmp_path / "set"
    base.mkdir()
    for folder in ("JPEGImages", "Annotations", "ImageSets"):
        (base / folder).symlink_to(real / folder)
    (base / "__MACOSX" / "ImageSets").mkdir(parents=True)
    data = read(base)
    assert seeds(data, "test") == [8, 9, 10, 11]
    assert "left out: 1 ignored (__MACOSX)" in data.summary()
