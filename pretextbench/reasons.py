"""What an error means to the person who typed the line: the words, without a traceback."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pretextbench import hints

_LATE = (("pretext.fit.lightning_module", "NonFiniteLoss"), ("downstream.protocol", "GateFailed"))
"""Errors of modules that are slow to import; who raised one has imported its module."""


UNWRITABLE = (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EDQUOT)
WRITTEN = ("output=", "league.export=")
"""How words begin that name a folder to write to."""
COMPOSING = (HydraException, OmegaConfBaseException, YAMLError)
"""Errors of a command line that cannot be."""


def explained() -> tuple[type[Exception], ...]:
    """Every error that is told without its traceback."""
    return (*COMPOSING, *user_errors())


def user_errors() -> tuple[type[Exception], ...]:
    """Errors whose message says all; anything else is a fault of ours and keeps its traceback.

    To be asked when an error is at hand: not every class is known before.
    """
    late = tuple(getattr(sys.modules[module], name) for module, name in _LATE if module in sys.modules)
    return (ValueError, OSError, FloatingPointError, *late)


def reason(error: Exception, arguments: Sequence[str]) -> str:
    """Say what went wrong, with a hint where one is known.

    Args:
        error: of composing the configuration, of building what it names, or of the job.
        arguments: the command line.
    """
    shown = _cause(error)
    if isinstance(shown, YAMLError):
        return f"a configuration is no YAML: {' '.join(str(shown).split())}"
    if _composing(shown):
        return hints.explain(shown, list(arguments))
    if isinstance(shown, OSError) and (place := _unwritten(shown, arguments)):
        return f"{place} cannot be written: {shown.strerror}: {shown.filename}"
    notes = "".join(f"\n{note}" for note in getattr(shown, "__notes__", ()))
    return f"{type(shown).__name__}: {shown}{notes}"


def _unwritten(error: OSError, arguments: Sequence[str]) -> str | None:
    """The word that names the folder which, or something in which, could not be written."""
    if error.filename is None or not error.strerror:
        return None
    file = Path(str(error.filename)).absolute()
    for word in reversed([word for word in arguments if word.startswith(WRITTEN)]):
        folder = Path(word.partition("=")[2]).expanduser().absolute()
        refused = error.errno in UNWRITABLE and file.is_relative_to(folder)
        # Of a folder that could not be made, not of a file that was looked for in it.
        if refused or (error.errno == errno.ENOENT and folder.is_relative_to(file)):
            return word
    return None


def status(error: Exception) -> int:
    """The exit status: 2 for a command line that cannot be, 1 for what happened on its way."""
    return 2 if _composing(_cause(error)) else 1


def _composing(error: Exception) -> bool:
    """Whether an error says that no configuration comes of the command line."""
    return isinstance(error, COMPOSING) or str(error).startswith(hints.NO_NAME)


def _cause(error: Exception) -> Exception:
    """What Hydra's instantiation or an interpolation failed on, where that says all by itself."""
    cause = error.__cause__
    if isinstance(error, (InstantiationException, OmegaConfBaseException)) and isinstance(
        cause, user_errors()
    ):
        return cause
    return error
