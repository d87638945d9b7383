"""The command: `pretextbench [job=NAME] [key=value …]`, `-m` to sweep, `--help` for the groups."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence


def main() -> int:
    """Compose and dispatch; return the exit status."""
    gc.disable()  # all that is made until a job computes is there to stay; `jobs` turns it on again
    try:
        # Imported here: worker processes that make data import this file and need none of it.
        from pretextbench import dispatch

        sys.path.append(os.getcwd())  # classes of one's own are found by their `_target_`, whoever started us
        return dispatch.main()
    except KeyboardInterrupt:  # before anything has begun; later on `dispatch` says what is kept
        return 130
    finally:
        gc.enable()


def command() -> None:
    """`main` as a process of its own, which ends with the status that it returns."""
    ended: list[int] = []
    atexit.register(_leave, ended)  # the first to be registered is the last to be called
    ended.append(main())
    sys.exit(ended[0])


def _leave(ended: Sequence[int]) -> None:
    """End at once where `main` has returned: to take torch's modules apart costs Python over a second."""
    if ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended[0])


if __name__ == "__main__":
    command()
