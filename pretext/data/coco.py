"""COCO 2017 (Lin et al. 2014, arXiv 1405.0312): photographs with 80 classes of objects in context."""

from __future__ import annotations

from pretext.data.coco_layout import coco_layout
from pretext.data.dataset import DataSet
from pretext.data.pack import Progress, silent


def coco(
    root: str | None,
    cache: str,
    size: tuple[int, int] = (320, 320),
    val: int = 5000,
    *,
    masks: bool = False,
    stream: bool = True,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read COCO: boxes and multi-label classes; val2017 is test. Arguments as in `coco_layout`."""
    return coco_layout(
        root,
        cache,
        name="coco",
        place="coco",
        train=("train2017", "annotations/instances_train2017.json"),
        test=("val2017", "annotations/instances_val2017.json"),
        size=size,
        val=val,
        masks=masks,
        stream=stream,
        obtain="It is not downloaded: unpack train2017.zip, val2017.zip and annotations_trainval2017.zip "
        "into coco there.",
        skip_bad=skip_bad,
        progress=progress,
    )
