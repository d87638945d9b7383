"""Images that a person names, a file or a folder, and where what is made of each goes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pretext.data.decode import SUFFIXES
from pretext.data.walk import walk


def find(path: Path) -> list[Path]:
    """What is called like an image in a folder, subfolders included, or the one path that is no folder.

    Links to nothing, pipes and their like are among them: whoever reads them is told so.

    Raises:
        FileNotFoundError: nothing there, or a folder without images.
        MissingData, BadArchive: as `walk`.
    """
    if not path.is_dir():
        if not path.exists():
            what = " but a link to nothing" if path.is_symlink() else ""
            raise FileNotFoundError(f"there is no image or folder {path}{what}")
        return [path]
    found = walk(path).called_images
    if not found:
        raise FileNotFoundError(f"{path} has no images; recognised are {', '.join(sorted(SUFFIXES))}")
    return found


def targets(source: Path, folder: Path) -> dict[Path, Path]:
    """Where the picture made of each image goes that `find` finds: a PNG by its name below `source`.

    Raises:
        FileNotFoundError: as `find`.
    """
    files = find(source)
    stems = Counter(file.with_suffix("") for file in files)
    found = {}
    for file in files:
        inside = file.relative_to(source) if source.is_dir() else Path(file.name)
        ambiguous = stems[file.with_suffix("")] > 1
        found[file] = folder / inside.with_name(f"{inside.name if ambiguous else inside.stem}.png")
    return found
