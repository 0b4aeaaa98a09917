"""Augmentations for training, made of the others, in the order in which light becomes a file."""

from __future__ import annotations

from collections.abc import Sequence

from pyimgano.augmentation.base import Compose, RandomApply
from pyimgano.augmentation.graded import GRADED, Drift
from pyimgano.augmentation.transforms import Brightness, ChannelGain, Gamma, JpegCompression, ShotNoise, Vignette
from pyimgano.errors import UnknownComponentError, suggestion


def get_industrial_camera_robust_augmentation() -> Compose:
    """Return what tells cameras of one model apart: white balance, exposure, vignetting, noise and JPEG, all mild.

    Call it as ``augmentation(image, rng)`` with an RGB or grey uint8 image and a ``numpy.random.Generator``.
    """
    return Compose(
        (
            ChannelGain(0.06),
            Vignette((0.0, 0.25)),
            RandomApply(ShotNoise((0.0, 0.03))),
            Brightness((-0.06, 0.06)),
            Gamma((0.85, 1.18)),
            RandomApply(JpegCompression(50, 95)),
        )
    )


def get_industrial_drift_augmentation(
    corruptions: Sequence[str] = ("lighting", "glare", "blur", "jpeg"),
    severities: tuple[int, int] = (1, 3),
    probability: float = 0.5,
) -> Compose:
    """Return what happens to a line over months: the corruptions that ``pyimgano robust-benchmark`` tests under.

    Call it as ``augmentation(image, rng)`` with an RGB or grey uint8 image and a ``numpy.random.Generator``.

    Parameters
    ----------
    corruptions
        Of ``geo_jitter``, ``lighting``, ``glare``, ``blur`` and ``jpeg``, which come in this order, that in which a part
        becomes a file. ``geo_jitter`` is left out unless it is named: how a part lies is no drift of light, lens or file.
    severities
        The least and the greatest severity, of 1 to 5; each corruption draws one for every image.
    probability
        How likely each of them happens to an image, but for ``lighting``, which always does: light is never the same.

    Raises
    ------
    UnknownComponentError
        For another corruption, with a suggestion.
    OptionsError
        For severities that do not rise within 1 to 5, and for a probability outside [0, 1].
    """
    unknown = [name for name in corruptions if name not in GRADED]
    if unknown:
        hint = suggestion(unknown[0], list(GRADED))
        raise UnknownComponentError(
            f"no corruption {unknown[0]!r} to train with", f"{hint} there are {', '.join(GRADED)}".strip()
        )
    chosen = {name: Drift(change, severities) for name, change in GRADED.items() if name in corruptions}
    return Compose(tuple(step if name == "lighting" else RandomApply(step, probability) for name, step in chosen.items()))
