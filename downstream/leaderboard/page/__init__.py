"""The leaderboard as one HTML page that opens from a disk, without a network."""

from downstream.leaderboard.page.document import page
from downstream.leaderboard.page.parts import Beside, Curve, Part, Picture

__all__ = ["Beside", "Curve", "Part", "Picture", "page"]
