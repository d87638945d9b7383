"""Jobs on images that a person names: each done by itself, those that cannot be read named at the end."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from pretext.data.decode import BadImage
from pretextbench.console import console, errors


def each(images: Collection[Path], work: Callable[[Path], str], done: str) -> None:
    """Do something with every image, and print what it says; one that is bad is named, and the others go on.

    Args:
        done: what is done with them, as in "coloured".

    Raises:
        ValueError: bad images, when the others are done.
    """
    bad: list[BadImage] = []
    for image in images:
        try:
            said = work(image)
        except BadImage as error:
            bad.append(error)
            errors.print(f"left out: {error}", style="red", soft_wrap=True)
        else:
            console.print(said, soft_wrap=True)
    if bad:
        listed = "".join(f"\n  {error}" for error in bad)
        raise ValueError(f"{len(bad)} of {len(images)} images could not be {done}:{listed}")
