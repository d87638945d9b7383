"""The installed command `pretextbench` from a checkout: `python run.py [job=NAME] [key=value …]`."""

from pretextbench.__main__ import command

if __name__ == "__main__":
    command()
