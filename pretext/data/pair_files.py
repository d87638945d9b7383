"""Images and their masks found side by side: in two folders, or in lists of pairs."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from pretext.data.dataset import Remark
from pretext.data.files import Files
from pretext.data.lists import read_lines
from pretext.data.parts import ROLES, by_role
from pretext.data.source import BadArchive
from pretext.data.voc_files import LOSSLESS
from pretext.data.walk import is_image

IMAGES = ("images", "image", "imgs", "img", "JPEGImages", "photos", "leftImg8bit", "rgb")
"""What the folder of images may be called, in any case."""

MASKS = (
    "masks", "mask", "labels", "label", "annotations", "annotation", "anns", "ann", "SegmentationClass",
    "SegmentationClassPNG", "segmentations", "segmentation", "seg", "groundtruth", "gt", "gtFine", "trimaps",
)  # fmt: skip
"""What the folder of masks may be called, in any case."""

IMAGE_ENDS = ("", "_leftImg8bit", "_image", "_img", "_sat", "_rgb")
"""What may stand behind the name that an image shares with its mask."""

MASK_ENDS = (
    "_mask", "-mask", ".mask", "_masks", "_gt", "_label", "_labels", "_seg", "_segmentation",
    "_gtFine_labelIds", "_labelIds",
)  # fmt: skip
"""What may stand behind that name in the mask's."""

_CALLED = frozenset(name.lower() for name in (*IMAGES, *MASKS))

LISTS = frozenset({".txt", ".csv", ".tsv"})
"""Suffixes of lists."""


@dataclass(frozen=True)
class Pairs:
    """Paths of image and mask by split; all under "all" where nothing tells splits. remarks: on the rest."""

    parts: Mapping[str, Sequence[tuple[str, str]]]
    remarks: tuple[Remark, ...] = ()


@dataclass
class _Found:
    """Files of a kind by the name that an image shares with its mask: its path without folder and suffix."""

    what: str
    option: str
    known: Sequence[str]
    given: str | None
    suffixes: frozenset[str] | None
    paths: dict[str, list[str]] = field(default_factory=dict)

    def take(self, path: PurePosixPath) -> None:
        """Add a file if it lies in one of the folders."""
        if not (is_image(path) if self.suffixes is None else path.suffix.lower() in self.suffixes):
            return
        folders = path.parts[:-1]
        rest = self._without(folders)
        if rest is not None:
            self.paths.setdefault("/".join((*rest, path.stem)), []).append(str(path))

    @cached_property
    def names(self) -> dict[str, str]:
        """The shared name by path."""
        return {path: name for name, paths in self.paths.items() for path in paths}

    @cached_property
    def by_stem(self) -> dict[str, list[str]]:
        """Shared names by their last part."""
        found: dict[str, list[str]] = {}
        for name in self.paths:
            found.setdefault(PurePosixPath(name).name, []).append(name)
        return found

    def lies_in(self, path: PurePosixPath) -> bool:
        """Whether a file lies in one of the folders."""
        return self._without(path.parts[:-1]) is not None

    def _without(self, folders: tuple[str, ...]) -> tuple[str, ...] | None:
        if self.given is not None:
            own = PurePosixPath(self.given).parts
            for start in range(len(folders) - len(own) + 1):
                if folders[start : start + len(own)] == own:
                    return folders[:start] + folders[start + len(own) :]
            return None
        if not any(folder.lower() in map(str.lower, self.known) for folder in folders):
            return None
        return tuple(folder for folder in folders if folder.lower() not in _CALLED)


def find_pairs(
    files: Files, images: str | None, masks: str | None, lists: Mapping[str, str] | str | None
) -> Pairs:
    """Pair images with masks.

    The folders are those given, relative to the root or to a split's folder, or those called as in `IMAGES`
    and `MASKS`. A mask is called like its image, with an end of `MASK_ENDS` or without. Splits are the
    lists, those in files or those given, or the folders of splits above or below (`images/train`,
    `train/images`), see `ROLES`.

    Raises: BadArchive.
    """
    photos = _Found("images", "data.images", IMAGES, images, None)
    labels = _Found("masks", "data.masks", MASKS, masks, LOSSLESS)
    for name in sorted(files.names):
        path = PurePosixPath(name)
        labels.take(path)
        if images is not None or not labels.lies_in(path):
            photos.take(path)
    listed = _lists(files, lists)
    if listed:
        return _listed(files, listed, photos, labels)
    for found in (photos, labels):
        if not found.paths:
            raise BadArchive(_none(files, found))
    pairs, alone = _paired(files, photos, labels)
    unlabelled, alone = _unlabelled(pairs, alone)
    remarks = [*files.remarks, *unlabelled, *_alone(photos, labels, pairs, alone)]
    if len(alone) > len(pairs):
        examples = f"{photos.paths[alone[0]][0]} and {next(iter(labels.paths.values()))[0]}"
        raise BadArchive(
            f"{files.title('')}: {len(alone)} of {len(alone) + len(pairs)} images have no mask ({examples}): "
            f"a mask is called like its image, or ends in one of {', '.join(MASK_ENDS)} besides"
        )
    return _by_folder(files, pairs, remarks)


def _none(files: Files, found: _Found) -> str:
    folders = sorted({str(PurePosixPath(name).parent) for name in files.names})
    here = ", ".join(folders[:8]) + (", …" if len(folders) > 8 else "")
    ends = "" if found.suffixes is None else f" in {', '.join(sorted(found.suffixes))}"
    called = f"called {found.given}" if found.given else f"called as one of {', '.join(found.known)}"
    return (
        f"{files.title('')} has no {found.what}{ends} in a folder {called}; {found.option}=FOLDER names it; "
        f"folders here: {here or 'none'}"
    )


def _paired(files: Files, photos: _Found, labels: _Found) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Pairs by the shared name, and the names of images without a mask."""
    pairs: dict[str, tuple[str, str]] = {}
    alone: list[str] = []
    for key, paths in photos.paths.items():
        mask = _mask_of(files, key, labels)
        if len(paths) > 1:
            raise BadArchive(f"{files.title(paths[0])} and {paths[1]} are both there: which is {key}?")
        if mask is None:
            alone.append(key)
        else:
            pairs[key] = (paths[0], mask)
    return pairs, alone


def _mask_of(files: Files, key: str, labels: _Found) -> str | None:
    stems = [key.removesuffix(end) for end in IMAGE_ENDS if key.endswith(end)]
    names = [key, *(f"{stem}{end}" for stem in stems for end in MASK_ENDS), *stems]
    found = [path for name in dict.fromkeys(names) for path in labels.paths.get(name, [])]
    if key in labels.paths:
        found = labels.paths[key]
    if len(found) > 1:
        raise BadArchive(
            f"{files.title(found[0])} and {found[1]} are both there: which is the mask of {key}? "
            "data.masks=FOLDER names the folder, or data.lists the pairs"
        )
    return found[0] if found else None


def _unlabelled(pairs: Mapping[str, object], alone: Sequence[str]) -> tuple[list[Remark], list[str]]:
    """Splits of which no image has a mask, as published for contests, apart from other images without."""
    labelled = {_role_folder(key) for key in pairs}
    counts = Counter(folder for key in alone if (folder := _role_folder(key)) not in labelled and folder)
    said = [Remark(f"in {folder}/ without masks", count) for folder, count in sorted(counts.items())]
    return said, [key for key in alone if _role_folder(key) not in counts]


def _alone(
    photos: _Found, labels: _Found, pairs: Mapping[str, tuple[str, str]], alone: Sequence[str]
) -> list[Remark]:
    said = []
    if alone:
        names = tuple(PurePosixPath(photos.paths[key][0]).name for key in alone)
        said.append(Remark("images without a mask", len(alone), names, one="image without a mask"))
    used = {mask for _, mask in pairs.values()}
    rest = [path for paths in labels.paths.values() for path in paths if path not in used]
    if rest:
        names = tuple(PurePosixPath(path).name for path in rest)
        said.append(Remark("masks without an image", len(rest), names, one="mask without an image"))
    return said


def _by_folder(files: Files, pairs: Mapping[str, tuple[str, str]], remarks: Sequence[Remark]) -> Pairs:
    """Splits by the first folder of each that is called like one."""
    folders = {key: _role_folder(key) for key in pairs}
    roles = by_role({folder for folder in folders.values() if folder}, files.title(""))
    if not roles:
        return Pairs({"all": list(pairs.values())}, tuple(remarks))
    if "train" not in roles:
        held = " and ".join(f"{name}/" for name in sorted(roles.values()))
        raise BadArchive(f"{files.title('')} holds {held}, but no train/ with images and masks")
    parts = {
        role: [pair for key, pair in pairs.items() if folders[key] == folder]
        for role, folder in roles.items()
    }
    beside = sum(folder is None for folder in folders.values())
    said = [Remark("in no folder of a split", beside)] if beside else []
    return Pairs(parts, (*remarks, *said))


def _role_folder(key: str) -> str | None:
    called = frozenset().union(*ROLES.values())
    return next((part for part in PurePosixPath(key).parts[:-1] if part.lower() in called), None)


def _lists(files: Files, given: Mapping[str, str] | str | None) -> dict[str, str]:
    """Paths of lists by split, "all" for one of all."""
    if given is not None:
        wanted = {"all": given} if isinstance(given, str) else dict(given)
        if wanted.keys() != {"all"} and ("train" not in wanted or wanted.keys() - ROLES.keys()):
            raise ValueError(f"data.lists names lists of train, val and test, or one list; not {wanted}")
        for listing in wanted.values():
            if listing not in files.names:
                raise BadArchive(f"{files.title(listing)}, which data.lists names, is not there")
        return wanted
    places: dict[str, list[str]] = {}
    for name in sorted(files.names):
        path = PurePosixPath(name)
        if path.suffix.lower() in LISTS and _is_role(path.stem):
            places.setdefault(str(path.parent), []).append(name)
    places = {place: names for place, names in places.items() if any(_is_role(n, "train") for n in names)}
    if len(places) > 1:
        segmentation = [place for place in places if PurePosixPath(place).name.lower() == "segmentation"]
        if len(segmentation) != 1:
            raise BadArchive(
                f"{files.title('')} holds lists of splits in {' and '.join(places)}: "
                "'data.lists={train: …, val: …, test: …}' says which"
            )
        places = {segmentation[0]: places[segmentation[0]]}
    for place, names in places.items():
        stems = {PurePosixPath(name).stem: name for name in names}
        return {role: stems[stem] for role, stem in by_role(stems, place).items()}
    return {}


def _is_role(name: str, role: str | None = None) -> bool:
    stem = PurePosixPath(name).stem.lower() if "." in name else name.lower()
    return any(stem in called for key, called in ROLES.items() if role in (None, key))


def _listed(files: Files, lists: Mapping[str, str], photos: _Found, labels: _Found) -> Pairs:
    parts = {role: _read(files, path, photos, labels) for role, path in lists.items()}
    used = {image for pairs in parts.values() for image, _ in pairs}
    unlisted = sum(path not in used for paths in photos.paths.values() for path in paths)
    said = [Remark("images in no list", unlisted, one="image in no list")] if unlisted else []
    return Pairs(parts, (*files.remarks, *said))


def _read(files: Files, path: str, photos: _Found, labels: _Found) -> list[tuple[str, str]]:
    title = files.title(path)
    lines = read_lines(files.read(path), title)
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(lines):
        fields = _fields(files, path, line, photos)
        image = _file(files, path, fields[0], photos)
        if image is None and number == 0 and not any(is_image(PurePosixPath(word)) for word in fields):
            continue  # heads of columns
        if image is None:
            raise BadArchive(f"{title}, line {number + 1}: there is no image {fields[0]!r}")
        if len(fields) > 1:
            mask = _file(files, path, fields[1], labels)
            if mask is None:
                raise BadArchive(f"{title}, line {number + 1}: there is no mask {fields[1]!r}")
        else:
            key = photos.names.get(image)
            mask = None if key is None else _mask_of(files, key, labels)
            if mask is None:
                raise BadArchive(f"{title}, line {number + 1}: {image} has no mask")
        pairs.append((image, mask))
    if not pairs:
        raise BadArchive(f"{title} names no image")
    return pairs


def _fields(files: Files, path: str, line: str, photos: _Found) -> list[str]:
    """A name alone, blanks in it or not, or two: between them a tab, a comma, a semicolon or blanks."""
    if _file(files, path, line, photos) is not None:
        return [line]
    for mark in "\t,;":
        if mark in line:
            return [word.strip() for word in next(csv.reader([line], delimiter=mark))][:2]
    return line.split()[:2]


def _file(files: Files, path: str, name: str, found: _Found) -> str | None:
    """A file that a list names: by its path from the root or from the list, or by its name in its folder."""
    plain = name.replace("\\", "/").removeprefix("./")
    for whole in (plain, str(PurePosixPath(path).parent / plain)):
        if whole in files.names:
            return whole
    bare = PurePosixPath(plain)
    key = str(bare.with_suffix("")) if is_image(bare) else plain
    alike = found.by_stem.get(PurePosixPath(key).name, [])
    named = [found.paths[known] for known in alike if f"/{known}".endswith(f"/{key}")]
    return named[0][0] if len(named) == 1 and len(named[0]) == 1 else None
