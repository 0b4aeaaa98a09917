"""Changes of an image that a camera, a lamp or a file format may make: pure operators, and augmentations that draw for them.

Every operator takes and returns grey (H, W) or RGB (H, W, 3) uint8 and leaves its argument as it was; lengths are in pixels at
a short side of 256 and grow with the image; what is random takes a ``numpy.random.Generator``.
Each raises `ImageError` for another shape or dtype, and `OptionsError` for a setting out of bounds.
"""

from pyimgano.augmentation.base import Augmentation, Compose, RandomApply
from pyimgano.augmentation.dirt import Speck, draw_specks, dust
from pyimgano.augmentation.geometry import placement, warp_image, warp_mask
from pyimgano.augmentation.graded import (
    GRADED,
    Displacement,
    Drift,
    Fixed,
    Graded,
    GradedBlur,
    GradedGeoJitter,
    GradedGlare,
    GradedJpeg,
    GradedLighting,
    LightingDrift,
)
from pyimgano.augmentation.light import (
    GlareSpot,
    brightness,
    channel_gain,
    color_temperature,
    contrast,
    draw_channel_gains,
    draw_glare_spots,
    glare,
    random_channel_gain,
    vignette,
)
from pyimgano.augmentation.presets import get_industrial_camera_robust_augmentation, get_industrial_drift_augmentation
from pyimgano.augmentation.sensor import gaussian_noise, jpeg_compress, sensor_noise, shot_noise
from pyimgano.augmentation.sharpness import defocus, gaussian_blur, motion_blur, resolution_loss
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
    "GRADED",
    "Augmentation",
    "Brightness",
    "ChannelGain",
    "Compose",
    "Contrast",
    "Displacement",
    "Drift",
    "Fixed",
    "Gamma",
    "GaussianBlur",
    "GaussianNoise",
    "Glare",
    "GlareSpot",
    "Graded",
    "GradedBlur",
    "GradedGeoJitter",
    "GradedGlare",
    "GradedJpeg",
    "GradedLighting",
    "JpegCompression",
    "LightingDrift",
    "MotionBlur",
    "RandomApply",
    "ShotNoise",
    "Speck",
    "Vignette",
    "brightness",
    "channel_gain",
    "color_temperature",
    "contrast",
    "defocus",
    "draw_channel_gains",
    "draw_glare_spots",
    "draw_specks",
    "dust",
    "gamma",
    "gaussian_blur",
    "gaussian_noise",
    "get_industrial_camera_robust_augmentation",
    "get_industrial_drift_augmentation",
    "glare",
    "jpeg_compress",
    "motion_blur",
    "placement",
    "random_channel_gain",
    "resolution_loss",
    "sensor_noise",
    "shot_noise",
    "vignette",
    "warp_image",
    "warp_mask",
]
