"""Which detector the main job can afford: training speed and AP at 64 px, on one thread of this CPU.

Run ``python -m benchmarks.detector ENCODER``, where ENCODER is a saved encoder (best a supervised one, so
that there is something to find); writes benchmarks/results/detector.json. Every candidate sees the same
scenes in the same number of steps, once on the frozen encoder's cached maps and once end to end. Seconds
are CPU seconds; only ratios travel.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign

from downstream.detection.average_precision import METRICS
from downstream.detection.baselines import ConstantBox
from downstream.detection.boxes import Target, Targets, boxes_of, collect, fitted_classes
from downstream.detection.fcos import FcosHead
from downstream.detection.maps import SingleMap
from downstream.detection.matching import detection_rows
from downstream.detection.rcnn import RcnnDetector, pyramid_parts
from downstream.features.extraction import load_images
from downstream.protocol import Runtime
from downstream.tuning.finetuning import Optimiser, Recipe, finetune, private_copy
from pretext import load
from pretext.backbones import Stage
from pretext.data.dataset import Split
from pretext.data.embedded import scenes
from pretext.encoder import Encoder

RESULTS = Path(__file__).parent / "results" / "detector.json"
CPU = torch.device("cpu")
FROZEN = Recipe(epochs=4, batch_size=16, lr=5e-3, weight_decay=1e-2, clip=1.0, optimiser=Optimiser.ADAMW)
TUNED = replace(FROZEN, epochs=2, backbone_lr=0.2)
Maps = Mapping[str, Tensor]


class ShrunkFasterRcnn(nn.Module):
    """Torchvision's Faster R-CNN behind the maps: one anchor a cell, few proposals, one hidden layer."""

    def __init__(
        self, stage: Stage, classes: int, side: int, width: int, pool: int, hidden: int, regions: int
    ) -> None:
        super().__init__()
        self.side = side
        self.rcnn = FasterRCNN(
            SingleMap(stage, width),
            rpn_anchor_generator=AnchorGenerator(((24,),), ((1.0,),)),
            rpn_head=RPNHead(width, 1),
            rpn_pre_nms_top_n_train=64,
            rpn_pre_nms_top_n_test=64,
            rpn_post_nms_top_n_train=regions,
            rpn_post_nms_top_n_test=regions,
            rpn_batch_size_per_image=32,
            box_batch_size_per_image=regions,
            box_roi_pool=MultiScaleRoIAlign([stage.name], pool, 2),
            box_head=nn.Sequential(nn.Flatten(), nn.Linear(width * pool * pool, hidden), nn.ReLU()),
            box_predictor=FastRCNNPredictor(hidden, classes + 1),
        )

    def loss(self, maps: Maps, targets: list[Target]) -> Tensor:
        """See `FcosHead.loss`."""
        shifted = [{**target, "labels": target["labels"] + 1} for target in targets]
        return torch.stack(list(self._run(maps, shifted)[1].values())).sum()

    def detect(self, maps: Maps, image_size: tuple[int, int]) -> list[Target]:
        """See `FcosHead.detect`."""
        return [{**found, "labels": found["labels"] - 1} for found in self._run(maps, None)[0]]

    def _run(self, maps: Maps, targets: list[Target] | None) -> tuple[list[Target], dict[str, Tensor]]:
        levels = self.rcnn.backbone(maps)
        images = len(next(iter(levels.values())))
        sizes = [(self.side, self.side)] * images
        blank = ImageList(torch.empty(images, 0, self.side, self.side), sizes)
        proposals, first = self.rcnn.rpn(blank, levels, targets)
        found, second = self.rcnn.roi_heads(levels, proposals, sizes, targets)
        return found, {**first, **second}


class EndToEnd(nn.Module):
    """An encoder and a head, so that both are trained."""

    def __init__(self, encoder: Encoder, head: Any) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head


def candidates(stage: Stage, classes: int, side: int) -> dict[str, Callable[[], Any]]:
    def fcos(width: int, convs: int) -> Callable[[], Any]:
        return lambda: FcosHead(SingleMap(stage, width), [stage.stride], classes, convs)

    def faster(pool: int, hidden: int, regions: int) -> Callable[[], Any]:
        return lambda: ShrunkFasterRcnn(stage, classes, side, 64, pool, hidden, regions)

    return {
        "FCOS, width 64, 1 conv": fcos(64, 1),
        "FCOS, width 64, 2 convs": fcos(64, 2),
        "FCOS, width 128, 1 conv": fcos(128, 1),
        "Faster R-CNN shrunk, width 64, pool 3, hidden 128, 16 regions": faster(3, 128, 16),
        "Faster R-CNN shrunk, width 64, pool 4, hidden 256, 32 regions": faster(4, 256, 32),
    }


@torch.no_grad()
def all_maps(encoder: Encoder, split: Split) -> Maps:
    stage = encoder.stage_names[-1]
    parts = [
        encoder(load_images(split, slice(i, i + 250), CPU)).maps[stage] for i in range(0, len(split), 250)
    ]
    return {stage: torch.cat(parts)}


@torch.no_grad()
def scored(head: Any, maps: Maps, split: Split, classes: int) -> dict[str, float]:
    head.eval()
    side = split.pixels.shape[1]
    found: list[Target] = []
    started = time.process_time()
    for i in range(0, len(split), 250):
        found += head.detect({name: values[i : i + 250] for name, values in maps.items()}, (side, side))
    seconds = time.process_time() - started
    rows = detection_rows(collect(found), boxes_of(split), classes)
    values = {name: round(metric(rows), 4) for name, metric in METRICS.items()}
    return {**values, "detect_images_per_cpu_second": round(len(split) / seconds)}


def timed(fit: Callable[[], object], images: int) -> dict[str, float]:
    started = time.process_time()
    fit()
    seconds = time.process_time() - started
    return {"cpu_seconds": round(seconds, 1), "train_images_per_cpu_second": float(f"{images / seconds:.3g}")}


def frozen(build: Callable[[], Any], encoder: Encoder, train: Split, val: Split) -> dict[str, float]:
    classes, targets = fitted_classes(train), Targets(boxes_of(train), CPU)
    torch.manual_seed(0)
    head, maps = build(), all_maps(encoder, train)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        picked = {name: values[index] for name, values in maps.items()}
        value: Tensor = head.loss(picked, targets.of(index.tolist()))
        return value

    cost = timed(lambda: finetune(head, loss, len(train), FROZEN, Runtime()), FROZEN.epochs * len(train))
    return cost | scored(head, all_maps(encoder, val), val, classes)


def tuned(build: Callable[[], Any], encoder: Encoder, train: Split, val: Split) -> dict[str, float]:
    classes, targets = fitted_classes(train), Targets(boxes_of(train), CPU)
    torch.manual_seed(0)
    model = EndToEnd(private_copy(encoder, CPU), build())

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        maps = model.encoder(load_images(train, index.numpy(), CPU)).maps
        value: Tensor = model.head.loss(maps, targets.of(index.tolist()))
        return value

    cost = timed(
        lambda: finetune(model, loss, len(train), TUNED, Runtime(), model.encoder), TUNED.epochs * len(train)
    )
    return cost | scored(model.head, all_maps(model.encoder, val), val, classes)


def full_size(encoder: Encoder, train: Split, images: int = 4) -> dict[str, float]:
    """Torchvision's defaults on the same encoder: what 64 px images cost at 800."""
    copied = private_copy(encoder, CPU)
    detector = RcnnDetector(copied, pyramid_parts(copied, fitted_classes(train), 256), (800,), 1333).train()
    targets = Targets(boxes_of(train), CPU).of(range(images))
    pixels = load_images(train, slice(0, images), CPU)
    return timed(lambda: torch.autograd.backward(detector.loss(pixels, targets)), images)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoder", help="a saved encoder")
    parser.add_argument("--train", type=int, default=2000, help="training scenes")
    parser.add_argument("--val", type=int, default=500, help="scenes that AP is taken on")
    parser.add_argument("--cache", default=tempfile.gettempdir(), help="folder of generated scenes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = scenes(arguments.cache, arguments.train, arguments.val, 2)
    encoder = load(arguments.encoder)
    classes, side = fitted_classes(data.train), data.train.pixels.shape[1]
    constant = ConstantBox().fit(data.train, data.val, Runtime())(data.val)
    results: dict[str, Any] = {
        "constant boxes": {name: round(metric(constant), 4) for name, metric in METRICS.items()},
        "Faster R-CNN, torchvision's defaults": {"fine-tuned": full_size(encoder, data.train)},
    }
    for name, build in candidates(encoder.stages[-1], classes, side).items():
        results[name] = {
            "frozen": frozen(build, encoder, data.train, data.val),
            "fine-tuned": tuned(build, encoder, data.train, data.val),
        }
        print(name, json.dumps(results[name]), flush=True)
    about = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "threads": 1,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "encoder": {**encoder.architecture, "provenance": encoder.provenance},
        "images": {"train": len(data.train), "val": len(data.val), "side": side},
        "epochs": {"frozen": FROZEN.epochs, "fine-tuned": TUNED.epochs},
    }
    RESULTS.write_text(json.dumps({**about, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
