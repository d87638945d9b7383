"""Raccoons and kangaroos (datitran/raccoon_dataset, experiencor/kangaroo): photographs with drawn boxes."""

from __future__ import annotations

from pretext.data.dataset import DataSet
from pretext.data.pack import Progress, silent
from pretext.data.voc_layout import voc_layout

BOX_NAMES = ("raccoon", "kangaroo")


def animals(
    root: str | None,
    cache: str,
    size: tuple[int, int] = (160, 160),
    val: int = 48,
    *,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """Read the two animals: boxes of 2 classes. Small and easy; arguments as in `voc_layout`."""
    return voc_layout(
        root,
        cache,
        name="animals",
        places=("animals", "animals_voc.tar"),
        parts=("train", "val"),
        size=size,
        val=val,
        box_names=BOX_NAMES,
        skip_bad=skip_bad,
        progress=progress,
    )
