"""Every YAML of conf/data composes, agrees with its reader, and says what to do where files are missing."""

import inspect
from pathlib import Path

import pytest
from hydra import compose
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from pretext.data.source import MissingData

CONF = Path(__file__).parents[2] / "conf" / "data"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
FILES = [name for name in NAMES if name != "scenes"]
DOWNLOADED = {
    "cifar10", "cifar100", "imagenette", "oxford_pets", "oxford_pets_heads", "places365", "stl10",
    "stl10_unlabelled", "voc07", "voc07_segmentation", "voc12", "voc12_segmentation",
}  # fmt: skip
"""Those that torchvision fetches."""


def composed(name: str, *overrides: str) -> DictConfig:
    return compose("config", overrides=[f"data={name}", *overrides]).data


def read(config: DictConfig, place: Path) -> object:
    values = OmegaConf.to_container(config, resolve=True)
    return get_method(values.pop("_target_"))(**values, cache=str(place / "cache"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("hydra")
def test_the_reader_takes_every_key_and_agrees_on_what_both_state(name: str) -> None:
    values = OmegaConf.to_container(composed(name), resolve=True)
    parameters = inspect.signature(get_method(values.pop("_target_"))).parameters
    assert values.keys() <= parameters.keys()
    open_keys = {
        key for key, value in parameters.items() if value.default is inspect.Parameter.empty
    } - values.keys()
    assert open_keys == {"cache"}
    chosen = {"root", "year", "segmentation", "unlabelled", "name", "places", "obtain", "stream", "val"}
    for key in values.keys() - chosen:
        default = parameters[key].default
        if default is not inspect.Parameter.empty:
            assert values[key] == (list(default) if isinstance(default, tuple) else default), key


@pytest.mark.parametrize("name", NAMES)
def test_its_first_line_says_what_it_is(name: str) -> None:
    first, second = (CONF / f"{name}.yaml").read_text().splitlines()[:2]
    assert first.startswith("# ")
    assert first.endswith(".")
    assert second.startswith("_target_: ")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.usefixtures("hydra")
def test_missing_files_are_named_with_what_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRETEXTBENCH_DATA", raising=False)
    called = name.removesuffix("_heads")
    with pytest.raises(
        MissingData, match=r"set data\.root=PATH or the environment variable PRETEXTBENCH_DATA"
    ):
        read(composed(name), tmp_path)
    nowhere = tmp_path / "nowhere"
    with pytest.raises(MissingData) as caught:
        read(composed(name, f"data.root={nowhere}"), tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{called}: ")
    assert str(nowhere) in message
    assert ("data.download=true" in message) == (name in DOWNLOADED)
    assert any(word in message for word in ("there.", "data.root=PATH", "archives"))


def test_the_list_of_those_that_are_downloaded_is_right() -> None:
    assert {
        name for name in NAMES if "\ndownload: false\n" in (CONF / f"{name}.yaml").read_text()
    } == DOWNLOADED
