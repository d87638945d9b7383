"""How coloured images are judged: one named, versioned set of measures, by which all systems are read."""

from __future__ import annotations

from dataclasses import dataclass

from downstream.colorization.measures import MEASURES, READ
from downstream.colorization.rows import has_window
from downstream.protocol import Judgement, Measure
from pretext.data.dataset import Split


@dataclass(frozen=True)
class ColourLeague(Judgement):
    """All measures of `downstream.colorization.measures`, the area under the error curve first.

    Args:
        reader: digest of the run of the classifier that reads coloured images; empty without one.
        labelled: whether that classifier knows the classes that the images are labelled by.
        balance: digest of the training images all of whose colours count alike; empty where the reader was
            trained on them, as its digest then says.
    """

    reader: str = ""
    labelled: bool = False
    balance: str = ""

    name = "colour_league"
    version = 1
    task = "colorization"
    trains_encoder = False
    paper = "arXiv:1603.08511"

    def metrics(self, split: Split) -> dict[str, Measure]:
        """Those that images of this size have, and what the reader adds."""
        own = dict(MEASURES)
        if not has_window(split.pixels.shape[1:3]):
            del own["ssim"]
        read = dict(READ) if self.reader else {}
        if not self.labelled:
            read.pop("read_rightly", None)
        return own | read
