"""Where the configuration groups lie: YAML only, of which the program is made up."""

from __future__ import annotations

from pathlib import Path


def folder(package: Path) -> Path:
    """The folder of the groups that belong to a package: inside it as a wheel has it, else beside it.

    Args:
        package: folder of the program's modules.

    Raises:
        FileNotFoundError: it is in neither place.
    """
    places = (package / "conf", package.parent / "conf")
    for place in places:
        if (place / "config.yaml").is_file():
            return place
    raise FileNotFoundError(f"no config.yaml in {' or '.join(map(str, places))}; install pretextbench again")


CONF = folder(Path(__file__).parent)
"""The groups that this program runs by."""
