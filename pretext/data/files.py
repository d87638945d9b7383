"""Files of a data set by name, from a folder or straight out of a tar archive."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Protocol

from pretext.data.source import BadArchive, file_identity, folder_identity


class Files(Protocol):
    """Named files. Names are relative, with slashes."""

    names: frozenset[str]

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
    """Files under a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._paths = {p.relative_to(root).as_posix(): p for p in sorted(root.rglob("*")) if p.is_file()}
        self.names = frozenset(self._paths)

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
        self._spans = {m.name.removeprefix("./"): (m.offset_data, m.size) for m in members}
        self.names = frozenset(self._spans)

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


def open_files(path: Path) -> Files:
    """Files of a folder or of a tar archive."""
    return FolderFiles(path) if path.is_dir() else TarFiles(path)
