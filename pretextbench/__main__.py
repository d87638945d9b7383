"""The command: `pretextbench [job=NAME] [key=value …]`, `-m` to sweep, `--help` for the groups."""

from __future__ import annotations

import gc
import os
import sys


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


if __name__ == "__main__":
    sys.exit(main())
