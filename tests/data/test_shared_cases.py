"""The small sets of the shared cases are read or named as they must; skipped where they are not at hand."""

import subprocess
import sys
from pathlib import Path

import pytest

from pretext.data.class_folders import EmptyFolder
from pretext.data.coco_layout import coco_layout
from pretext.data.dataset import DataSet
from pretext.data.decode import BadImage
from pretext.data.image_folder import image_folder
from pretext.data.source import BadArchive
from pretext.data.voc_layout import voc_layout

SETS = Path(__file__).parents[3] / "shared" / "cases" / "make_sets.py"
COUNTS = {"folder_tvt": (40, 12, 12), "folder_valid": (36, 4, 12), "kaggle": (36, 4, 12)}
CLASSES = {"folder_one": 1, "folder_rare": 3, "folder_rare2": 3, "folder_unlabelled": 0}

GROUND = {"mask_names": ["ground", "circle", "square"]}
BINARY = {"mask_names": ["ground", "thing"]}
READ: list[tuple[str, dict[str, object], str]] = [
    *(
        (name, {}, "")
        for name in ("folder_plain", "folder_small", "folder_tiny", "folder_tvt", "folder_links")
    ),
    *((name, {}, "") for name in ("folder_onelink", "folder_one", "folder_rare", "folder_rare2")),
    *((name, {}, "") for name in ("folder_jfif", "folder_gray", "Fotos Größe=1, 写真 (neu)")),
    *(
        (name, {}, "")
        for name in ("voc_plain", "voc_png", "voc_upper", "voc_spaces", "voc_sparse", "voc_link")
    ),
    *((name, {}, "") for name in ("coco_plain", "coco_sparse", "coco_rare", "coco_bbox_only")),
    ("folder_unlabelled", {}, "no labels"),
    ("folder_valid", {}, "valid/ is test"),
    ("kaggle", {}, "left out: 8 in test/ without classes · val/ is test"),
    ("folder_macosx", {}, "left out: 1 ignored (__MACOSX)"),
    ("folder_damaged", {"skip_bad": True}, "left out: 1 skipped (007.jpg: "),
    ("folder_dups", {}, "duplicate"),
    ("folder_odd", {}, "1 16-bit file read as 12 bits (twelve_in_sixteen.png)"),
    ("voc_zero", {"inclusive": False}, ""),
    ("voc_sizezero", {}, "30 annotations without a size"),
    ("voc_mask_ok", GROUND, "boxes and masks of 2 classes"),
    ("voc_mask_absent", GROUND, "boxes and masks of 2 classes"),
    ("voc_mask255", {**BINARY, "mask_map": {255: 1}}, "masks of 1 class"),
    ("coco_plain", {"masks": True}, "labels, boxes and masks of 2 classes (circle, square)"),
    (
        "coco_root_category",
        {},
        "of 2 classes (circle, square) · 35 train, 5 val, 10 test · left out: 1 category",
    ),
    ("coco_exif", {"upright": False}, ""),
]
NAMED: list[tuple[str, dict[str, object], type[Exception], str]] = [
    ("folder_damaged", {}, BadImage, r"circle/007\.jpg: "),
    ("folder_emptyclass", {}, EmptyFolder, r"class folder .*triangle holds no images"),
    ("folder_float", {}, BadImage, r"float\.tiff: floating-point pixels have no agreed range"),
    ("voc_zero", {}, BadArchive, r"img000\.xml: box 0 5\.25 20\.5 30\.75 .*; data\.inclusive=false"),
    (
        "voc_mask255",
        BINARY,
        BadArchive,
        r"the values 0, 255, of which 255 is ignored.*data\.mask_map=\{255: 1\}",
    ),
    ("coco_bbox_only", {"masks": True}, BadArchive, "a box but no segmentation.*data.masks=false"),
    ("coco_exif", {}, BadArchive, r"train2017_000\.jpg: .*EXIF.*data\.upright=false"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not SETS.is_file():
        pytest.skip(f"the shared cases are not at hand: no {SETS}")
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, SETS, folder], check=True, capture_output=True)
    return folder


def read(place: Path, cache: Path, options: dict[str, object]) -> DataSet:
    common = {"name": place.name, "val": 5, **options}
    if place.name.startswith("voc"):
        return voc_layout(str(place), str(cache), **{"places": ["."], "size": [48, 48], **common})
    if place.name.startswith("coco"):
        parts = {
            part: [f"{year}2017", f"annotations/instances_{year}2017.json"]
            for part, year in (("train", "train"), ("test", "val"))
        }
        return coco_layout(
            str(place), str(cache), **{"place": ".", **parts, "size": [48, 64], "stream": False, **common}
        )
    return image_folder(str(place), str(cache), 32, **{**common, "val": 0.1})


def title(case: tuple[str, dict[str, object], object]) -> str:
    return "-".join([case[0], *case[1]])


@pytest.mark.parametrize("case", READ, ids=title)
def test_what_can_be_read_is(made: Path, tmp_path: Path, case: tuple[str, dict[str, object], str]) -> None:
    name, options, said = case
    data = read(made / name, tmp_path, options)
    assert said in data.summary()
    if name in COUNTS:
        assert tuple(map(len, data.splits.values())) == COUNTS[name]
    if name.startswith(("folder", "kaggle", "Fotos")):
        assert len(data.label_names) == CLASSES.get(name, 2)
    if not said and not name.startswith("voc"):
        assert "left out" not in data.summary()


@pytest.mark.parametrize("case", NAMED, ids=title)
def test_what_cannot_be_read_is_named(
    made: Path, tmp_path: Path, case: tuple[str, dict[str, object], type[Exception], str]
) -> None:
    name, options, error, message = case
    with pytest.raises(error, match=message):
        read(made / name, tmp_path, options)
