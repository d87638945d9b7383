"""Photographs in folders: one folder a class, or all in one for images without labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pretext.data.class_folders import Listed, listed
from pretext.data.dataset import DataSet, Remark
from pretext.data.decode import SKIP_SHARE, Decoding
from pretext.data.pack import Progress, silent
from pretext.data.parts import by_role
from pretext.data.published import divided, published, share
from pretext.data.source import BadArchive, MissingData
from pretext.data.square import Square
from pretext.data.walk import walk


def image_folder(
    root: str | None,
    cache: str,
    size: int,
    *,
    val: float = 0.1,
    test: float = 0.1,
    name: str = "image_folder",
    upscale: bool = False,
    upright: bool = True,
    bits: int | None = None,
    stream: bool = False,
    skip_bad: bool = False,
    skip_share: float = SKIP_SHARE,
    progress: Progress = silent,
) -> DataSet:
    """Read a folder of images as squares, see `Square`.

    Where `root` holds folders for splits, see `ROLES` for how they may be called, they are these: `train`,
    `val` and `test` as they are; `train` and one of the others, and that is test, and val is carved out of
    train. A test folder whose images lie side by side, where those of train have classes, is left out. Else
    test and val are carved out of all images; a lone folder `train` counts as all. Below that, folders are
    classes in the order of their names, with images at any depth; images side by side have no labels.

    Args:
        root: the folder itself.
        cache: folder of packs.
        size: side of the squares in pixels.
        val, test: shares of the images that are carved out, in (0, 1), each where no folder gives it.
        name: of the data set.
        upscale: enlarge images smaller than the square instead of refusing them.
        upright, bits: see `Decoding`.
        stream: decode images when they are asked for instead of packing them; for sets larger than the disk.
        skip_bad: leave bad images out instead of stopping at the first.
        skip_share: of the images that may be bad then, at most; one may always be.
        progress: progress(what, done, total) while packing.

    Raises: MissingData, EmptyFolder, BadArchive, BadImage; Leak where no image of a split is its own.
    """
    place = _existing(root, name)
    square, decoding = Square(size, upscale), Decoding(upright, bits)
    parts = _parts(place)
    if parts.test is None:
        everything = parts.train
        return divided(
            name,
            cache,
            everything.source(square, decoding),
            val,
            test,
            label_names=everything.classes,
            notes=(square.note(), *parts.notes),
            remarks=parts.remarks,
            stream=stream,
            skip_bad=skip_bad,
            skip_share=skip_share,
            progress=progress,
        )
    return published(
        name,
        cache,
        parts.train.source(square, decoding),
        parts.test.source(square, decoding),
        share(val, "val", len(parts.train.files))
        if parts.val is None
        else parts.val.source(square, decoding),
        label_names=parts.train.classes,
        notes=(square.note(), *parts.notes),
        remarks=parts.remarks,
        stream=stream,
        skip_bad=skip_bad,
        skip_share=skip_share,
        progress=progress,
    )


@dataclass(frozen=True)
class _Parts:
    """What becomes train, val and test; None: carved out of train."""

    train: Listed
    val: Listed | None = None
    test: Listed | None = None
    remarks: tuple[Remark, ...] = ()
    notes: tuple[str, ...] = ()


def _parts(place: Path) -> _Parts:
    top = walk(place, deep=False)
    folders = [folder.name for folder in top.folders]
    roles = by_role(folders, str(place))
    others = [folder for folder in folders if folder not in roles.values()]
    if not roles or (others and len(roles) == 1) or "train" not in roles:
        return _classes(place, roles, others)
    train = listed(place / roles["train"])
    beside = top.remarks()
    if others:
        beside.append(Remark("other folders", len(others), tuple(others), "other folder"))
    if top.images:
        beside.append(Remark(f"beside {roles['train']}/", len(top.images)))
    found = {role: listed(place / folder) for role, folder in roles.items() if role != "train"}
    test = found.get("test")
    if test is not None and train.classes and not test.classes:
        beside.append(Remark(f"in {roles['test']}/ without classes", len(test.files)))
        del found["test"]
    for part in found.values():
        part.require(train.classes)
    if not found:
        return _Parts(train, remarks=tuple(beside))
    if len(found) == 2:
        return _Parts(
            train, found["val"], found["test"], tuple(beside), ("the three folders are the splits",)
        )
    role, part = next(iter(found.items()))
    folder = roles[role]
    if role == "val":
        beside.append(Remark(f"{folder}/ is test, val is carved out of {roles['train']}/", left_out=False))
    return _Parts(train, None, part, tuple(beside), (f"the folder {folder} is test",))


def _classes(place: Path, roles: dict[str, str], others: list[str]) -> _Parts:
    """All folders are classes, also those that are called like a split: which is said."""
    if roles and not others:
        raise BadArchive(
            f"{place} holds {' and '.join(f'{name}/' for name in sorted(roles.values()))}, but no train/"
        )
    said = [
        Remark(f"the folder {name} is a class, not a split", left_out=False)
        for name in sorted(roles.values())
    ]
    return _Parts(listed(place), remarks=tuple(said))


def _existing(root: str | None, name: str) -> Path:
    if root is None:
        raise MissingData(
            f"{name} needs a folder: set data.root=PATH or the environment variable PRETEXTBENCH_DATA"
        )
    place = Path(root)
    if not place.is_dir():
        raise MissingData(f"{name}: {place.resolve()} is no folder; set data.root=PATH to one with images")
    return place
