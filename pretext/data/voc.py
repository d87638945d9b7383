"""PASCAL VOC 2007 and 2012 (Everingham et al. 2010, 2015): photographs of 20 classes of objects."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torchvision.datasets import VOCDetection

from pretext.data.dataset import DataSet
from pretext.data.download import fetch_into
from pretext.data.pack import Progress, silent
from pretext.data.voc_layout import voc_layout

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
PARTS = {2007: ("trainval", "test"), 2012: ("train", "val")}
"""The lists that become train and val, and test. The annotations of VOC 2012's test are not published."""

ARCHIVES = {
    2007: ("VOCtrainval_06-Nov-2007.tar", "VOCtest_06-Nov-2007.tar"),
    2012: ("VOCtrainval_11-May-2012.tar",),
}


def voc(
    root: str | None,
    cache: str,
    *,
    year: int,
    size: tuple[int, int],
    val: int,
    segmentation: bool = False,
    stream: bool = False,
    download: bool = False,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read a year of VOC: multi-label classes and boxes, or those with masks of the images that have some.

    Objects marked difficult stay as boxes that are neither rewarded nor punished. A class whose objects are
    all difficult counts as absent from its image, where VOC's own evaluation of classification leaves that
    image out of that class. The border between objects is IGNORE in masks.

    Args:
        root: folder with `VOCdevkit`; for 2012 also with the archive, which is read as it is.
        cache: folder of packs.
        year: 2007 (train and val out of trainval, test is test) or 2012 (out of train, val is test).
        size: height and width of the canvas that images of varied size are put on, see `Canvas`.
        val: images carved out of train.
        segmentation: the images of `ImageSets/Segmentation`, with masks; else those of `Main`, without.
        stream: decode images when they are asked for instead of packing them.
        download: fetch the year where it is missing.
        skip_bad: leave up to 1 % bad images out instead of stopping at the first.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, BadArchive, BadImage; ValueError for another year.
    """
    if year not in PARTS:
        raise ValueError(f"year must be one of {', '.join(map(str, PARTS))}, not {year}")
    place = f"VOCdevkit/VOC{year}"
    fetch = partial(fetch_into, place=place, name=f"voc{year}", fetch=partial(_fetch, year))
    archives = ARCHIVES[year]
    return voc_layout(
        root,
        cache,
        name=f"voc{year % 100:02d}" + ("_segmentation" if segmentation else ""),
        places=(place, *(archives if len(archives) == 1 else ())),
        size=size,
        val=val,
        box_names=CLASSES,
        mask_names=("background", *CLASSES) if segmentation else (),
        multi_label=True,
        image_set="Segmentation" if segmentation else "Main",
        parts=PARTS[year],
        notes=("a class whose objects are all difficult counts as absent from an image",),
        stream=stream,
        obtain=f"data.download=true fetches it, or unpack {' and '.join(archives)} there.",
        download=fetch if download else None,
        skip_bad=skip_bad,
        progress=progress,
    )


def _fetch(year: int, part: Path) -> None:
    for image_set in ("trainval", "test")[: len(ARCHIVES[year])]:
        VOCDetection(part, year=str(year), image_set=image_set, download=True)
