"""Changes of an image that a camera, a lamp or a file format may make: pure operators, and augmentations that draw for them.

Every operator takes and returns grey (H, W) or RGB (H, W, 3) uint8 and leaves its argument as it was; lengths are in pixels at
a short side of 256 and grow with the image; what is random takes a ``numpy.random.Generator``.
Each raises `ImageError` for another shape or dtype, and `OptionsError` for a setting out of bounds.
"""

from pyimgano.augmentation.base import Augmentation, Compose, RandomApply
from pyimgano.augmentation.light import (
    GlareSpot,
    brightness,
    channel_gain,
    contrast,
    draw_channel_gains,
    draw_glare_spots,
    glare,
    random_channel_gain,
    vignette,
)
from pyimgano.augmentation.presets import get_industrial_camera_robust_augmentation, get_industrial_drift_augmentation
from pyimgano.augmentation.sensor import gaussian_noise, jpeg_compress, shot_noise
from pyimgano.augmentation.sharpness import gaussian_blur, motion_blur
from pyimgano.augmentation.transforms import (
    Brightness,
    ChannelGain,
    Contrast,
    Gamma,
    GaussianBlur,
    GaussianNoise,
    Glare,
    JpegCompression,
    MotionBlur,
    ShotNoise,
    Vignette,
)
from pyimgano.preprocessing.tone import gamma

__all__ = [
    "Augmentation",
    "Brightness",
    "ChannelGain",
    "Compose",
    "Contrast",
    "Gamma",
    "GaussianBlur",
    "GaussianNoise",
    "Glare",
    "GlareSpot",
    "JpegCompression",
    "MotionBlur",
    "RandomApply",
    "ShotNoise",
    "Vignette",
    "brightness",
    "channel_gain",
    "contrast",
    "draw_channel_gains",
    "draw_glare_spots",
    "gamma",
    "gaussian_blur",
    "gaussian_noise",
    "get_industrial_camera_robust_augmentation",
    "get_industrial_drift_augmentation",
    "glare",
    "jpeg_compress",
    "motion_blur",
    "random_channel_gain",
    "shot_noise",
    "vignette",
]
