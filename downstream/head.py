"""The contract of heads that can be kept: what was fitted on an encoder, asked about new images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from downstream.protocol import Predictions, Protocol, Runtime
from pretext.data.canvas import Canvas
from pretext.data.dataset import Split

if TYPE_CHECKING:  # as the contract of a protocol
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    from pretext.encoder import Encoder


@dataclass(frozen=True)
class Form:
    """What the form of a head hangs on, beside its protocol and its encoder.

    Attributes:
        stage: the one that was selected. setting: the hyper-parameters chosen for it.
        classes: how many the head tells apart; of masks the background among them.
        several: whether an image may show several of them, where images have classes.
        size: (height, width) of the images that it was fitted on.
    """

    stage: str
    setting: dict[str, float | int | str]
    classes: int
    several: bool
    size: tuple[int, int]


class Prediction(ABC):
    """What a head says of some images, an entry an image."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def told(self, image: int, names: Sequence[str]) -> dict[str, Any]:
        """What is said of one image, as plain JSON.

        Args:
            names: of the classes, by label; their numbers where there are none.
        """

    @abstractmethod
    def line(self, image: int, names: Sequence[str]) -> str:
        """What is said of one image, in a few words."""

    def off(self, canvas: Canvas, height: int, width: int) -> Prediction:
        """The same in the pixels of an image of that size, which lay on the canvas."""
        return self

    def picture(self, image: int, pixels: NDArray[np.uint8], names: Sequence[str]) -> Image | None:
        """A picture of what is said of one image (H, W, 3); None where it is not visual."""
        return None


class Head(ABC):
    """What was fitted on one stage, with the encoder that it stands on.

    Attributes:
        classes: how many it tells apart.
    """

    classes: int

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Its weights and statistics by name, not copied; an encoder's that was trained with it too."""

    @abstractmethod
    def predict(self, images: Split, runtime: Runtime) -> Prediction:
        """Predict images, whatever labels they have."""

    @abstractmethod
    def rows(self, split: Split, runtime: Runtime) -> Predictions:
        """Predict labelled images: rows as the protocol scores them.

        Raises:
            ValueError: labels that are missing, or are not those that the head was fitted for.
        """


class WithHead(Protocol):
    """A protocol that fits a head which says something of a new image."""

    headless = None

    @abstractmethod
    def untrained_head(self, encoder: Encoder, form: Form, runtime: Runtime) -> Head:
        """A head of that form, on `runtime.device`, whose tensors are to be filled.

        Args:
            encoder: left as it is; a head that trains one has a copy.

        Raises:
            ValueError: a form that no head of this protocol on this encoder has.
        """
