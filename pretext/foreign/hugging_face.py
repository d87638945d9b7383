"""Vision models of Hugging Face's transformers, from the hub or a local folder, from safetensors alone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pretext.backbones.transformers_net import EXTRA, TransformersNet, from_transformers, without_pooler
from pretext.encoder import Encoder, from_state_dict
from pretext.encoder.weights import some
from pretext.foreign.checkpoint import UNKNOWN
from pretext.inputs import RGB, Input

UNREAD = re.compile(r"(^|\.)(pooler|head|mask_token)(\.|$)|^(classifier|text_|logit_|visual_projection)")
"""Entries that may be missing or left over: what reads the features, or is beside them."""

ON_THE_HUB = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def open_hugging_face(name: str, seen: Input | None, seed: int, arguments: Mapping[str, object]) -> Encoder:
    """Open `OWNER/MODEL` or a local folder; see `pretext.foreign.open_foreign`.

    Raises:
        ValueError: no library, a folder without configuration or safetensors, or weights that do not fit.
        FileNotFoundError: a folder that is not there, by a name that none of the hub can be.
        ConnectionError: what cannot be fetched.
    """
    if arguments:
        raise ValueError(f"hf:{name} says all itself; it takes no arguments {dict(arguments)}")
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise ValueError(EXTRA) from error
    folder = Path(name)
    local = folder.is_dir()
    if not local and not ON_THE_HUB.fullmatch(name):
        raise FileNotFoundError(f"hf:{name}: there is no folder {folder}; models of the hub are OWNER/MODEL")
    if local and not (folder / "config.json").is_file():
        raise ValueError(f"{folder} has no config.json: it is no model that transformers saved")
    if local and not list(folder.glob("*.safetensors")):
        raise ValueError(
            f"{folder} has no weights in safetensors; other files may hold code and are not read"
        )
    with torch.random.fork_rng(devices=[]):
        config = _fetched(name, local, lambda: AutoConfig.from_pretrained(name, trust_remote_code=False))
        config = getattr(config, "vision_config", config)
        network, told = _fetched(
            name, local, lambda: AutoModel.from_pretrained(
                name, config=config, use_safetensors=True, trust_remote_code=False, output_loading_info=True,
                dtype=torch.float32,
            ),
        )  # fmt: skip
        _check_loaded(name, told)
        without_pooler(network)
        backbone = TransformersNet(3, config.to_diff_dict())
    processor = _processor(name, local)
    about = {
        "task": f"hf:{folder.resolve().name if local else name}",
        "source": f"hf:{name}",
        "weights": _digest(network)[:12],
        "recipe": f"{_digest(network)} hf:{folder.resolve().name if local else name}",
        "data_name": UNKNOWN,
        "left_out": sorted({".".join(key.split(".")[:2]) for key in told["unexpected_keys"]}),
        "made_for": processor,
    }
    seen = seen or (RGB(processor["mean"], processor["std"]) if "mean" in processor else RGB())
    encoder = Encoder(seen, backbone, about)
    return from_state_dict(encoder, from_transformers(network.state_dict())).eval()


def _check_loaded(name: str, told: Mapping[str, Any]) -> None:
    """Raise ValueError where weights were missing, misshapen, or of something that nobody knows."""
    faults = {
        "missing": [key for key in told["missing_keys"] if not UNREAD.search(key)],
        "unexpected": [key for key in told["unexpected_keys"] if not UNREAD.search(key)],
        "of another shape": [str(key) for key in told["mismatched_keys"]],
    }
    if any(faults.values()):
        listed = "; ".join(f"{what}: {some(sorted(keys))}" for what, keys in faults.items() if keys)
        raise ValueError(f"hf:{name}: the weights do not fit the configuration: {listed}")


def _processor(name: str, local: bool) -> dict[str, Any]:
    """What the model's own configuration says of its images; empty where there is none."""
    path = Path(name) / "preprocessor_config.json"
    if not local:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        try:
            path = Path(hf_hub_download(name, path.name))
        except EntryNotFoundError:
            return {}
        except Exception as error:  # the hub raises types of its own
            raise ConnectionError(f"{path.name} of hf:{name} cannot be fetched: {error}") from error
    if not path.is_file():
        return {}
    try:
        said = dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    found: dict[str, Any] = {}
    size = said.get("crop_size") if said.get("do_center_crop") else said.get("size")
    size = {"height": size, "width": size} if isinstance(size, int) else size or {}
    sides = [size.get("height", size.get("shortest_edge")), size.get("width", size.get("shortest_edge"))]
    if all(isinstance(side, int) for side in sides):
        found["size"] = sides
    if said.get("do_normalize", True) and "image_mean" in said and "image_std" in said:
        found |= {"mean": said["image_mean"], "std": said["image_std"]}
    elif said.get("do_normalize") is False:
        found |= {"mean": [0.0] * 3, "std": [1.0] * 3}
    return found


def _digest(network: nn.Module) -> str:
    sha = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        sha.update(key.encode() + value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def _fetched(name: str, local: bool, fetch: Any) -> Any:
    try:
        return fetch()
    except Exception as error:  # the hub and the library raise types of their own
        said = (str(error).splitlines() or ["no reason given"])[0]
        if local:
            raise ValueError(f"hf:{name} cannot be read: {said}") from error
        raise ConnectionError(
            f"hf:{name} cannot be fetched ({type(error).__name__}: {said}), and is no folder here"
        ) from error
