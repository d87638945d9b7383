"""Images listed from folders, a folder a class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pretext.data.dataset import Remark
from pretext.data.decode import AS_USUAL, Decoding
from pretext.data.labelled import Labels
from pretext.data.photographs import Encoded, Photographs, decoded_as, read_file
from pretext.data.published import Source
from pretext.data.source import BadArchive, MissingData, folder_identity
from pretext.data.square import Square
from pretext.data.walk import none_read, walk


class EmptyFolder(MissingData):
    """A folder of images without images."""


@dataclass(frozen=True)
class Listed:
    """Image files under `place` in order, and the classes: names of folders, none where images lie loose.

    remarks: on what lies beside the images and was left out.
    """

    place: Path
    files: list[Path]
    classes: tuple[str, ...]
    remarks: tuple[Remark, ...] = ()

    def source(self, fit: Square, decoding: Decoding = AS_USUAL) -> Source:
        """The files as photographs, each with the class of its folder."""
        index = {name: label for label, name in enumerate(self.classes)}

        def encoded(position: int) -> Encoded:
            return read_file(self.files[position])

        def labels(position: int, height: int, width: int) -> Labels:
            top = self.files[position].relative_to(self.place).parts[0]
            return Labels(index[top]) if index else Labels()

        identity = {
            "files": folder_identity(self.place, self.files),
            **fit.describe(),
            **decoded_as((path.name for path in self.files), decoding),
        }
        return Source(
            identity, lambda: Photographs(len(self.files), encoded, fit, labels, decoding), self.remarks
        )

    def require(self, classes: tuple[str, ...]) -> None:
        """Raise BadArchive unless these are the classes of another part of the set."""
        if self.classes != classes:
            odd = ", ".join(sorted(set(self.classes) ^ set(classes)))
            raise BadArchive(f"{self.place} and the images of train differ in their classes: {odd}")


def listed(place: Path) -> Listed:
    """List the images under a folder; links are followed, hidden files and folders left out.

    Raises:
        EmptyFolder: no images, or a class without images.
        MissingData: a folder that cannot be read.
        BadArchive: both folders of images and loose ones, or a loop of links.
    """
    walked = walk(place)
    files, remarks = walked.images, tuple(walked.remarks())
    if not files:
        raise EmptyFolder(f"{place} holds no images{none_read(walked)}")
    loose = [path for path in files if path.parent == place]
    if len(loose) == len(files):
        return Listed(place, files, (), remarks)
    if loose:
        raise BadArchive(
            f"{place} holds both images ({loose[0].name}) and folders of images: which is a class?"
        )
    filled = {path.relative_to(place).parts[0] for path in files}
    for folder in walked.folders:
        if folder.name not in filled:
            raise EmptyFolder(f"class folder {folder} holds no images{none_read(walked, folder)}")
    return Listed(place, files, tuple(folder.name for folder in walked.folders), remarks)
