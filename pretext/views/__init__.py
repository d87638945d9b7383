"""Batched augmentation on the device of the images, with parameters of their own for each image.

Every function takes (B, 3, H, W) float images, in [0, 1] where colours are concerned, and returns new ones.
Randomness comes from a CPU generator that is passed in, so that the same draws are made wherever the images
lie. At equal parameters the numbers are torchvision's, one image at a time.
"""

from pretext.views.blur import check_kernel, gaussian_blur, random_blur
from pretext.views.checks import check_probability, check_range
from pretext.views.crop import crop_resize, random_crop_flip, random_resized_crop
from pretext.views.distortion import Distortion
from pretext.views.flip import horizontal_flip
from pretext.views.gray import luma, random_gray
from pretext.views.jitter import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    color_jitter,
)
from pretext.views.multi_crop import Crops, multi_crop
from pretext.views.resample import BICUBIC, BILINEAR, Kernel
from pretext.views.solarisation import random_solarise, solarise
from pretext.views.tone import curve, stretch
from pretext.views.turned import turned_square

__all__ = [
    "BICUBIC",
    "BILINEAR",
    "Crops",
    "Distortion",
    "Kernel",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "check_kernel",
    "check_probability",
    "check_range",
    "color_jitter",
    "crop_resize",
    "curve",
    "gaussian_blur",
    "horizontal_flip",
    "luma",
    "multi_crop",
    "random_blur",
    "random_crop_flip",
    "random_gray",
    "random_resized_crop",
    "random_solarise",
    "solarise",
    "stretch",
    "turned_square",
]
