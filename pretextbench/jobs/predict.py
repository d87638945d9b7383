"""`job=predict`: images of any size, predicted by a head that was kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from downstream.digest import short
from downstream.judge.kept import KeptHead
from pretext.atomic import replacing, write_json
from pretext.data.decode import LONGEST, BadImage, decode_rgb
from pretext.data.named_images import targets
from pretext.names import shown
from pretextbench.console import console
from pretextbench.context import Context, opened
from pretextbench.encoders import named_encoder
from pretextbench.heads import check_head, open_head
from pretextbench.images import each

SAID = "predictions.json"


def run(cfg: DictConfig) -> list[str]:
    """Say what a kept head makes of every image: a line each, all in one JSON, and pictures where there are.

    Raises:
        ValueError: a head that cannot be opened, or the encoder that it stands on; images that could not be
            predicted, when the others are.
    """
    with opened(cfg) as context:
        _work(context)
    return []


def _work(context: Context) -> None:
    folder = Path(context.cfg.head)
    check_head(folder)
    encoder = None if context.cfg.encoder is None else named_encoder(context)
    head = open_head(folder, encoder, context.device)
    into = context.output / "predicted" / short(head.record.evaluation.digest)
    wanted = targets(Path(context.cfg.image), into)
    console.print(str(head), soft_wrap=True)
    if context.cfg.dry_run:
        console.print(f"{len(wanted)} images would be predicted into {into}", soft_wrap=True)
        return
    said = _said_before(into / SAID, head)

    def work(image: Path) -> str:
        line, said[str(image)] = _predicted(head, image, wanted[image])
        return f"{shown(image, LONGEST)}: {line}"

    try:
        each(wanted, work, "predicted")
    finally:
        if said:
            write_json(into / SAID, {"head": head.record.evaluation.digest, "images": said})
            console.print(str(into / SAID), soft_wrap=True)


def _said_before(path: Path, head: KeptHead) -> dict[str, Any]:
    """What this head said of other images, which stays; nothing where the file is not of this program."""
    try:
        found = json.loads(path.read_bytes())
        same = found["head"] == head.record.evaluation.digest
        return dict(found["images"]) if same else {}
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return {}


def _predicted(head: KeptHead, image: Path, target: Path) -> tuple[str, dict[str, Any]]:
    """What is said of an image, in a line and as plain values; its picture is written.

    Raises:
        BadImage: no readable image, or one that the head cannot predict.
    """
    pixels = decode_rgb(image)
    try:
        found = head.photograph(pixels)
    except ValueError as error:
        raise BadImage(str(image), str(error)) from error
    printed = tuple(map(shown, head.names))
    told = found.told(0, head.names)
    picture = found.picture(0, pixels, printed)
    if picture is not None:
        with replacing(target) as stream:
            picture.save(stream, format="PNG")
        told["picture"] = str(target)
    return found.line(0, printed), told
