"""Files of a data set by name, from a folder or straight out of a tar archive."""

from __future__ import annotations

import tarfile
import typing
from pathlib import Path, PurePosixPath

from pretext.data.dataset import Remark
from pretext.data.source import BadArchive, file_identity, folder_identity
from pretext.data.walk import ignored, is_image, is_strange, walk


class Files(typing.Protocol):
    """Named files. Names are relative, with slashes. remarks: on what was left out of them."""

    names: frozenset[str]
    remarks: tuple[Remark, ...]

    def read(self, name: str) -> bytes:
        """Content of one file."""
        ...

    def identity(self) -> str:
        """Digest that changes with the files."""
        ...

    def title(self, name: str) -> str:
        """What to call a file in a message."""
        ...


class FolderFiles:
    """Files under a folder, see `walk`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        walked = walk(root)
        self._paths = {walked.name(path): path for path in walked.files}
        self.names = frozenset(self._paths)
        self.remarks = tuple(walked.remarks(files=False))

    def read(self, name: str) -> bytes:
        """Content of one file."""
        return self._paths[name].read_bytes()

    def identity(self) -> str:
        """Digest of names, sizes and times of change."""
        return folder_identity(self._root, self._paths.values())

    def title(self, name: str) -> str:
        """The path."""
        return str(self._root / name)


class TarFiles:
    """Files of an uncompressed tar archive, read in place: no member can land outside a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with tarfile.open(path, "r:") as tar:
                members = [member for member in tar.getmembers() if member.isreg() and not member.issparse()]
        except (OSError, EOFError, tarfile.TarError) as error:
            raise BadArchive(f"{path} is no uncompressed tar archive that can be read ({error})") from error
        spans = {m.name.removeprefix("./"): (m.offset_data, m.size) for m in members}
        strange = {name: _strange(PurePosixPath(name)) for name in spans}
        self._spans = {name: span for name, span in spans.items() if strange[name] is None}
        self.names = frozenset(self._spans)
        folders_and_images = sorted(
            {path for name, path in strange.items() if path and (str(path) != name or is_image(path))}
        )
        self.remarks = tuple(ignored(path.name for path in folders_and_images))

    def read(self, name: str) -> bytes:
        """Content of one file."""
        offset, size = self._spans[name]
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def identity(self) -> str:
        """Digest of the whole archive."""
        return file_identity(self._path)

    def title(self, name: str) -> str:
        """Archive and member."""
        return f"{self._path}:{name}"


def _strange(path: PurePosixPath) -> PurePosixPath | None:
    """The file itself, or the folder it lies in, that is no part of a set; None if it is one."""
    inside = [*reversed(path.parents), path][1:]
    return next((part for part in inside if is_strange(part.name)), None)


def open_files(path: Path) -> Files:
    """Files of a folder or of a tar archive."""
    return FolderFiles(path) if path.is_dir() else TarFiles(path)
