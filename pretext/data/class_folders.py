"""Images listed from folders, a folder a class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pretext.data.labelled import Labels
from pretext.data.photographs import Encoded, Photographs, read_file
from pretext.data.published import Source
from pretext.data.source import BadArchive, MissingData, folder_identity, image_files
from pretext.data.square import Square


class EmptyFolder(MissingData):
    """A folder of images without images."""


@dataclass(frozen=True)
class Listed:
    """Image files under `place` in order, and the classes: names of folders, none where images lie loose."""

    place: Path
    files: list[Path]
    classes: tuple[str, ...]

    def source(self, fit: Square) -> Source:
        """The files as photographs, each with the class of its folder."""
        index = {name: label for label, name in enumerate(self.classes)}

        def encoded(position: int) -> Encoded:
            return read_file(self.files[position])

        def labels(position: int, height: int, width: int) -> Labels:
            top = self.files[position].relative_to(self.place).parts[0]
            return Labels(index[top]) if index else Labels()

        identity = {"files": folder_identity(self.place, self.files), **fit.describe()}
        return Source(identity, lambda: Photographs(len(self.files), encoded, fit, labels))

    def require(self, classes: tuple[str, ...]) -> None:
        """Raise BadArchive unless these are the classes of another part of the set."""
        if self.classes != classes:
            odd = ", ".join(sorted(set(self.classes) ^ set(classes)))
            raise BadArchive(f"{self.place} and the images of train differ in their classes: {odd}")


def listed(place: Path) -> Listed:
    """List the images under a folder.

    Raises:
        EmptyFolder: no images, or a class without images.
        BadArchive: both folders of images and loose ones.
    """
    files = image_files(place)
    if not files:
        raise EmptyFolder(f"{place} holds no images")
    loose = [path for path in files if path.parent == place]
    if len(loose) == len(files):
        return Listed(place, files, ())
    if loose:
        raise BadArchive(
            f"{place} holds both images ({loose[0].name}) and folders of images: which is a class?"
        )
    folders = sorted(p for p in place.iterdir() if p.is_dir() and not p.name.startswith("."))
    filled = {path.relative_to(place).parts[0] for path in files}
    for folder in folders:
        if folder.name not in filled:
            raise EmptyFolder(f"class folder {folder} holds no images")
    return Listed(place, files, tuple(folder.name for folder in folders))
