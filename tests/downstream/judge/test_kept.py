"""Kept heads: files that were changed or belong to others are refused, and keeping moves no score."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_protocol import make_data, make_encoder
from made_records import SUBJECT
from PIL import Image
from recipes import by_epochs
from safetensors.torch import load, save

from downstream.classification.finetune import ClassificationFinetune
from downstream.classification.head import ClassScores
from downstream.classification.linear import LinearProbe
from downstream.digest import digest
from downstream.heads.linear_grid import LinearGrid
from downstream.judge.evaluate import evaluate
from downstream.judge.kept import DESCRIPTION, RECORD, WEIGHTS, NoEncoder, is_kept, open_kept
from downstream.judge.records import Record
from downstream.judge.restored import named_settings
from downstream.protocol import GateFailed, Protocol, Runtime
from downstream.segmentation.linear import SegmentationLinear
from pretext.data.canvas import Canvas
from pretext.data.dataset import DataSet
from pretext.encoder import Encoder

PROBE = LinearProbe(pools=(1,), grid=LinearGrid(lrs=(0.1,), weight_decays=(0.0,), epochs=3))
TUNED = ClassificationFinetune(by_epochs(epochs=1))


JUDGED = replace(SUBJECT, backbone=make_encoder().network)


def judge(
    folder: Path, protocol: Protocol = PROBE, kept: bool = True, encoder: Encoder | None = None, **given: Any
) -> Record:
    """The record of the selected stage; the head lies beside it."""
    records = evaluate(
        encoder or make_encoder(),
        protocol,
        given.pop("data", None) or make_data(),
        Runtime(cache=folder / "cache"),
        subject=JUDGED,
        records=folder / "records",
        heads=folder / "heads" if kept else None,
        draws=20,
        **given,
    )
    return next(r for r in records if r.result.selected and r.evaluation.primary)


def place(folder: Path, record: Record) -> Path:
    return folder / "heads" / record.evaluation.digest


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A head on a frozen encoder and one that has its own."""
    folder = tmp_path_factory.mktemp("kept")
    return {
        name: place(folder, judge(folder, protocol)) for name, protocol in (("probe", PROBE), ("own", TUNED))
    }


@pytest.fixture
def head(made: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    def copied(name: str) -> Path:
        for file in made[name].iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        return tmp_path

    return copied


def rewritten(folder: Path, **fields: Any) -> None:
    """`head.json` with other fields, and a digest that fits them."""
    about = json.loads((folder / DESCRIPTION).read_text()) | fields
    del about["digest"]
    (folder / DESCRIPTION).write_text(json.dumps(about | {"digest": digest(about)}))


def reweighed(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Other weights, which the description fits."""
    state = load((folder / WEIGHTS).read_bytes())
    change(state)
    content = save(state)
    (folder / WEIGHTS).write_bytes(content)
    rewritten(folder, weights_sha256=hashlib.sha256(content).hexdigest())


def rerecorded(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Another record, which the description fits."""
    entry = json.loads((folder / RECORD).read_text())
    change(entry)
    content = (json.dumps(entry) + "\n").encode()
    (folder / RECORD).write_bytes(content)
    rewritten(folder, record_sha256=hashlib.sha256(content).hexdigest())


def refused(folder: Path, said: str, encoder: Encoder | None = None) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        open_kept(folder, encoder)
    assert "\n" not in str(caught.value)


def test_keeping_changes_no_record_and_no_digest(tmp_path: Path) -> None:
    bare, kept = (judge(tmp_path / name, kept=name == "kept") for name in ("bare", "kept"))
    assert bare.evaluation == kept.evaluation
    assert bare.result == kept.result
    assert not (tmp_path / "bare" / "heads").exists()
    assert [p.name for p in (tmp_path / "kept" / "heads").iterdir()] == [kept.evaluation.digest]
    assert set(files(place(tmp_path / "kept", kept))) == {WEIGHTS, RECORD, DESCRIPTION}


def test_what_was_recorded_without_its_head_is_fitted_again_and_stays_as_it_is(tmp_path: Path) -> None:
    first = judge(tmp_path, kept=False)
    before = files(tmp_path / "records")
    again = judge(tmp_path)
    assert again == first
    assert files(tmp_path / "records") == before
    folder = place(tmp_path, first)
    assert is_kept(folder, first)
    kept = files(folder)
    judge(tmp_path)
    assert files(folder) == kept
    assert open_kept(folder, make_encoder()).record == first


def test_a_head_that_scores_otherwise_than_recorded_is_not_kept(tmp_path: Path) -> None:
    first = judge(tmp_path, kept=False)
    path = tmp_path / "records" / f"{first.evaluation.digest}.json"
    entries = json.loads(path.read_text())
    for entry in entries:
        if entry["result"]["selected"] and entry["evaluation"]["primary"]:
            entry["result"]["value"] = 0.125
    path.write_text(json.dumps(entries))
    with pytest.raises(GateFailed, match=r"recorded is top1 0\.125 .* nothing was kept; delete .*\.json"):
        judge(tmp_path)
    assert not (tmp_path / "heads").exists()


def test_the_head_of_other_weights_under_the_same_digest_is_replaced(tmp_path: Path) -> None:
    old = judge(tmp_path, encoder=make_encoder(1))
    new = judge(tmp_path, kept=False)
    assert old.evaluation.digest == new.evaluation.digest
    assert not is_kept(place(tmp_path, old), new)
    judge(tmp_path)
    assert is_kept(place(tmp_path, old), new)
    open_kept(place(tmp_path, old), make_encoder())


@pytest.mark.parametrize("name", [WEIGHTS, RECORD, DESCRIPTION])
def test_a_cut_a_changed_and_a_missing_file_are_refused(name: str, head: Callable[[str], Path]) -> None:
    folder = head("probe")
    content = (folder / name).read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    for damaged in (content[:-7], flipped, b"", b"\x80\x04no pickle"):
        (folder / name).write_bytes(damaged)
        refused(folder, "holds no head that can be opened", make_encoder())
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
        open_kept(folder, make_encoder())


def test_a_description_that_is_nested_too_deeply_is_refused(head: Callable[[str], Path]) -> None:
    folder = head("probe")
    (folder / DESCRIPTION).write_text("[" * 100_000)
    refused(folder, "holds no head that can be opened", make_encoder())


def test_a_head_stands_on_its_own_encoder(head: Callable[[str], Path]) -> None:
    folder = head("probe")
    with pytest.raises(NoEncoder, match="a head on a frozen encoder"):
        open_kept(folder)
    refused(folder, "a head on another encoder", make_encoder(1))
    open_kept(folder, make_encoder())


def test_a_head_that_has_its_encoder_needs_none_and_takes_no_other(head: Callable[[str], Path]) -> None:
    folder = head("own")
    data = make_data()
    alone, given = open_kept(folder), open_kept(folder, make_encoder())
    np.testing.assert_array_equal(alone.rows(data.test)["scores"], given.rows(data.test)["scores"])
    refused(folder, "a head on another encoder", make_encoder(1))


def test_the_random_state_stays_as_it_is(head: Callable[[str], Path]) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    open_kept(head("own"))
    assert torch.equal(torch.rand(2), wanted)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("bias"), "missing: bias"),
        (lambda s: s.update(more=torch.zeros(1)), "unexpected: more"),
        (lambda s: s.update(bias=torch.zeros(3)), r"of another form: bias \(3,\) instead of \(2,\)"),
        (lambda s: s.update(mean=torch.zeros(1)), "of another form: mean"),
        (lambda s: s.update(bias=s["bias"].double()), "of another form: bias"),
        (lambda s: s["weight"].view(-1)[0].fill_(torch.nan), "not finite: weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: Callable[[dict[str, torch.Tensor]], object], said: str, head: Callable[[str], Path]
) -> None:
    folder = head("probe")
    reweighed(folder, change)
    refused(folder, said, make_encoder())


def form(folder: Path, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text())["form"] | fields
    return found


def test_descriptions_that_were_made_up_are_refused(head: Callable[[str], Path]) -> None:
    folder = head("probe")
    for fields, said in (
        ({"format": 2}, "has format 2; this version reads format 1"),
        ({"form": form(folder, classes=10**9), "names": []}, "says 1000000000 classes"),
        ({"form": form(folder, classes=3), "names": []}, "of another form"),
        ({"form": form(folder, classes=3)}, "names has 2; there is one for each of 3 classes, or none"),
        ({"names": ["dark"]}, "names has 1; there is one for each of 2 classes"),
        (
            {"form": form(folder, size=[10**6, 16])},
            r"form.size is \[1000000, 16\], and its record is of images of \[16, 16\] \(height, width\)",
        ),
        ({"form": form(folder, size=[16, 15])}, r"form.size is \[16, 15\]"),
        (
            {"form": form(folder, several=True)},
            "form.several is true: linear judges that by 'mAP', and its record has 'top1'",
        ),
        ({"form": form(folder, stage="conv9")}, "is of stage 'conv9'"),
        ({"form": form(folder, classes=True)}, "form.classes"),
        ({"names": "ab"}, "names"),
        ({"more": 1}, "unknown field more"),
        ({"protocol": named_settings(TUNED)}, "other settings than its record"),
        ({"protocol": named_settings(replace(PROBE, pools=(2,)))}, "other settings than its record"),
        ({"protocol": {"class": "subprocess.Popen", "arguments": {}}}, "'subprocess.Popen' is no WithHead"),
        ({"protocol": {"class": "downstream.judge.kept.About", "arguments": {}}}, "is no WithHead"),
    ):
        before = (folder / DESCRIPTION).read_bytes()
        rewritten(folder, **fields)
        refused(folder, said, make_encoder())
        (folder / DESCRIPTION).write_bytes(before)
    open_kept(folder, make_encoder())


def test_a_made_up_network_takes_no_memory(head: Callable[[str], Path]) -> None:
    folder = head("own")
    about = json.loads((folder / DESCRIPTION).read_text())
    about["encoder"]["backbone"]["arguments"]["widths"] = [10**7] * 5
    rerecorded(folder, lambda r: r["subject"].update(backbone=f"SmallNet(widths={[10**7] * 5})"))
    rewritten(folder, encoder=about["encoder"])
    refused(folder, "of another form")


def test_a_head_that_has_its_encoder_has_that_of_its_record(head: Callable[[str], Path]) -> None:
    folder = head("own")
    about = json.loads((folder / DESCRIPTION).read_text())
    plain = about["encoder"]["input"]
    for seen, said in (
        ({"name": "gray", "arguments": {}}, "encoder.input is gray, and its record is of rgb"),
        ({"name": "rgb", "arguments": {"scale": 2}}, "rgb"),
    ):
        rewritten(folder, encoder={**about["encoder"], "input": seen})
        refused(folder, said)
    network = {**about["encoder"]["backbone"]}
    network["arguments"] = {**network["arguments"], "widths": [4, 4, 4, 4, 8]}
    rewritten(folder, encoder={"backbone": network, "input": plain})
    refused(
        folder, r"encoder.backbone is SmallNet\(widths=\[4, 4, 4, 4, 8\]\), and its record is of SmallNet"
    )


RECORDS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "settings": (
        lambda r: r["evaluation"].update(settings="0" * 64),
        "other settings than its record of linear v1",
    ),
    "protocol": (
        lambda r: r["evaluation"].update(protocol="knn"),
        "its record is of 'knn' v1, a classification protocol, and its settings are of 'linear' v1",
    ),
    "task": (lambda r: r["evaluation"].update(task="detection"), "a detection protocol"),
    "whose": (
        lambda r: r["subject"].update(pretext="mine"),
        "evaluation.digest is none of subject, data and evaluation",
    ),
    "images": (
        lambda r: r["data"]["digests"].update(test="0" * 64),
        "evaluation.digest is none of subject, data and evaluation",
    ),
    "resolution": (lambda r: r["data"].update(resolution=[32, 32]), r"form.size is \[16, 16\]"),
    "metric": (lambda r: r["evaluation"].update(metric="mAP"), "judges that by 'top1'"),
    "stage": (lambda r: r["evaluation"].update(stage="conv9"), "of another, or another setting"),
    "a name with signs": (
        lambda r: r["evaluation"].update(data="\x1b[2J"),
        r"evaluation.data: a name is printed as it is, and this has signs that cannot be: '\\x1b\[2J'",
    ),
}


@pytest.mark.parametrize("what", RECORDS)
def test_another_record_is_refused(what: str, head: Callable[[str], Path]) -> None:
    folder = head("probe")
    change, said = RECORDS[what]
    rerecorded(folder, change)
    refused(folder, said, make_encoder())


def test_what_only_images_with_classes_have_is_refused_of_masks(tmp_path: Path) -> None:
    data, masks = make_data(), {}
    for name in ("train", "val", "test"):
        split = getattr(data, name)
        labels = np.asarray(split.labels).astype(np.uint8)
        masks[name] = replace(split, masks=np.broadcast_to(labels[:, None, None], (60, 16, 16)))
    probe = SegmentationLinear(grid=LinearGrid(lrs=(0.1,), weight_decays=(0.0,), epochs=1, least_steps=0))
    folder = place(
        tmp_path, judge(tmp_path, probe, data=replace(data, mask_names=("dark", "bright"), **masks))
    )
    open_kept(folder, make_encoder())
    for fields, said in (
        ({"form": form(folder, several=True)}, "form.several is true, which is of classification alone"),
        ({"whole": False}, "whole is false; images of segmentation are shown whole"),
    ):
        before = (folder / DESCRIPTION).read_bytes()
        rewritten(folder, **fields)
        refused(folder, said, make_encoder())
        (folder / DESCRIPTION).write_bytes(before)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.rand(1, 3, 16, 15), r"images \(B, 3, 16, 16\) of float32 are needed"),
        (torch.rand(3, 16, 16), "are needed"),
        (torch.rand(0, 3, 16, 16), "are needed"),
        (2 * torch.ones(1, 3, 16, 16), r"in \[0, 1\]"),
        (torch.full((1, 3, 16, 16), torch.nan), r"in \[0, 1\]"),
        (np.zeros((1, 16, 16, 3), np.int64), "these are int64"),
        (np.zeros((1, 3, 16, 16), np.uint8), r"images \(B, 16, 16, 3\) of uint8"),
    ],
)
def test_images_of_another_form_are_refused(images: Any, said: str, made: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=said):
        open_kept(made["own"])(images)


def test_what_is_no_image_is_named(made: dict[str, Path]) -> None:
    opened = open_kept(made["own"])
    with pytest.raises(TypeError, match="a tensor or an array, not a list"):
        opened([[0.0]])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"an array \(H, W, 3\) of uint8, not a Image"):
        opened.photograph(Image.new("RGB", (4, 4)))  # type: ignore[arg-type]
    for image in (
        np.zeros((40, 40, 1), np.uint8),
        np.zeros((40, 40), np.uint8),
        np.zeros((0, 3, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ):
        with pytest.raises(ValueError, match=re.escape(f"got {image.shape} of {image.dtype}")):
            opened.photograph(image)


def test_images_of_bfloat16_are_those_of_float32(made: dict[str, Path]) -> None:
    opened, images = open_kept(made["own"]), torch.rand(2, 3, 16, 16).bfloat16()
    np.testing.assert_array_equal(opened(images).scores, opened(images.float()).scores)  # type: ignore[attr-defined]


def test_a_new_image_is_classified_by_its_centre_or_whole_as_its_set_was(tmp_path: Path) -> None:
    """Bright is class 1: a bright middle between dark ends is seen alone, or with them."""
    wide = np.full((32, 96, 3), 20, np.uint8)
    wide[:, 28:68] = 220  # a little wider than the centre, whose edge is interpolated
    data = make_data()
    on_canvas = replace(data, name="canvas", notes=(Canvas(16, 16).note(),))
    for name, of, bright in (("square", data, True), ("canvas", on_canvas, False)):
        folder = tmp_path / name
        opened = open_kept(place(folder, judge(folder, data=of)), make_encoder())
        found = opened.photograph(wide)
        assert isinstance(found, ClassScores)
        canvas = Canvas(16, 16).place(wide)
        seen = np.full((1, 16, 16, 3), 220, np.uint8) if bright else canvas[None]
        np.testing.assert_allclose(found.scores, opened(seen).scores, atol=1e-4)  # type: ignore[attr-defined]


def test_two_protocols_of_one_encoder_do_not_share_a_folder(tmp_path: Path) -> None:
    folders = {place(tmp_path, judge(tmp_path, protocol)) for protocol in (PROBE, replace(PROBE, pools=(2,)))}
    assert len(folders) == 2
    data: DataSet = make_data()
    for folder in folders:
        opened = open_kept(folder, make_encoder())
        top1 = opened.rows(data.test)["scores"].argmax(1) == data.test.labels
        assert top1.mean() == opened.record.result.value
