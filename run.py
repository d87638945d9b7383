"""The one entry point: `python run.py [job=NAME] [key=value …]`, `-m` to sweep, `--help` for the groups."""

import sys


def main() -> int:
    """Compose and dispatch; return the exit status."""
    # Imported here: worker processes that make data import this file and need none of it.
    from conf import dispatch

    return dispatch.main()


if __name__ == "__main__":
    sys.exit(main())
