"""From a VOC 2007 folder to records: labels, difficult objects and splits as the SVM protocols take them."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_records import SUBJECT
from PIL import Image
from planted import planted
from rectangles import small
from torch import Tensor

from downstream.classification.goyal19_svm import Goyal19Svm
from downstream.classification.lowshot import LowShot, LowShotLegacy
from downstream.detection.zhang16_fast_rcnn import Zhang16FastRcnn
from downstream.judge.evaluate import evaluate
from downstream.judge.flags import SELECTED_ON_TEST
from downstream.judge.record_files import read_rows
from downstream.judge.records import Record
from downstream.protocol import Protocol, Runtime
from pretext.backbones import Stage
from pretext.data import voc
from pretext.data.dataset import DataSet
from pretext.encoder import Encoder

SIDE, IMAGES, TRAINVAL = 24, 240, 160


def objects(i: int) -> list[tuple[int, bool]]:
    """Two classes in each image, and a third by a difficult object alone in every other one."""
    first, second, third = np.random.default_rng(1000 + i).permutation(20)[:3].tolist()
    return [(first, False), (second, False), *([(third, True)] if i % 2 else [])]


@pytest.fixture(scope="module")
def voc07(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Noise whose blue channel shows in its first row which classes there are, difficult or not."""
    root = tmp_path_factory.mktemp("voc")
    base = root / "VOCdevkit" / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (base / folder).mkdir(parents=True)
    for part, members in (("trainval", range(TRAINVAL)), ("test", range(TRAINVAL, IMAGES))):
        (base / "ImageSets/Main" / f"{part}.txt").write_text("".join(f"{i:06d}\n" for i in members))
    for i in range(IMAGES):
        pixels = np.random.default_rng(i).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        pixels[0, :, 2] = 0
        pixels[0, [c for c, _ in objects(i)], 2] = 255
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        (base / "JPEGImages" / f"{i:06d}.jpg").write_bytes(file.getvalue())
        things = "".join(
            f"<object><name>{voc.CLASSES[c]}</name><difficult>{int(hard)}</difficult><bndbox><xmin>2</xmin>"
            "<ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
            for c, hard in objects(i)
        )
        size = f"<size><width>{SIDE}</width><height>{SIDE}</height></size>"
        (base / "Annotations" / f"{i:06d}.xml").write_text(f"<annotation>{size}{things}</annotation>")
    return voc.voc(str(root), str(root / "cache"), year=2007, size=(SIDE, SIDE), val=60)


def sees_classes() -> Encoder:
    def read(x: Tensor) -> Tensor:
        return (x[:, 2, 0, :20] / 255)[:, :, None, None].expand(-1, -1, 2, 2)

    return planted("classes", (Stage("classes", 20, 8), read), (Stage("after", 20, 8), torch.ones_like))


def judged(protocol: Protocol, data: DataSet, folder: Path) -> dict[str, Record]:
    """Records of the selected stage by metric."""
    encoder = sees_classes()
    subject = replace(SUBJECT, input=encoder.sees)
    records = evaluate(
        encoder, protocol, data, Runtime(cache=folder), subject=subject, records=folder, draws=20
    )
    return {r.evaluation.metric: r for r in records if r.result.selected}


def test_the_svm_protocol_leaves_difficult_objects_out(voc07: DataSet, tmp_path: Path) -> None:
    found = judged(Goyal19Svm(costs=(0.1, 1.0, 10.0)), voc07, tmp_path)
    assert list(found) == ["voc_ap_area", "voc_ap_11point", "mAP"]
    main = found["voc_ap_area"]
    assert main.evaluation.primary
    assert main.evaluation.stage == "classes"
    assert main.result.value > 0.99
    rows = read_rows(tmp_path, main)
    assert rows["difficult"].sum() == sum(hard for i in range(TRAINVAL, IMAGES) for _, hard in objects(i))
    counted = Goyal19Svm().metrics(voc07.test)["voc_ap_area"]
    # Counted as absent they would rank with the classes that are there.
    assert counted({name: rows[name] for name in ("scores", "labels")}) < 0.97
    assert main.data.counts == {"train": 100, "val": 60, "test": 80}
    assert len(str(main.result.setting["C"]).split()) == 20
    assert main.result.chance is not None
    assert main.result.chance < 0.5


def test_low_shot_and_its_legacy_say_where_they_chose(voc07: DataSet, tmp_path: Path) -> None:
    for kind, split in ((LowShot, "val"), (LowShotLegacy, "test")):
        protocol = kind(shots=(1, 2), draws=2, costs=(0.1, 10.0))
        found = judged(protocol, voc07, tmp_path)
        assert list(found) == ["voc_ap_area", "voc_ap_area_k1", "voc_ap_area_k2"]
        assert {r.result.selected_on for r in found.values()} == {split}
        main = found["voc_ap_area"]
        assert (SELECTED_ON_TEST in main.result.flags) == (split == "test")
        assert main.result.value > 0.6
        assert main.result.value == pytest.approx(
            np.mean([found[f"voc_ap_area_k{k}"].result.value for k in (1, 2)])
        )
        assert read_rows(tmp_path, main)["scores"].shape == (80, 2, 2, 20)
        if split == "test":
            assert main.result.val == pytest.approx(main.result.value, abs=1e-6)


@pytest.mark.slow
def test_detection_by_the_published_protocol_counts_no_difficult_object(
    voc07: DataSet, tmp_path: Path
) -> None:
    published = Zhang16FastRcnn()
    protocol = replace(
        published,
        recipe=replace(published.recipe, iterations=2, milestones=(1,)),
        scales=(10,),
        hidden=16,
        min_sizes=(64,),
        max_size=64,
        train_limit=20,
    )
    subject = replace(SUBJECT, input="rgb")
    records = evaluate(
        small(), protocol, voc07, Runtime(cache=tmp_path), subject=subject, records=tmp_path, draws=20
    )
    found = {r.evaluation.metric: r for r in records}
    assert list(found) == ["coco_ap", "ap50", "ap75", "voc_ap_11point", "voc_ap_area", "ap_below_32px"]
    rows = read_rows(tmp_path, found["coco_ap"])
    counted = sum(not hard for i in range(TRAINVAL, IMAGES) for _, hard in objects(i))
    assert rows["targets"].sum() == counted == 2 * 80
