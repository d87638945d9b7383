"""Compositions that tests share: of the same words and `conf/` alone, made once and handed out as copies.

Hydra takes longer to compose than most tests take for all else, and mostly the same. What has to be composed
is read once: a fifth of the time goes into the same YAML.
"""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobRuntime
from omegaconf import DictConfig, OmegaConf

CONF = Path(__file__).parent.parent / "conf"


@contextmanager
def made_once() -> Iterator[None]:
    """Compose nothing twice that nothing has changed for; errors are made each time."""
    plain, known = ConfigLoaderImpl.load_configuration, dict[Any, DictConfig]()
    parse, parsed = OmegaConf.load, dict[str, Any]()

    def read(file: str | Path | IO[Any]) -> Any:
        if isinstance(file, str | Path):
            return parse(file)
        text = file.read()
        if text not in parsed:
            parsed[text] = parse(io.StringIO(text))
        return copy.deepcopy(parsed[text])

    def load(self: ConfigLoaderImpl, config_name: str, overrides: list[str], *more: Any, **named: Any) -> Any:
        folders = {source.path for source in self.get_sources() if source.scheme() == "file"}
        if folders != {str(CONF)}:  # of a test's own, whose files may change
            return plain(self, config_name, overrides, *more, **named)
        stored = tuple(sorted(ConfigStore.instance().repo))
        place = (os.getcwd(), JobRuntime.instance().get("name"))  # both are in what is composed
        key = (config_name, *overrides, more, *sorted(named.items()), stored, place)
        if key not in known:
            known[key] = plain(self, config_name, overrides, *more, **named)
        return copy.deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigLoaderImpl, "load_configuration", load)
        patch.setattr(OmegaConf, "load", read)
        yield
