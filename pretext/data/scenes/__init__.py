"""`scenes`: textured objects on textured grounds, made from a seed.

What an object is takes both its shape and its texture; what it is decides its colour, among others'. Whoever
predicts colour from lightness has to recognise things. One scene carries classes, boxes and masks.

The set checks that the machinery works. It ranks nothing: its generator decides who wins.
"""

from pretext.data.scenes.batch import MIN_SIZE, Colour, SceneBatch, generate
from pretext.data.scenes.palette import CLASSES

__all__ = ["CLASSES", "MIN_SIZE", "Colour", "SceneBatch", "generate"]
