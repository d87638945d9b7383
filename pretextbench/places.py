"""Whether what a job is told to read is there, asked before anything slow is imported."""

from __future__ import annotations

import re
from pathlib import Path

from omegaconf import DictConfig

from pretext.data.source import MissingData

ZOOS = ("torchvision", "timm", "hf")
"""As `pretext.foreign` has them, which is slow to import."""
ENCODERS = {
    "evaluate": ("encoder",),
    "cka": ("encoder", "against"),
    "colorize": ("encoder",),
    "predict": ("encoder",),
}
"""Keys by which each job finds encoders."""
FORMS = (
    "a run's folder, its encoder.json or .safetensors; the beginning of a run's digest; "
    "torchvision:NETWORK[@WEIGHTS], timm:NETWORK[.TAG], or NETWORK@random; hf:OWNER/MODEL or hf:FOLDER; "
    "another project's checkpoint"
)
OWN_READERS = "pretext.data."
"""Readers whose `root` is a folder that must be there."""
DIGEST = re.compile(r"[0-9a-f]{6,64}")
"""A run's digest, or the beginning of one."""


def check(cfg: DictConfig) -> None:
    """Refuse a job whose files are not there.

    Raises:
        ValueError: no encoder or image is named for a job that needs one.
        FileNotFoundError: a folder of data, an encoder or an image that is not where it was said to be.
    """
    job: str = cfg.job.name
    for key in ENCODERS.get(job, ()):
        if cfg[key] is not None and not names_an_encoder(cfg[key]):
            raise FileNotFoundError(f"no encoder {cfg[key]!r}; an encoder is {FORMS}")
        if cfg[key] is None and job not in ("colorize", "predict"):
            raise ValueError(f"job={job} needs {key}=…: {FORMS}")
    if job in ("colorize", "predict") and cfg.image is None:
        raise ValueError(f"job={job} needs image=FILE or image=FOLDER")
    if job == "predict" and (cfg.head is None or not Path(cfg.head).is_dir()):
        raise FileNotFoundError(
            f"job=predict needs head=FOLDER, one that keep_heads=true left under {cfg.output}/heads; "
            f"it is {cfg.head}"
        )
    if job == "colorize_benchmark" and cfg.colorizer is not None:
        raise ValueError("colorizer= is of job=colorize; job=colorize_benchmark takes colorizers=[NAME, …]")
    if job == "colorize" and cfg.colorizers:
        raise ValueError("colorizers= is of job=colorize_benchmark; job=colorize takes colorizer=NAME")
    for key in ("image", "reference", "scribbles") if job in ("colorize", "predict") else ():
        if cfg[key] is not None and not Path(cfg[key]).exists():
            what = " but a link to nothing" if Path(cfg[key]).is_symlink() else ""
            raise FileNotFoundError(f"there is no image or folder {cfg[key]}{what}")
    check_data(cfg)


def check_data(cfg: DictConfig) -> None:
    """Refuse a job whose sets of images have no folder.

    Raises:
        FileNotFoundError: see `check`.
    """
    for place in _sets(cfg):
        _check_set(cfg, place)


def names_an_encoder(spec: str) -> bool:
    """Whether `encoder=` may name one: something that is there, a network of a zoo, or a run's digest."""
    zoo, colon, _ = spec.partition(":")
    return Path(spec).exists() or bool(colon and zoo in ZOOS) or DIGEST.fullmatch(spec) is not None


def _sets(cfg: DictConfig) -> tuple[str, ...]:
    """The data sets that a job surely reads."""
    judged: tuple[str, ...] = ("target" if cfg.target else "data",)
    if cfg.suite is not None and cfg.suite.targets and cfg.job.name != "cka":
        judged = ()  # it leaves out, aloud, what is not at hand
    trained = ("data", "monitor")
    read = {"benchmark": (*trained, *judged), "pretrain": trained, "evaluate": judged, "cka": judged}
    read["colorize_benchmark"] = ("data", *judged)
    return read.get(cfg.job.name, ())


def _check_set(cfg: DictConfig, place: str) -> None:
    """A set's folder; what has to lie in it its reader knows, and what `root` is to a reader of one's own."""
    config = cfg[place]
    if not config or "root" not in config or config.get("download"):
        return
    if not config["_target_"].startswith(OWN_READERS):
        return
    fetch = f", or {place}.download=true to fetch the set" if "download" in config else ""
    name = config.get("name") or config["_target_"].rpartition(".")[2]
    how = f"set {place}.root=PATH or the environment variable PRETEXTBENCH_DATA{fetch}"
    if config.root is None:
        raise MissingData(f"{name} needs a data folder: {how}")
    if not Path(config.root).exists():
        raise MissingData(f"{name}: there is no folder {Path(config.root).resolve()}; {how}")
