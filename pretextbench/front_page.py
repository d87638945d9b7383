"""What `--help` prints, Hydra's template without its long search through all groups, and `--version`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from string import Template

import hydra
from omegaconf import OmegaConf, open_dict

from pretextbench.configurations import CONF


def text(words: Sequence[str]) -> str:
    """The groups, and the configuration that these words make.

    Raises:
        HydraException: words of which Hydra makes no configuration.
    """
    with hydra.initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = hydra.compose("config", overrides=list(words), return_hydra_config=True)
    page = Template(cfg.hydra.help.template)
    with open_dict(cfg):
        del cfg["hydra"]
    return page.substitute(APP_CONFIG_GROUPS=groups(CONF), CONFIG=OmegaConf.to_yaml(cfg))


def version() -> str:
    """The program and its version, as it is installed."""
    try:
        return f"pretextbench {metadata.version('pretextbench')}"
    except metadata.PackageNotFoundError:
        return "pretextbench, a checkout that is not installed"


def groups(folder: Path) -> str:
    """A line a group of this folder: its name and its options."""
    options: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        group = path.parent.relative_to(folder).as_posix()
        options.setdefault(group, []).append(path.stem)
    del options["."]  # the configuration itself
    return "\n".join(f"{group}: {', '.join(options[group])}" for group in sorted(options)) + "\n"
