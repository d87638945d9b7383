"""Clothing Co-Parsing (Yang, Luo, Lin, CVPR 2014): street photographs with pixel labels of clothes."""

from __future__ import annotations

from pretext.data.dataset import DataSet
from pretext.data.pack import Progress, silent
from pretext.data.voc_layout import voc_layout

MASK_NAMES = (
    "background", "skin", "hair", "upper", "outer", "dress", "pants", "skirt", "shorts", "legwear",
    "footwear", "bag", "hat", "accessory",
)  # fmt: skip
BOX_NAMES = MASK_NAMES[2:]


def ccp(
    root: str | None,
    cache: str,
    size: tuple[int, int] = (192, 128),
    val: int = 100,
    *,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read Clothing Co-Parsing: masks of 14 classes, boxes and multi-label classes of 12.

    Boxes are derived from the masks, not drawn; the 59 published labels are grouped; the published set has
    no split, the lists in the archive are used. Arguments as in `voc_layout`.
    """
    return voc_layout(
        root,
        cache,
        name="ccp",
        places=("ccp", "ccp_voc.tar"),
        parts=("train", "val"),
        size=size,
        val=val,
        box_names=BOX_NAMES,
        mask_names=MASK_NAMES,
        multi_label=True,
        image_set="Segmentation",
        skip_bad=skip_bad,
        progress=progress,
    )
