"""Where in a file the encoders lie: under any wrappers, at any depth, told by the ends of their keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor

from pretext.encoder.weights import some
from pretext.foreign.layouts import LAYOUTS, Layout, Parts, State, unwrapped

ANCHORS = {
    "torchvision": ("conv1.weight", "layer1.0.conv1.weight"),
    "timm_vit": ("patch_embed.proj.weight",),
    "mmpretrain_vit": ("patch_embed.projection.weight",),
    "clip": ("class_embedding", "transformer.resblocks.0.ln_1.weight"),
}
"""By layout: names that a network's own begin with; what stands before all of them is wrappers."""

BESIDE = re.compile(
    r"neck|head|proj|predict|decoder|queue|criterion|loss|prototype|classifier|online|center|mask_token|logit|"
    r"text|bank|metric|temperature|callback|averaged",
)
"""Words in the names of what stands beside a backbone and takes no part in its features."""

DEPTH = 6
"""Of mappings within mappings that are looked into."""


class Root(NamedTuple):
    """An encoder in a file: its place (entries and wrappers), its layout, and the state dict around it."""

    place: str
    prefix: str
    layout: Layout
    state: State

    def parts(self, chosen: bool) -> Parts:
        """Cut the state dict; what is beside an encoder that was `chosen` by hand is left out, all of it."""
        own = {k: x for k, x in self.state.items() if k.startswith(self.prefix)}
        inner = replace(self.layout, prefixes=(self.prefix,)).split(own)
        beside = sorted({_first_apart(k, self.prefix) for k in self.state if not k.startswith(self.prefix)})
        known = [b for b in beside if chosen or BESIDE.search(b.removesuffix(".").rpartition(".")[2])]
        known += [b for b in beside if b not in known and b.startswith(self.layout.beside or ("\0",))]
        unknown = [k for k in self.state if not k.startswith((self.prefix, *known))] if self.prefix else []
        return Parts(inner.backbone, tuple(sorted({*inner.left, *known})), (*inner.unknown, *unknown))


def recognise(content: Any, where: str, key: str | None = None) -> tuple[Layout, Parts]:
    """The layout of a file's content, and its state dict in parts.

    Args:
        key: the place of the encoder, or the beginning of it, where several lie in the file.

    Raises:
        ValueError: none of the layouts, several encoders, or none at `key`; the message lists what there is.
    """
    named: tuple[Layout, Parts] | None = None
    for layout in LAYOUTS if key is None else ():
        state = layout.find(content)
        if state is not None:
            named = layout, layout.split(state)
            if layout.name not in ANCHORS:  # which encoder is meant, the layout says
                return named
            break
    every = list(roots(content))
    if named is not None and not named[1].unknown and len(every) < 2:
        return named
    found, places = every, ", ".join(root.place or "(the whole file)" for root in every)
    if key is not None:
        found = [r for r in every if r.place == key.strip(".") or r.place.startswith(key.strip(".") + ".")]
    if len(found) == 1:
        (root,) = found
        parts = root.parts(chosen=key is not None)
        elsewhere = (f"{other.place}." for other in every if other.state is not root.state)
        return root.layout, parts._replace(left=tuple(sorted({*parts.left, *elsewhere})))
    if len(found) > 1 or (key is not None and places):
        raise ValueError(
            f"{where} holds {'several encoders' if found else f'no encoder at {key!r}'}: {places}; say which "
            "by +encoder_arguments.key=…"
        )
    if named is not None:
        return named
    known = "; ".join(f"{x.name} ({' + '.join('|'.join(group) for group in x.marks)})" for x in LAYOUTS)
    raise ValueError(f"{where} has none of the layouts that are known: {known}. {_first_keys(content)}")


def roots(content: Any) -> Iterator[Root]:
    """Every encoder in a file."""
    layouts = {layout.name: layout for layout in LAYOUTS}
    for path, state in _state_dicts(content):
        for name, (first, *others) in ANCHORS.items():
            for key in state:
                prefix = key.removesuffix(first)
                if (
                    key.endswith(first)
                    and prefix[-1:] in ("", ".")
                    and all(prefix + o in state for o in others)
                ):
                    place = ".".join(filter(None, (*path, prefix.removesuffix("."))))
                    yield Root(place, prefix, layouts[name], state)


def _state_dicts(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], State]]:
    """Every mapping in a file that has tensors, without PyTorch's wrappers, and what leads there."""
    if not isinstance(content, Mapping) or len(path) > DEPTH:
        return
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, Tensor)}
    if tensors:
        yield path, unwrapped(tensors)
    for key, value in named.items():
        yield from _state_dicts(value, (*path, key))


def _first_apart(key: str, prefix: str) -> str:
    """The beginning of a key up to the first name that is not the prefix's."""
    names, other = key.split("."), prefix.split(".")
    shared = next((i for i, name in enumerate(names) if i >= len(other) or name != other[i]), 0)
    return ".".join(names[: shared + 1]) + ("." if shared + 1 < len(names) else "")


def _first_keys(content: Any, shown: int = 8) -> str:
    """The first keys of a file, and those of the mappings one level down."""
    if not isinstance(content, Mapping):
        return f"It holds a {type(content).__name__}"
    lines = [f"Its first keys are: {some([*map(repr, content)], shown) or 'none'}"]
    for key, inner in list(content.items())[:shown]:
        if isinstance(inner, Mapping):
            lines.append(f"in {key!r}: {some([*map(repr, inner)], shown) or 'nothing'}")
    return "; ".join(lines)
