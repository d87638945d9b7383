"""Files that are no encoder of any layout, or do not fit theirs: errors that say what, and run nothing."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_checkpoints import CASES, moco, network, vit
from torch import Tensor

from pretext.foreign import LAYOUTS, open_foreign

CHANGES: dict[str, tuple[str, Tensor | None, str]] = {
    "missing": ("layer2.0.conv1.weight", None, r"missing: blocks\.layer2\.0\.conv1\.weight"),
    "unexpected": ("layer2.0.extra", torch.ones(1), r"unexpected: blocks\.layer2\.0\.extra"),
    "misshapen": ("layer1.0.bn1.bias", torch.ones(3), r"layer1\.0\.bn1\.bias \(3,\) instead of \(64,\)"),
    "not finite": ("bn1.bias", torch.full((64,), torch.nan), r"bn1\.bias is not finite"),
    "integers": (
        "bn1.bias",
        torch.ones(64, dtype=torch.int8),
        r"of another kind: blocks\.stem\.bn1\.bias int8 instead of float32$",
    ),
    "complex": ("bn1.bias", torch.ones(64) * 1j, r"bn1\.bias complex64 instead of float32$"),
    "sparse": ("bn1.bias", torch.ones(64).to_sparse(), r"bn1\.bias is torch\.sparse_coo, and weights are"),
    "without values": (
        "bn1.bias",
        torch.ones(64, device="meta"),
        r"bias has no values \(it is on the device",
    ),
    "expanded": ("bn1.bias", torch.ones(1).expand(64), r"bn1\.bias \(64,\) has more entries than the file"),
    "another stem": ("conv1.weight", torch.ones(64, 3, 5, 5), r"conv1\.weight is \(64, 3, 5, 5\); .*3×3"),
    "no convolution": ("conv1.weight", torch.ones(64), r"conv1\.weight must have 4 axes; it is \(64,\)"),
    "another depth": ("layer1.2.bn1.bias", torch.ones(1), r"basic blocks \(3, 2, 2, 2\) is not among"),
    "a gap": ("layer1.9.bn1.bias", torch.ones(1), r"numbered \[0, 1, 9\]: some are missing"),
}


class TestRefused:
    @pytest.mark.filterwarnings("ignore:Validating sparse tensor:UserWarning")
    @pytest.mark.parametrize("what", CHANGES)
    def test_what_does_not_fit_is_named(self, what: str, tmp_path: Path) -> None:
        key, value, message = CHANGES[what]
        state = dict(network().state_dict())
        if value is None:
            del state[key]
        else:
            state[key] = value
        torch.save(state, tmp_path / "net.pt")
        with pytest.raises(ValueError, match=rf"net\.pt \(layout torchvision\): .*{message}"):
            open_foreign(str(tmp_path / "net.pt"))

    def test_what_lies_beside_the_backbone_must_be_known(self, tmp_path: Path) -> None:
        made = moco(second=True)
        made.content["state_dict"]["module.encoder_z.weight"] = torch.ones(1)
        torch.save(made.content, tmp_path / "moco.pt")
        with pytest.raises(
            ValueError,
            match=r"moco_v2\): unexpected: encoder_z\.weight; left out .*: encoder_k\., queue, fc\., head\.",
        ):
            open_foreign(str(tmp_path / "moco.pt"))

    def test_of_many_entries_that_nobody_knows_some_are_named_and_all_are_counted(
        self, tmp_path: Path
    ) -> None:
        made = moco(second=True)
        for place in range(23):
            made.content["state_dict"][f"module.encoder_z.{place:02}"] = torch.ones(1)
        torch.save(made.content, tmp_path / "moco.pt")
        with pytest.raises(ValueError, match=r"encoder_z\.18, encoder_z\.19 and 3 more; left out"):
            open_foreign(str(tmp_path / "moco.pt"))

    @pytest.mark.parametrize(
        ("content", "keys"),
        [
            ({"net": {"a.b": torch.ones(1), "c": torch.ones(1)}, "epoch": 3}, ["'net'", "'a.b', 'c'"]),
            ({"stem.weight": torch.ones(1)}, ["'stem.weight'"]),
            ([1, 2], ["It holds a list"]),
            ({}, ["first keys are: none"]),
            ({3: torch.ones(1)}, ["first keys are: 3"]),
            ({f"of.{i}": torch.ones(1) for i in range(11)}, ["'of.7' and 3 more"]),
        ],
    )  # fmt: skip
    def test_an_unknown_layout_lists_the_known_ones_and_the_keys(
        self, content: Any, keys: list[str], tmp_path: Path
    ) -> None:
        torch.save(content, tmp_path / "what.pt")
        with pytest.raises(ValueError, match=r"what\.pt has none of the layouts that are known") as caught:
            open_foreign(str(tmp_path / "what.pt"))
        for part in [*keys, *(layout.name for layout in LAYOUTS)]:
            assert part in str(caught.value)

    def test_code_is_not_run(self, tmp_path: Path) -> None:
        marker = tmp_path / "ran"

        class Payload:
            def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
                return os.mkdir, (str(marker),)

        content = {"state_dict": dict(network().state_dict()), "extra": Payload()}
        torch.save(content, tmp_path / "code.pt")
        with pytest.raises(
            ValueError, match=r"code\.pt cannot be read as plain weights.*it holds posix\.mkdir"
        ):
            open_foreign(str(tmp_path / "code.pt"))
        assert not marker.exists()

    def test_objects_of_settings_are_not_built(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """OmegaConf's objects are passed over, without its code being called."""
        torch.save(CASES["solo-learn"]().content, tmp_path / "solo.ckpt")

        def called(*_: object, **__: object) -> None:
            raise AssertionError("code of the file's objects was called")

        monkeypatch.setattr("omegaconf.DictConfig.__setstate__", called)
        monkeypatch.setattr("omegaconf.DictConfig.__init__", called)
        assert open_foreign(str(tmp_path / "solo.ckpt")).provenance["layout"] == "solo_learn"

    def test_damaged_files(self, tmp_path: Path) -> None:
        path = tmp_path / "net.pt"
        torch.save(network().state_dict(), path)
        cut = "it is cut short: what is packed in it has no end"
        for kept, said in {0: "it is empty", 7: cut, 1000: cut, -100: cut}.items():
            (tmp_path / "cut.pt").write_bytes(path.read_bytes()[:kept])
            with pytest.raises(ValueError, match=rf"cut\.pt cannot be read as plain weights: {said}$"):
                open_foreign(str(tmp_path / "cut.pt"))
        (tmp_path / "text.pt").write_text("not weights at all")
        (tmp_path / "text.safetensors").write_text("not weights at all")
        (tmp_path / "empty.pt").touch()
        for name, said in {
            "text.pt": "it is text, and begins with 'not weights at all'",
            "text.safetensors": "",
            "empty.pt": "it is empty",
        }.items():
            with pytest.raises(ValueError, match=f"{name} cannot be read as plain weights: {said}"):
                open_foreign(str(tmp_path / name))
        with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*absent\.pt"):
            open_foreign(str(tmp_path / "absent.pt"))

    def test_a_pickle_that_torch_did_not_write(self, tmp_path: Path) -> None:
        weights = {name: value.numpy() for name, value in network().state_dict().items()}
        for protocol in (2, 4):
            (tmp_path / "net.pkl").write_bytes(pickle.dumps(weights, protocol))
            with pytest.raises(
                ValueError, match=r"it is a pickle, which may run any code, and not torch\.save's"
            ):
                open_foreign(str(tmp_path / "net.pkl"))

    @pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
    def test_programs_are_not_run(self, tmp_path: Path) -> None:
        ran = torch.nn.Conv2d(3, 4, 1)
        pixels = torch.zeros(1, 3, 8, 8)
        script, exported, onnx = (tmp_path / name for name in ("tower.pt", "exported.pt", "tower.onnx"))
        torch.jit.save(torch.jit.trace(ran, pixels), str(script))
        torch.export.save(torch.export.export(ran, (pixels,)), tmp_path / "exported.pt2")
        (tmp_path / "exported.pt2").rename(exported)
        onnx.write_bytes(b"\x08\x08\x12\x07pytorch")
        with pytest.raises(
            ValueError, match=r"TorchScript program.*judge\(torch\.jit\.load\('.*tower\.pt'\)"
        ):
            open_foreign(str(script))
        for path in (exported, onnx):
            with pytest.raises(ValueError, match=f"{path.name} is an exported program, not weights: judge"):
                open_foreign(str(path))

    def test_position_embeddings_of_no_square(self, tmp_path: Path) -> None:
        state = dict(vit().state_dict())
        state["pos_embed"] = torch.ones(1, 16, 192)
        torch.save(state, tmp_path / "vit.pt")
        with pytest.raises(ValueError, match=r"8×8 patches and 16 position embeddings"):
            open_foreign(str(tmp_path / "vit.pt"))
