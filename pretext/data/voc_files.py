"""The files of a set in VOC's layout: its lists, and image, mask and annotation of each of their entries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from pretext.data.decode import SUFFIXES, BadImage
from pretext.data.files import Files
from pretext.data.lists import read_lines
from pretext.data.parts import by_role
from pretext.data.source import BadArchive

LOSSLESS = frozenset({".png", ".bmp", ".gif", ".tif", ".tiff"})
"""Suffixes of masks."""

_FLAG = re.compile(r"\s+[-+]?[01]$")
"""What stands behind the names in VOC's lists of one class: whether it is there."""


@dataclass(frozen=True)
class VocFiles:
    """Files with the one folder among them, `base`, that holds `ImageSets`."""

    files: Files
    base: PurePosixPath

    def lists(self, image_set: str) -> list[str]:
        """Names of the lists of an image set, without their suffix."""
        place = self.base / "ImageSets" / image_set
        paths = map(PurePosixPath, self.files.names)
        return sorted(path.stem for path in paths if path.parent == place and path.suffix == ".txt")

    def listed(self, image_set: str, part: str) -> list[str]:
        """The images that a list names, as `image` takes them.

        A line is a name with or without a suffix or the folder before it, blanks in it or not, and with or
        without the flag of VOC's lists of one class.

        Raises: BadArchive where there is no such list.
        """
        path = str(self.base / "ImageSets" / image_set / f"{part}.txt")
        title = self.files.title(path)
        if path not in self.files.names:
            there = ", ".join(self.lists(image_set))
            raise BadArchive(f"{title} is missing" + (f"; there are lists {there}" if there else ""))
        images = [self._entry(line) for line in read_lines(self.files.read(path), title)]
        if not images:
            raise BadArchive(f"{title} names no image")
        return images

    def _entry(self, line: str) -> str:
        plain = line.replace("\\", "/").removeprefix("./").removeprefix("JPEGImages/")
        unflagged = _FLAG.sub("", plain)
        words = plain.split()
        tried = [line, plain, _bare(plain), unflagged, _bare(unflagged), words[0], _bare(words[0])]
        return next((name for name in tried if name in self._images), _bare(unflagged))

    def image(self, name: str) -> str:
        """Path of an image. Raises: BadImage where it is not there, BadArchive where there are two."""
        return self._one("JPEGImages", name, self._images, ".jpg")

    def mask(self, name: str) -> str:
        """Path of a mask. Raises: as `image`."""
        return self._one("SegmentationClass", name, self._masks, ".png")

    def annotation(self, name: str) -> str:
        """Path of an annotation. Raises: as `image`."""
        return self._one("Annotations", name, self._annotations, ".xml")

    def is_annotated(self, name: str) -> bool:
        """Whether an image has an annotation."""
        return name in self._annotations

    def paths(self, name: str) -> list[str]:
        """Paths of the files that may be this image."""
        return self._images.get(name, [])

    def unlisted(self, images: Sequence[str]) -> int:
        """How many images there are beside these."""
        return len(self._images.keys() - set(images))

    @cached_property
    def _images(self) -> dict[str, list[str]]:
        return self._stems("JPEGImages", SUFFIXES)

    @cached_property
    def _masks(self) -> dict[str, list[str]]:
        return self._stems("SegmentationClass", LOSSLESS)

    @cached_property
    def _annotations(self) -> dict[str, list[str]]:
        return self._stems("Annotations", frozenset({".xml"}))

    def _stems(self, folder: str, suffixes: frozenset[str]) -> dict[str, list[str]]:
        """Paths of a folder's files with one of these suffixes, by their names in it without the suffix."""
        place = self.base / folder
        found: dict[str, list[str]] = {}
        for name in sorted(self.files.names):
            path = PurePosixPath(name)
            if path.suffix.lower() in suffixes and path.is_relative_to(place):
                found.setdefault(str(path.relative_to(place).with_suffix("")), []).append(name)
        return found

    def _one(self, folder: str, name: str, stems: dict[str, list[str]], usual: str) -> str:
        exact = str(self.base / folder / f"{name}{usual}")
        if exact in self.files.names:
            return exact
        found = stems.get(name, [])
        if len(found) > 1:
            raise BadArchive(f"{self.files.title(found[0])} and {found[1]} are both there: which is {name}?")
        if not found:
            raise BadImage(self.files.title(exact), f"is listed but not there{self._others(folder, name)}")
        return found[0]

    def _others(self, folder: str, name: str) -> str:
        start = f"{self.base / folder / name}."
        others = sorted(path for path in self.files.names if path.startswith(start))
        return f", but {PurePosixPath(others[0]).name}, which is not read" if others else ""


def find_base(files: Files, name: str) -> VocFiles:
    """The one folder that holds `ImageSets`; BadArchive where there is none, or several."""
    found = {
        PurePosixPath(*parts[: parts.index("ImageSets")])
        for parts in (PurePosixPath(file).parts for file in files.names)
        if "ImageSets" in parts
    }
    if len(found) != 1:
        listed = ", ".join(sorted(map(str, found))) or "none"
        raise BadArchive(f"{files.title('')}: {name} needs one folder with ImageSets, found {listed}")
    return VocFiles(files, found.pop())


def chosen_lists(files: VocFiles, image_set: str) -> tuple[list[str], str | None]:
    """The lists that become the splits: train, val and test, or those of train with val, and of test.

    Returns:
        The two or three lists, and one that is called test but has no annotations, if there is one.
    """
    roles = by_role(files.lists(image_set), f"ImageSets/{image_set}")
    train = roles.get("train", "trainval" if "trainval" in files.lists(image_set) else "train")
    test, unannotated = roles.get("test"), None
    if test is not None and not any(map(files.is_annotated, files.listed(image_set, test))):
        test, unannotated = None, test
    val = roles.get("val") if train != "trainval" or test is None else None
    parts = [train, *(part for part in (val, test) if part is not None)]
    return (parts if len(parts) > 1 else [train, "val"]), unannotated


def _bare(name: str) -> str:
    """Without the suffix of an image."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else name
