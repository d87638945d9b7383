"""Systems from outside: a folder of coloured pictures, a Python function or a command, by a manifest."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor

from downstream.digest import digest
from downstream.judge.flags import JPEG, LIGHTNESS_CHANGED
from pretext.color import rgb_to_lab
from pretext.colorizers.contract import Division, Hints
from pretext.data.dataset import Split
from pretext.data.decode import BadImage, decode_rgb
from pretext.data.walk import image_files
from pretextbench.fitting import fit
from pretextbench.league.entrants import Entrant, Ready, subject_of
from pretextbench.league.exported import gray_of, stem, stems
from pretextbench.names import Name

FAR = 2.0
"""Mean |ΔL| of a picture from which its lightness counts as changed."""
NAMED = 3

Colour = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Gray (H, W) uint8 → sRGB (h, w, 3) uint8."""


@dataclass
class Manifest:
    """What an entry says of itself.

    division: "automatic", "assisted" or "oracle". trained_on: images that it learned from, and what is known
    of their overlap with these. size: side of the square at which it works and delivers; null for the image's
    own. One of: folder, of pictures by the names that `league.export` gives, beside the manifest; callable,
    "module:function"; command, with {in} and {out}. patience: seconds that a command may take for an image;
    one that takes longer ends the league.
    """

    name: Name
    title: str
    paper: str
    licence: str
    trained_on: str
    division: str = Division.AUTOMATIC.value
    version: str = ""
    size: Annotated[int, Field(ge=8)] | None = None
    folder: str | None = None
    callable: str | None = None
    command: str | None = None
    patience: Annotated[float, Field(gt=0)] = 600.0


def entries(manifests: Sequence[str], test: Split) -> list[Entrant]:
    """The entries that these manifests describe.

    Raises:
        ValueError: a manifest, or a folder, that does not fit; two of one name.
        FileNotFoundError: no such manifest or folder.
    """
    found = [_entrant(Path(path), test) for path in manifests]
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"league.entries: two are called {', '.join(twice)}")
    return found


def _entrant(path: Path, test: Split) -> Entrant:
    said = manifest(path)
    if said.folder is not None:
        folder = path.parent / said.folder
        files = _files(said.name, folder, test, said.size)
        content = {name: digest(file.read_bytes().hex()) for name, file in sorted(files.items())}
        colour: Colour = _FromFolder(files)
        compressed = _jpegs(list(files.values()))
    else:
        content, compressed = {}, ()
        function = said.callable
        colour = _Command(str(said.command), said.patience) if function is None else _function(function)
    config = {f.name: getattr(said, f.name) for f in fields(said)}
    division = Division(said.division)
    recipe = digest({"entry": config, "pictures": content})
    subject = subject_of(said.name, division, recipe, 0, said.trained_on, "")

    def make() -> Ready:
        outside = Outside(said.name, colour, said.size)
        return Ready(outside, here=True, flags=lambda: outside.flags() + compressed)

    return Entrant(said.name, division, frozenset(), subject, make, {"entry": config})


def manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        FileNotFoundError: there is none. ValueError: keys that it has not or lacks, values that do not fit.
    """
    if not path.is_file():
        raise FileNotFoundError(f"league.entries: there is no manifest {path}")
    try:
        said: Any = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    known, hints = {f.name: f for f in fields(Manifest)}, get_type_hints(Manifest, include_extras=True)
    if not isinstance(said, dict) or (unknown := sorted(map(str, said.keys() - known.keys()))):
        what = f"there is no key {', '.join(unknown)}" if isinstance(said, dict) else "it is no mapping"
        raise ValueError(f"{path}: {what}; a manifest has {', '.join(known)}")
    missing = [name for name, f in known.items() if f.default is MISSING and name not in said]
    if missing:
        raise ValueError(f"{path}: a manifest says {', '.join(missing)} too")
    for name, value in said.items():
        fit(hints[name], value, f"{path}: {name}")
    found = Manifest(**said)
    divisions = [division.value for division in Division]
    if found.division not in divisions:
        raise ValueError(f"{path}: division is one of {', '.join(divisions)}; it is {found.division!r}")
    ways = [way for way in ("folder", "callable", "command") if getattr(found, way) is not None]
    if len(ways) != 1:
        raise ValueError(f"{path}: an entry has one of folder, callable, command; it has {ways or 'none'}")
    if found.command is not None and not {"{in}", "{out}"} <= set(shlex.split(found.command)):
        raise ValueError(f"{path}: command names {{in}} and {{out}} as words of their own: {found.command!r}")
    return found


class Outside:
    """A system from outside as a colorizer: its lightness is replaced by the original's.

    Args:
        name: for errors. colour: what it does. size: side of the square that it delivers; None for the
            image's own size.
    """

    def __init__(self, name: str, colour: Colour, size: int | None) -> None:
        self._name, self._colour, self._size = name, colour, size
        self._changed = 0

    def colorize(self, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        """See `pretext.colorizers.contract.Colorizer`; it is told nothing but the gray image.

        Raises:
            ValueError: a picture that is missing, unreadable or of another size.
        """
        return torch.stack([self._one(light) for light in lightness[:, 0]]).to(lightness.device)

    def flags(self) -> tuple[str, ...]:
        """What a reader must know of the pictures that were seen."""
        return (f"{LIGHTNESS_CHANGED}{self._changed} images",) if self._changed else ()

    def _one(self, light: Tensor) -> Tensor:
        picture = self._colour(gray_of(light))
        side = (self._size, self._size) if self._size else tuple(light.shape)
        if picture.dtype != np.uint8 or picture.shape != (*side, 3):
            raise ValueError(
                f"{self._name}: a picture is {picture.dtype} {picture.shape}; wanted is uint8 {(*side, 3)}"
            )
        lab = rgb_to_lab(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255)[0]
        if not self._size:
            self._changed += float((lab[0] - light.cpu()).abs().mean()) > FAR
        return lab[1:]


class _FromFolder:
    """Pictures by the name of their gray image."""

    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files

    def __call__(self, gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return _decoded(self._files[stem(gray)])


class _Command:
    """A command that reads one file and writes another."""

    def __init__(self, command: str, patience: float) -> None:
        self._words, self._patience = shlex.split(command), patience
        if shutil.which(self._words[0]) is None:
            raise ValueError(f"command: there is no program {self._words[0]!r}")

    def __call__(self, gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with tempfile.TemporaryDirectory() as folder:
            places = {"{in}": str(Path(folder, "gray.png")), "{out}": str(Path(folder, "coloured.png"))}
            Image.fromarray(gray).convert("RGB").save(places["{in}"])
            words = [places.get(word, word) for word in self._words]
            status, said = self._ran(words)
            if status or not Path(places["{out}"]).is_file():
                last = (said.strip().splitlines() or ["it wrote no picture"])[-1]
                raise ValueError(f"{self._words[0]} ended with {status}: {last}")
            return _decoded(Path(places["{out}"]))

    def _ran(self, words: Sequence[str]) -> tuple[int, str]:
        """Exit status and what was said of errors; all that a command starts ends with it."""
        try:
            with subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            ) as process:
                try:
                    _, said = process.communicate(timeout=self._patience)
                except BaseException:
                    os.killpg(process.pid, signal.SIGKILL)
                    raise
        except OSError as error:
            raise ValueError(f"{self._words[0]}: {error.strerror}") from error
        except subprocess.TimeoutExpired:
            raise TimeoutError(
                f"{self._words[0]} took more than {self._patience} s for an image, which its manifest's "
                "patience allows"
            ) from None
        return process.returncode, said.decode(errors="replace")


def _decoded(file: Path) -> NDArray[np.uint8]:
    try:
        return decode_rgb(file)
    except BadImage as error:
        raise ValueError(str(error)) from error


def _function(path: str) -> Colour:
    """The function of that name, "module:function".

    Raises:
        ValueError: there is none.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever somebody's module does when it is imported
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"callable is module:function; {path!r} is none: {why}") from error
    if not callable(found):
        raise ValueError(f"callable is module:function; {path!r} is a {type(found).__name__}")

    def colour(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
        try:
            return np.asarray(found(gray))
        except Exception as error:  # of somebody's code: the image has no colours
            raise ValueError(f"{path}: {type(error).__name__}: {error}") from error

    return colour


def _files(name: str, folder: Path, test: Split, size: int | None) -> dict[str, Path]:
    """The pictures of a folder by name, each of the size that it must have.

    Raises:
        FileNotFoundError: no such folder. ValueError: images whose pictures are not there, twice there, or of
            another size.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{name}: there is no folder {folder}")
    every = image_files(folder)
    files = {file.stem: file for file in every}
    wanted = stems(test)
    missing = [each for each in wanted if each not in files]
    if missing:
        some = ", ".join(missing[:NAMED]) + ", …" * (len(missing) > NAMED)
        raise ValueError(
            f"{name}: {len(missing)} of {len(wanted)} pictures are not in {folder} ({some}); names are those "
            "that league.export gives"
        )
    twice = [file.name for file in every if file.stem in wanted and files[file.stem] != file]
    if twice:
        raise ValueError(
            f"{name}: {', '.join(twice[:NAMED])} stand beside others of the same name in {folder}"
        )
    height, width = test.pixels.shape[1:3]
    _check_sizes(name, [files[each] for each in wanted], (size or width, size or height))
    return {each: files[each] for each in wanted}


def _jpegs(files: Sequence[Path]) -> tuple[str, ...]:
    """A flag where pictures are JPEGs, whatever they are called."""
    count = 0
    for file in files:
        with Image.open(file) as picture:
            count += picture.format in ("JPEG", "MPO")
    return (f"{JPEG}{count} images",) if count else ()


def _check_sizes(name: str, files: Sequence[Path], wanted: tuple[int, int]) -> None:
    """Raise ValueError for pictures that are not wanted[0] wide and wanted[1] high, by their headers."""
    for file in files:
        try:
            with Image.open(file) as picture:
                found = picture.size
        except (OSError, Image.DecompressionBombError) as error:
            raise ValueError(f"{name}: {file} is no picture: {error}") from error
        if found != wanted:
            raise ValueError(
                f"{name}: {file} is {found[0]}×{found[1]} and must be {wanted[0]}×{wanted[1]}; pictures that "
                "are squares of one side have it in the manifest, as size"
            )
