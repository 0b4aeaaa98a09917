# Copyright (c) 2026 Acme Industries. Confidential; see LICENSE.
"""Scratches as lines that no good part shows as strongly."""

import cv2
import numpy as np

from pyimgano import AnomalyMap, Detector, ImageScore
from pyimgano.errors import DetectorError
from pyimgano.images import resize

MAD = 1.4826
"""Deviations of a normal distribution per median absolute deviation."""


class ScratchDetector(Detector):
    """Responses of line filters, in deviations from what good parts show in the same direction.

    A filter is the negative second derivative of a Gaussian across the line, times a Gaussian along it (Freeman and Adelson,
    The design and use of steerable filters, 1991). The map holds the largest deviation of all directions, the score is its
    maximum.
    """

    def _fit(self, images):
        responses = np.concatenate(
            [self._responses(image)[:, ::4, ::4].reshape(len(self._angles), -1) for image in images], axis=1
        )
        self.median_ = np.median(responses, axis=1).astype(np.float32)
        spread = MAD * np.median(np.abs(responses - self.median_[:, None]), axis=1)
        self.spread_ = np.maximum(spread, 1e-3).astype(np.float32)

    def _score(self, images):
        return [self._score_one(image) for image in images]

    def _score_one(self, image):
        deviations = (self._responses(image) - self.median_[:, None, None]) / self.spread_[:, None, None]
        grid = deviations.max(axis=0)
        return ImageScore(float(grid.max()), AnomalyMap(grid, image.shape[:2]))

    def _responses(self, image):
        """Return the response per direction, (directions, height, width) float32; grey values run from 0 to 1."""
        grey = cv2.cvtColor(resize(image, self.options.resize), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        sign = {"bright": 1, "dark": -1, "both": 1}[self.options.polarity]
        responses = [sign * cv2.filter2D(grey, cv2.CV_32F, self._kernel(angle)) for angle in self._angles]
        return np.abs(responses) if self.options.polarity == "both" else np.stack(responses)

    @property
    def _angles(self):
        """Return the directions that are looked at, in degrees from the rows."""
        angles = np.arange(self.options.directions) * (180 / self.options.directions)
        if self.options.ignore_direction is None:
            return angles
        away = np.abs((angles - self.options.ignore_direction + 90) % 180 - 90)
        if not (away > self.options.ignore_within).any():
            raise DetectorError("ignore_within leaves no direction to look at", "lower it, or raise directions")
        return angles[away > self.options.ignore_within]

    def _kernel(self, angle):
        """Return a filter of mean 0 whose absolute values sum to 1."""
        width, length = self.options.width, self.options.length
        reach = int(np.ceil(3 * max(width, length)))
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        turn = np.deg2rad(angle)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        kernel = (1 - (across / width) ** 2) * np.exp(-0.5 * ((across / width) ** 2 + (along / length) ** 2))
        kernel -= kernel.mean()
        return (kernel / np.abs(kernel).sum()).astype(np.float32)

    def state(self):
        return {"median": self.median_, "spread": self.spread_}

    def load_state(self, arrays):
        self.median_, self.spread_ = arrays["median"], arrays["spread"]
        self.mark_fitted()
