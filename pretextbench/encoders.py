"""The encoders that `encoder=…` and `against=…` name: made here, or elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import DictConfig

from downstream.digest import short
from pretext import inputs
from pretext.data.loader import batches
from pretext.encoder import Encoder, open_encoder, recalibrate_batchnorm
from pretext.fit.pretrain import RECALIBRATION_IMAGES
from pretext.foreign import ZOOS, open_foreign
from pretext.inputs import Input
from pretext.names import shown
from pretext.spacing import evenly_spaced
from pretextbench import runs
from pretextbench.context import Context, named_on_the_line


def named_encoder(context: Context, key: str = "encoder") -> Encoder:
    """Open the encoder that the configuration names under a key, see `places.check`, on the CPU.

    Raises:
        ValueError: the beginning of no run's digest or of several, or what opening it raises.
        ConnectionError: weights that cannot be fetched.
    """
    spec: str = context.cfg[key]
    path = Path(spec)
    zoo, colon, _ = spec.partition(":")
    if not path.exists() and not (colon and zoo in ZOOS):
        path = _run(context.output / "runs", spec)
    if path.is_dir() or _is_own(path):
        if context.cfg.encoder_arguments:
            raise ValueError(
                "encoder_arguments are for other projects' checkpoints; this encoder says all itself"
            )
        return open_encoder(str(path))
    arguments = runs.plain(context.cfg.encoder_arguments)
    encoder = open_foreign(spec, _asked_input(context.cfg), arguments, context.cfg.seed)
    if encoder.provenance.get("weights") == "random":
        # As of every run without steps: untrained statistics would make it weak for the wrong reason.
        train = context.target.train
        few = evenly_spaced(len(train), RECALIBRATION_IMAGES)
        recalibrate_batchnorm(encoder, batches(train, context.cfg.trainer.batch_size, few))
        encoder.provenance["calibration"] = "batchnorm"
    return encoder


def named_seed(cfg: DictConfig) -> int | None:
    """The seed, where the command line names it."""
    return int(cfg.seed) if named_on_the_line("seed") else None


def _is_own(path: Path) -> bool:
    """Whether a file is one of the pair that `Encoder.save` writes."""
    return path.suffix == ".json" or (path.suffix == ".safetensors" and path.with_suffix(".json").is_file())


def _run(runs: Path, beginning: str) -> Path:
    """The folder of the run whose digest begins so."""
    found = {
        folder.parent: digest
        for folder in sorted(runs.glob("*/encoder.json"))
        if (digest := _digest(folder)).startswith(beginning)
    }
    if len(found) != 1:
        listed = "; ".join(f"{shown(short(digest))} {shown(folder.name)}" for folder, digest in found.items())
        what = f"several runs' digests begin with {beginning}: {listed}" if found else f"no run {beginning}"
        raise ValueError(f"{what} under {runs}")
    return next(iter(found))


def _digest(description: Path) -> str:
    try:
        return str(json.loads(description.read_bytes())["provenance"]["run"])
    except (ValueError, KeyError, TypeError):
        return ""


def _asked_input(cfg: DictConfig) -> Input | None:
    """The input, where the command line names it or its arguments; the default is for training here."""
    named = named_on_the_line("input")
    arguments = runs.plain(cfg.input_arguments)
    if not named and not arguments:
        return None
    return inputs.build(cfg.input if named else "rgb", **arguments)
