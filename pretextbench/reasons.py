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
    if isinstance(shown, COMPOSING):
        return hints.explain(shown, list(arguments))
    if isinstance(shown, OSError) and (place := _output(shown, arguments)):
        return f"output={place} cannot be written: {shown.strerror}: {shown.filename}"
    notes = "".join(f"\n{note}" for note in getattr(shown, "__notes__", ()))
    return f"{type(shown).__name__}: {shown}{notes}"


def _output(error: OSError, arguments: Sequence[str]) -> str | None:
    """The folder that `output=` names, where that, or something in it, is what could not be written."""
    asked = [word.partition("=")[2] for word in arguments if word.startswith("output=")]
    if not asked or error.filename is None or not error.strerror:
        return None
    output, file = Path(asked[-1]).expanduser().absolute(), Path(str(error.filename)).absolute()
    refused = error.errno in UNWRITABLE and file.is_relative_to(output)
    # Of a folder that could not be made, not of a file that was looked for in it.
    unmade = error.errno == errno.ENOENT and output.is_relative_to(file)
    return asked[-1] if refused or unmade else None


def status(error: Exception) -> int:
    """The exit status: 2 for a command line that cannot be, 1 for what happened on its way."""
    return 2 if isinstance(_cause(error), COMPOSING) else 1


def _cause(error: Exception) -> Exception:
    """What Hydra's instantiation or an interpolation failed on, where that says all by itself."""
    cause = error.__cause__
    if isinstance(error, (InstantiationException, OmegaConfBaseException)) and isinstance(
        cause, user_errors()
    ):
        return cause
    return error
