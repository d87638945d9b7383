"""What tells a module of somebody's own from another of the same class, printed form and weights."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 224
"""Of the noise, whatever the images are: most networks take it, and those that do not take one size alone."""

CELLS = 4
"""Of a side that maps are averaged to."""

STEP = 0.05
"""What is rounded to, of numbers whose standard deviation over modules is 1.

Rounding of float32, which is another on each kind of processor, moves them by some 1e-5.
"""


def said(
    run: Callable[[Tensor], Mapping[str, Tensor]], maps: Mapping[str, Tensor], device: torch.device
) -> str:
    """Digest of shapes and of four numbers that a module says of two images of noise.

    Args:
        run: images (2, 3, H, W) → the maps of the stages. maps: those of the size of the images, which stand
            in where it cannot take `SIDE`.
    """
    noise = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    try:
        maps = run(noise.to(device))
    except Exception:  # modules raise whatever they like; the size of the images, they took
        side = "its own"
    else:
        side = str(SIDE)
    values = torch.cat([_unit(x) for x in maps.values()], 1) / len(maps) ** 0.5
    seen = torch.randn(values.shape[1], 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    levels = (values @ seen / STEP).nan_to_num().round().long().tolist()
    shapes = [(name, *x.shape[1:]) for name, x in maps.items()]
    return hashlib.sha256(f"{side} {shapes} {levels}".encode()).hexdigest()


def _unit(x: Tensor) -> Tensor:
    """Maps (B, C, h, w) as rows of length 1, which nothing but their direction decides."""
    pooled = F.adaptive_avg_pool2d(x.double().cpu(), CELLS).flatten(1)
    return F.normalize(pooled)


def code(module: nn.Module) -> str:
    """Digest of its classes' methods, without comments, but for those of installed packages and of this one.

    Nothing of functions that they call: what these say is heard in `said`.
    """
    installed = {Path(place).resolve() for place in map(sysconfig.get_path, ("purelib", "platlib", "stdlib"))}
    installed.add(Path(__file__).resolve().parents[1])
    bases = {base for each in module.modules() for base in type(each).__mro__}
    own = [base for base in bases if not _installed(base, installed)]
    found = hashlib.sha256()
    for base in sorted(own, key=lambda base: (base.__module__, base.__qualname__)):
        for name, function in sorted(_functions(base)):
            found.update(f"{base.__qualname__}.{name}: {_text(function)}\n".encode())
    for each in module.modules():  # of what was traced, scripted or exported
        if isinstance(text := _generated(each), str):
            found.update(text.encode())
    return found.hexdigest()


def _installed(kind: type, places: set[Path]) -> bool:
    if kind.__module__ == "__main__" or kind.__module__ not in sys.modules:
        return False  # of a session, or of a file that was run and is no module
    try:
        path = Path(inspect.getfile(kind)).resolve()
    except (TypeError, OSError):  # of C
        return True
    return any(place in path.parents for place in places)


def _functions(kind: type) -> Iterator[tuple[str, FunctionType]]:
    for name, member in vars(kind).items():
        member = getattr(member, "fget", None) or getattr(member, "__func__", None) or member
        if isinstance(member, FunctionType):
            yield name, member


def _text(function: FunctionType) -> str:
    """Its source without comments; where there is none, its instructions."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
        return ast.unparse(ast.parse(source))
    except (OSError, TypeError, SyntaxError):
        return _instructions(function.__code__)


def _instructions(made: CodeType) -> str:
    return f"{made.co_code.hex()} {made.co_names} {list(map(_constant, made.co_consts))}"


def _constant(value: object) -> str:
    if isinstance(value, frozenset):  # whose order is another in each process
        return str(sorted(map(_constant, value)))
    return _instructions(value) if isinstance(value, CodeType) else repr(value)


def _generated(module: nn.Module) -> object:
    try:
        return getattr(module, "code", None)
    except RuntimeError:  # a scripted module without a forward
        return None
