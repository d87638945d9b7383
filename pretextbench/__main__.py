"""The command: `pretextbench [job=NAME] [key=value …]`, `-m` to sweep, `--help` for the groups."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Compose and dispatch; return the exit status."""
    # Imported here: worker processes that make data import this file and need none of it.
    from pretextbench import dispatch

    sys.path.append(os.getcwd())  # classes of one's own are found by their `_target_`, whoever started us
    return dispatch.main()


if __name__ == "__main__":
    sys.exit(main())
