"""Colour after Zhang, Isola & Efros 2016 (arXiv:1603.08511): Lab, bins, targets, prior, loss, decoding."""

from pretext.color.decode import annealed_mean, upsample_ab
from pretext.color.encode import SoftTargets, has_color, nearest_bin, soft_encode
from pretext.color.gamut import N_BINS, bins
from pretext.color.hue import histogram_median, hue_and_chroma, mean_direction, rgb_of_hue
from pretext.color.lab import ab_at_stride, lab_to_rgb, lightness, rgb_to_lab
from pretext.color.loss import ColorLoss, soft_cross_entropy
from pretext.color.prior import (
    Chance,
    Prior,
    cached_prior,
    count_colors,
    empirical_prior,
    load_prior,
    save_prior,
)
from pretext.color.quality import AuC, ColorErrors, area_under_curve, color_errors, error_curve, psnr
from pretext.color.yuv import U_MAX, V_MAX, rgb_to_yuv, yuv_to_rgb

__all__ = [
    "N_BINS",
    "U_MAX",
    "V_MAX",
    "AuC",
    "Chance",
    "ColorErrors",
    "ColorLoss",
    "Prior",
    "SoftTargets",
    "ab_at_stride",
    "annealed_mean",
    "area_under_curve",
    "bins",
    "cached_prior",
    "color_errors",
    "count_colors",
    "empirical_prior",
    "error_curve",
    "has_color",
    "histogram_median",
    "hue_and_chroma",
    "lab_to_rgb",
    "lightness",
    "load_prior",
    "mean_direction",
    "nearest_bin",
    "psnr",
    "rgb_of_hue",
    "rgb_to_lab",
    "rgb_to_yuv",
    "save_prior",
    "soft_cross_entropy",
    "soft_encode",
    "upsample_ab",
    "yuv_to_rgb",
]
