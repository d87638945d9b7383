"""Images that a person names, a file or a folder, and where what is made of each goes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pretext.data.decode import SUFFIXES
from pretext.data.walk import image_files


def find(path: Path) -> list[Path]:
    """Image files of a folder, subfolders included, or the one file.

    Raises:
        FileNotFoundError: nothing there, or a folder without images.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"there is no image or folder {path}")
    found = image_files(path)
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
