"""Overlays: the image with its heat, the outline of abnormal pixels, and the verdict above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from pyimgano.calibration import PixelThreshold
from pyimgano.defects.labels import INK, RED, WHITE, draw_boxes, middle_side
from pyimgano.errors import OutputError
from pyimgano.images import Image
from pyimgano.maps import resize_map

if TYPE_CHECKING:
    from pyimgano.defects.extract import Defects
    from pyimgano.inference.result import InferenceResult

GREEN, GREY = (40, 150, 70), (110, 110, 110)
MIN_WIDTH = 320
MAX_SIDE = 2048
MAX_BOXES = 20


def draw_overlay(
    result: InferenceResult,
    rendered: NDArray[np.float32] | None,
    threshold: PixelThreshold | None,
    defects: Defects | None = None,
) -> Image:
    """Return image and overlay side by side under a line with score and label, RGB uint8.

    The outline is that of what is above the threshold, or of the `defects`, whose first regions have boxes with their scores.

    Heat begins halfway between the mean of normal pixels and the pixel threshold and is full as far above the threshold, so
    that colours mean the same on every image. Small images are enlarged and huge ones reduced, so that outlines and text
    stay readable.
    """
    assert result.image is not None
    height, width = panel_size(result.image)
    interpolation = cv2.INTER_AREA if height * width < result.image[:, :, 0].size else cv2.INTER_CUBIC
    left = np.asarray(cv2.resize(result.image, (width, height), interpolation=interpolation), dtype=np.uint8)
    if rendered is None:
        right = left.copy()
    elif defects is None:
        right = draw_heat(left, resize_map(rendered, (height, width)), threshold)
    else:
        right = _draw_defects(left, resize_map(rendered, (height, width)), threshold, defects)
    panel = np.concatenate([left, np.full((height, 4, 3), 255, np.uint8), right], axis=1)
    if panel.shape[1] < 2 * MIN_WIDTH:
        panel = np.pad(panel, ((0, 0), (0, 2 * MIN_WIDTH - panel.shape[1]), (0, 0)), constant_values=255)
    return np.concatenate([_header(result, panel.shape[1]), panel], axis=0)


def draw_heat(image: Image, values: NDArray[np.float32], threshold: PixelThreshold | None) -> Image:
    """Return the image under its heat, with the outline of what is above the threshold; `values` are of the image's size."""
    if threshold is None:
        return _heated_freely(image, values)
    return _outlined(_heated(image, values, threshold), values > threshold.value)


def _draw_defects(image: Image, values: NDArray[np.float32], threshold: PixelThreshold | None, defects: Defects) -> Image:
    heated = _heated_freely(image, values) if threshold is None else _heated(image, values, threshold)
    height, width = int(image.shape[0]), int(image.shape[1])
    mask = cv2.resize(defects.mask, (width, height), interpolation=cv2.INTER_AREA) > 0
    drawn = _outlined(heated, mask)
    across, down = width / defects.mask.shape[1], height / defects.mask.shape[0]
    named = {}
    for region in defects.regions[:MAX_BOXES]:
        left, top, right, bottom = region.bbox_xyxy
        edges = round(left * across), round(top * down), round((right + 1) * across), round((bottom + 1) * down)
        named[f"{region.id}: {region.score_max:.4g}"] = edges
    draw_boxes(drawn, named, mask)
    return drawn


def panel_size(image: Image) -> tuple[int, int]:
    """Return height and width at which an overlay shows an image."""
    height, width = int(image.shape[0]), int(image.shape[1])
    scale = min(max(1.0, MIN_WIDTH / width), MAX_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _heated(image: Image, values: NDArray[np.float32], threshold: PixelThreshold) -> Image:
    summary = threshold.score_summary
    normal = summary.mean if summary is not None else 0.0
    reach = max(threshold.value - normal, 1e-12) / 2
    return _blend(image, (values - (threshold.value - reach)) / (2 * reach))


def _heated_freely(image: Image, values: NDArray[np.float32]) -> Image:
    low, high = float(values.min()), float(values.max())
    return _blend(image, (values - low) / max(high - low, 1e-12))


def _blend(image: Image, strength: NDArray[np.float32]) -> Image:
    level = np.clip(strength, 0, 1)
    colours = cv2.applyColorMap((level * 225).astype(np.uint8), cv2.COLORMAP_TURBO)[:, :, ::-1]
    share = (0.45 * np.sqrt(level))[:, :, None]
    return np.asarray(image * (1 - share) + colours * share, dtype=np.uint8)


def _outlined(image: Image, abnormal: NDArray[np.bool_]) -> Image:
    """Return the image with outlines that stay visible where it is shown at a fifth of its size."""
    contours, _ = cv2.findContours(abnormal.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(middle_side(image) / 240))
    drawn = np.ascontiguousarray(image)
    cv2.drawContours(drawn, contours, -1, WHITE, 2 * width + 1)
    cv2.drawContours(drawn, contours, -1, RED, width)
    return drawn


def _header(result: InferenceResult, width: int) -> Image:
    """Return a white band with label, score, threshold and name that fits `width`."""
    verdict = {1: "DEFECT", 0: "good"}.get(-1 if result.label is None else result.label, "scored")
    colour = {1: RED, 0: GREEN}.get(-1 if result.label is None else result.label, INK)
    numbers = f"score {result.score:.4g}" + (f"  threshold {result.threshold:.4g}" if result.threshold is not None else "")
    size = min(max(width / 900, 0.5), 1.6)
    line_height = round(32 * size)
    band = np.full((2 * line_height + 6, width, 3), 255, np.uint8)
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(1.4 * size))
    used = cv2.getTextSize(verdict, font, size, thick + 1)[0][0]
    cv2.putText(band, verdict, (6, line_height - 4), font, size, colour, thick + 1, cv2.LINE_AA)
    _fitted_text(band, numbers, used + round(30 * size), line_height - 4, 0.8 * size, INK, thick)
    _fitted_text(
        band, result.path.name if result.path is not None else result.name, 6, 2 * line_height - 2, 0.7 * size, GREY, 1
    )
    return band


def _fitted_text(band: Image, text: str, x: int, y: int, size: float, colour: tuple[int, int, int], thick: int) -> None:
    """Write text, shortened in the middle where it would leave the band; cv2's fonts know ASCII only."""
    text = text.encode("ascii", "replace").decode()
    room = band.shape[1] - x - 6
    keep = len(text)
    shown = text
    while keep > 8 and cv2.getTextSize(shown, cv2.FONT_HERSHEY_SIMPLEX, size, thick)[0][0] > room:
        keep -= 1
        shown = f"{text[: keep // 2]}...{text[len(text) - keep // 2 :]}"
    cv2.putText(band, shown, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)


def encode_jpeg(image: Image) -> bytes:
    """Return an RGB image as the bytes of a JPEG file."""
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    if not done:
        raise OutputError(f"an overlay of shape {image.shape} could not be encoded", "report this with the image's size")
    return data.tobytes()
