"""Settings of a kept head: named so that they come back as they were, and no code with them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from recipes import by_epochs

from downstream.classification.finetune import ClassificationFinetune
from downstream.classification.linear import LinearProbe
from downstream.heads.linear_grid import LinearGrid
from downstream.judge.restored import named_settings, restored

PROBE = LinearProbe(pools=(1,), grid=LinearGrid(lrs=(0.1,), weight_decays=(0.0,), epochs=3))
TUNED = ClassificationFinetune(by_epochs(epochs=1))


@dataclass(frozen=True)
class Foreign:
    """Settings of somebody's own, at hand in this process."""

    args: tuple[str, ...] = ()


def test_settings_come_back_as_they_were_and_name_no_foreign_code() -> None:
    for protocol in (
        PROBE,
        TUNED,
        ClassificationFinetune(by_epochs(frozen_stages=("conv1",)), lrs=(0.1, 0.2)),
    ):
        said = json.loads(json.dumps(named_settings(protocol)))
        assert restored(said, type(protocol)) == protocol
    said = named_settings(TUNED)
    own = class_of(Foreign())
    for path in ("subprocess.Popen", own, "downstream.tuning.finetuning.nothing", "os.system"):
        said["arguments"]["recipe"] = {"class": path, "arguments": {"args": ["true"]}}
        with pytest.raises(ValueError, match=f"{path}' is no"):
            restored(said, ClassificationFinetune)
    said["arguments"]["recipe"] = named_settings(by_epochs()) | {"class": class_of(TUNED)}
    with pytest.raises(ValueError, match="cannot be made of"):
        restored(said, ClassificationFinetune)


def class_of(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
