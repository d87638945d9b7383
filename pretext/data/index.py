"""The index of photographs that stay in their files: digests and labels, made once, kept beside the packs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretext.data.dataset import Split
from pretext.data.decode import SKIP_SHARE, BadImage, Skips, measure
from pretext.data.labelled import (
    VERSION,
    Labels,
    SplitWriter,
    in_order,
    labelled_split,
    remarked,
    write_skipped,
)
from pretext.data.pack import Progress, mapped, packed, silent
from pretext.data.photographs import Photographs, narrow
from pretext.data.streamed import Streamed


class _Entry(NamedTuple):
    digest: NDArray[np.uint8]
    labels: Labels


def index_split(
    cache: str | Path,
    name: str,
    identity: Mapping[str, object],
    source: Callable[[], Photographs],
    *,
    skip_bad: bool = False,
    skip_share: float = SKIP_SHARE,
    progress: Progress = silent,
) -> Path:
    """Read every file once for its digest, its size and its labels; return the folder of the index.

    A photograph that is damaged behind its head is met when it is decoded, later, and named then. To skip
    such ones too, `skip_bad` has each decoded here.

    Args:
        cache, name, identity: see `packed`; the version of the layout and `skip_bad` join the identity.
        source: called only if the index is not there.
        skip_bad, skip_share: skip bad images, see `Skips`; their names are kept in the index.
        progress: is told how many are done.
    """

    def build(part: Path) -> None:
        photographs = source()
        skips = Skips(photographs.total, skip_bad, skip_share)

        def read(position: int) -> _Entry:
            content, title = photographs.encoded(position)
            height, width, is_narrow = measure(content, title, photographs.decoding)
            photographs.fit.check(height, width, title)
            if skip_bad:
                photographs.image(position)
            digest = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
            return _Entry(digest, photographs.labelled(position, height, width, is_narrow, title))

        with SplitWriter(part, photographs.total) as writer:
            for position, entry in enumerate(in_order(read, photographs.total)):
                if isinstance(entry, BadImage):
                    skips.add(entry)
                else:
                    writer.add_rows({"digests": entry.digest, "rows": np.int64(position)}, entry.labels)
                progress(f"reading {name}", position + 1, photographs.total)
        write_skipped(part, skips)

    about = {**identity, "version": VERSION, "skip_bad": skip_bad, "index": 1}
    return packed(cache, f"{name}-index", about, build)


def open_indexed(folder: Path, name: str, photographs: Photographs) -> Split:
    """The split of an index: pixels decoded when they are asked for."""
    arrays = mapped(folder)
    scaled = any(remark.what == narrow("").what for remark in remarked(folder))
    pixels = Streamed(
        photographs.image,
        np.array(arrays["digests"]),
        np.array(arrays["rows"]),
        photographs.fit.shape,
        photographs.made() + (f" {narrow('').what}" if scaled else ""),
    )
    return labelled_split(name, pixels, arrays)
