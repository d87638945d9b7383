"""Any module that takes RGB as an encoder: what it returns, by names, as it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pretext import inputs
from pretext.backbones import Features, Stage, Undivided
from pretext.encoder import Encoder
from pretext.foreign import fingerprint, written

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""In printed forms, of what has none of its own."""

SLACK = 1e-3
"""Share of the largest value by which rounding may tell two passes apart."""


def wrap(module: nn.Module, size: tuple[int, int], stages: Sequence[str] | str | None = None) -> Encoder:
    """An encoder that runs a module on RGB in [0, 1] as it is, in the module's own weights.

    Two modules of one class and code, one printed form, the same plain attributes and weights that say the
    same of two images of noise are one encoder, whatever the size of the images; see
    `pretext.foreign.written` and `pretext.foreign.fingerprint`. What PyTorch puts around a module to compile
    it or to run it in parallel is taken off.

    Args:
        module: (B, 3, H, W) → a map (B, C, h, w), a vector (B, D), or a dict, list or tuple of these, ordered
            from the image up. A vector is read as a map of one cell. Left in the mode that it is in.
        size: (H, W) of the images, as which the module is tried on noise.
        stages: their names, or the one there is; without them a dict's own, else "output", or "output0",
            "output1", … of several.

    Raises:
        ValueError: a module that cannot take such images, that says something else of them the second time or
            beside another one; not as many names as outputs, a name twice or of no use, outputs of other
            shapes or kinds or none, more or fewer than images.
    """
    module = bare(module)
    reads = _Reads([stages] if isinstance(stages, str) else stages)
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    modes = [(each, each.training) for each in module.modules()]
    _check_weights(module)
    module.eval()
    pair = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
    texts: list[dict[str, str]] = []

    def run(images: Tensor) -> dict[str, Tensor]:
        found = reads(module(images), len(images))
        texts.append(written.read(module))
        return found

    try:
        with torch.no_grad():
            maps = _tried(module, reads, pair)
            said = fingerprint.said(run, pair.clone(), device, _is_coarse(module))
            while len(texts) < 2:
                run(pair.clone())
    finally:
        for each, training in modes:
            each.training = training
    found = [Stage(name, x.shape[1], max(1, round(size[0] / x.shape[2]))) for name, x in maps.items()]
    seen = inputs.build("rgb", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    # Read after passes of two sizes: what these change, or a first one sets, is not what the module is.
    stay = {key: text for key, text in texts[0].items() if all(each.get(key) == text for each in texts)}
    return Encoder(seen, Whole(module, found, reads, said, stay))


def bare(module: nn.Module) -> nn.Module:
    """A module without what PyTorch puts around it to compile it or to run it in parallel."""
    inner = vars(module)["_modules"].get("_orig_mod")  # some raise what they like for what they lack
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = module.module
    return bare(inner) if isinstance(inner, nn.Module) else module


def _is_coarse(module: nn.Module) -> bool:
    return any(x.is_floating_point() and x.dtype.itemsize < 4 for x in module.state_dict().values())


def _check_weights(module: nn.Module) -> None:
    """Refuse a module whose weights nobody can tell from another's."""
    for name, value in module.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{type(module).__name__}: {name} of its state dict is a {type(value).__name__} and no "
                "tensor, as in quantised layers; judge the module that it was made of"
            )
        if value.is_meta:
            raise ValueError(
                f"{type(module).__name__}: {name} lies on the meta device, where nothing has values"
            )


def _tried(module: nn.Module, reads: _Reads, pair: Tensor) -> dict[str, Tensor]:
    """The maps of two images, which are the same a second time, and of one image alone."""
    try:
        given = module(pair.clone())  # some change the images that they are given
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        raise ValueError(
            f"{type(module).__name__} was tried on RGB in [0, 1] of {tuple(pair.shape)}, and failed: {error}"
        ) from error
    maps = reads(given, len(pair))
    if all(bool(x.isfinite().all()) for x in maps.values()):
        for what, images in (
            ("something else of the same images the second time", pair),
            ("something else of an image alone than of it beside another", pair[:1]),
        ):
            other = reads(module(images.clone()), len(images))
            for name, x in maps.items():
                if name not in other or other[name].shape[1:] != x.shape[1:]:
                    now = tuple(other[name].shape[1:]) if name in other else "not there"
                    raise ValueError(
                        f"{type(module).__name__} says {what}, in eval mode: stage {name} is "
                        f"{tuple(x.shape[1:])}, then {now}"
                    )
                if float((other[name] - x[: len(images)]).abs().max()) > SLACK * float(x.abs().max()):
                    raise ValueError(f"{type(module).__name__} says {what}, at stage {name}, in eval mode")
    return maps


class Whole(Undivided):
    """A module of somebody's own, all stages of which come of one pass."""

    def __init__(
        self,
        module: nn.Module,
        stages: Sequence[Stage],
        reads: _Reads,
        said: str,
        text: Mapping[str, str],
    ) -> None:
        kind = type(module)
        whole = f"{ADDRESS.sub('', repr(module))} {sorted(text.items())}"
        form = hashlib.sha256(whole.encode()).hexdigest()[:12]
        self._name = f"{kind.__module__}.{kind.__qualname__}"
        super().__init__(3, stages, {"module": self._name, "form": form})
        self.module = module
        self.register_buffer("said", torch.frombuffer(bytearray.fromhex(said), dtype=torch.uint8))
        self._reads = reads

    @property
    def title(self) -> str:
        """The module's class."""
        return self._name

    def run(self, x: Tensor, last: int) -> Features:
        """Run the module, and return its maps up to a stage."""
        maps = self._reads(self.module(x), len(x))
        return Features({name: maps[name] for name in self.stage_names[: last + 1]}, {})

    def layers(self) -> list[list[nn.Module]]:
        """Return the module as one layer."""
        return [[self.module]]


class _Reads:
    """Makes named maps of whatever a module returns."""

    def __init__(self, names: Sequence[str] | None) -> None:
        self._names = None if names is None else tuple(names)

    def __call__(self, output: object, count: int) -> dict[str, Tensor]:
        """Return stage name → (B, C, h, w) of so many images, in order.

        Raises:
            ValueError: see `wrap`.
        """
        if isinstance(output, Mapping):
            own, values = tuple(map(str, output)), tuple(output.values())
        elif isinstance(output, list | tuple):
            own, values = tuple(f"output{i}" for i in range(len(output))), tuple(output)
        else:
            own, values = ("output",), (output,)
        names = own if self._names is None else self._names
        unusable = [name for name in names if not isinstance(name, str) or not name or "." in name]
        unusable += [name for name in names if name not in unusable and not name.isprintable()]
        if unusable:
            raise ValueError(f"a stage's name is some printable text without a dot, got {unusable[0]!r}")
        if not values or len(names) != len(values) or len(set(names)) < len(names):
            raise ValueError(
                f"the module returns {len(values)} maps or vectors, and stages names {len(names)}: "
                f"{', '.join(names) or 'none'}; each needs a name of its own"
            )
        return {name: _map(value, name, count) for name, value in zip(names, values, strict=True)}


def _map(value: object, name: str, count: int) -> Tensor:
    wanted = "a map (B, C, h, w) or a vector (B, D) of real numbers is needed"
    if not isinstance(value, Tensor) or value.ndim not in (2, 4):
        shown = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"stage {name}: {wanted}; it is {shown}")
    if value.layout != torch.strided or not value.is_floating_point() or not value.numel():
        raise ValueError(
            f"stage {name}: {wanted}; it is {tuple(value.shape)} of {value.dtype}, {value.layout}"
        )
    if len(value) != count:
        raise ValueError(
            f"stage {name}: a map or vector of each image is needed; of {count} images it is "
            f"{tuple(value.shape)}"
        )
    return value if value.ndim == 4 else value[:, :, None, None]
