"""The one walk through folders: links are followed, what is no part of a set is told apart and counted."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from pretext.data.dataset import Remark
from pretext.data.decode import SUFFIXES
from pretext.data.source import BadArchive, MissingData

SYSTEM = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
"""Folders that systems leave behind; what lies in them is no part of a set, even where it is images."""


@dataclass(frozen=True)
class Walked:
    """What lies under `root`, at any depth, each sorted by its name relative to it with slashes.

    files: all that are there. folders: those in `root` itself. ignored: hidden ones and those of systems,
    files only where they are called like images; broken: links to nothing; odd: what is neither file nor
    folder (pipes, sockets, devices).
    """

    root: Path
    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    ignored: tuple[Path, ...] = ()
    broken: tuple[Path, ...] = ()
    odd: tuple[Path, ...] = ()

    @property
    def images(self) -> list[Path]:
        """The files whose suffix is one of images that are read."""
        return [path for path in self.files if is_image(path)]

    @property
    def called_images(self) -> list[Path]:
        """What is called like an image, whether or not there is a file behind it; in the order of names."""
        found = [*self.files, *self.broken, *self.odd]
        return sorted((path for path in found if is_image(path)), key=self.name)

    def name(self, path: Path) -> str:
        """The name of a path relative to `root`, with slashes."""
        return path.relative_to(self.root).as_posix()

    def remarks(self, files: bool = True) -> list[Remark]:
        """What is left out of the images; `files`: files that are no images count as left out."""
        found = []
        if files:
            suffixes = Counter(path.suffix.lower() for path in self.files if not is_image(path))
            for suffix, count in sorted(suffixes.items(), key=lambda item: (-item[1], item[0])):
                found.append(Remark(f"{suffix or 'without a suffix'} not read", count))
        found += ignored(path.name for path in self.ignored)
        if self.broken:
            names = tuple(map(self.name, self.broken))
            found.append(Remark("links to nothing", len(self.broken), names, one="link to nothing"))
        if self.odd:
            names = tuple(map(self.name, self.odd))
            found.append(Remark("pipes, sockets or devices", len(self.odd), names, "pipe, socket or device"))
        return found


def is_image(path: PurePath) -> bool:
    """Whether a file is called like an image that is read."""
    return path.suffix.lower() in SUFFIXES


def is_strange(name: str) -> bool:
    """Whether a file or folder of this name is hidden or a system's, and no part of a set."""
    return name.startswith(".") or name in SYSTEM


def ignored(names: Iterable[str]) -> list[Remark]:
    """A remark on files and folders of these names, or none."""
    listed = list(names)
    return [Remark("ignored", len(listed), tuple(dict.fromkeys(listed)))] if listed else []


def walk(root: Path, *, deep: bool = True) -> Walked:
    """List a folder and all below it, or, not `deep`, what lies in it alone; nothing is opened.

    Raises:
        MissingData: a folder that cannot be read.
        BadArchive: a link to a folder that it lies in, which would never end.
    """
    found = _Found()
    _enter(root, {_key(root): root}, found, deep)

    def by_name(paths: Iterable[Path]) -> tuple[Path, ...]:
        return tuple(sorted(paths, key=lambda path: path.relative_to(root).as_posix()))

    return Walked(
        root,
        by_name(found.files),
        by_name(path for path in found.folders if path.parent == root),
        by_name(found.ignored),
        by_name(found.broken),
        by_name(found.odd),
    )


def image_files(folder: Path) -> list[Path]:
    """Image files under a folder at any depth, sorted by name, see `walk`."""
    return walk(folder).images


def none_read(walked: Walked, within: Path | None = None) -> str:
    """Words on what a folder without images holds instead; within: the one below `walked` that is meant."""
    files = [path for path in walked.files if within is None or within in path.parents]
    suffixes = Counter(path.suffix.lower() or "no suffix" for path in files if not is_image(path))
    if not suffixes:
        return ""
    held = ", ".join(f"{count} {suffix}" for suffix, count in sorted(suffixes.items()))
    return f", but files that are not read: {held}; those that are end in {', '.join(sorted(SUFFIXES))}"


@dataclass
class _Found:
    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    ignored: list[Path] = field(default_factory=list)
    broken: list[Path] = field(default_factory=list)
    odd: list[Path] = field(default_factory=list)


def _enter(folder: Path, above: dict[tuple[int, int], Path], found: _Found, deep: bool) -> None:
    """`above`: the folder and those it lies in, as the walk came to them."""
    for path, is_folder, is_file in _entries(folder):
        if is_strange(path.name):
            if is_folder or is_image(path):
                found.ignored.append(path)
        elif is_folder and not deep:
            found.folders.append(path)
        elif is_folder:
            key = _key(path)
            if key in above:
                raise BadArchive(f"{path} is a link to {above[key]}, in which it lies: a loop of folders")
            found.folders.append(path)
            _enter(path, {**above, key: path}, found, deep)
        elif is_file:
            found.files.append(path)
        elif path.is_symlink() and not path.exists():
            found.broken.append(path)
        else:
            found.odd.append(path)


def _entries(folder: Path) -> list[tuple[Path, bool, bool]]:
    """What a folder holds: path, whether it is a folder, whether it is a file; links count as their ends."""
    found, path = [], folder
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                path = folder / entry.name
                found.append((path, *_kind(entry)))
    except OSError as error:
        raise MissingData(f"{path} cannot be read ({error.strerror})") from error
    return sorted(found)


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    try:
        return entry.is_dir(), entry.is_file()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False, False  # a link that ends nowhere but at itself


def _key(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
