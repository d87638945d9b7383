"""The installed command `pretextbench` from a checkout: `python run.py [job=NAME] [key=value …]`."""

import sys

from pretextbench.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
