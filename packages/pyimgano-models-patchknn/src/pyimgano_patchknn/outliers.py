"""How far each training patch stands out from the others: local outlier factors, within a place or across all places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Neighbors = NDArray[np.int64]

REFERENCE_IMAGES = 64
_ROWS = 4096
_TINY = np.float32(1e-10)


def local_outlier_factors(distances: Features, neighbors: Neighbors) -> Features:
    """Return the local outlier factor of every point (Breunig et al., SIGMOD 2000): about 1 within a cluster, above it outside.

    Parameters
    ----------
    distances, neighbors
        (N, k) distances of every point to its k nearest, and which points those are.

    Returns
    -------
    factors
        (N,) float32, at least 0. Points that coincide with all their neighbours have factor 1.
    """
    reach = np.maximum(distances.max(axis=1)[neighbors], distances)
    density = 1 / (reach.mean(axis=1) + _TINY)
    factors: Features = density[neighbors].mean(axis=1) / density
    return factors


def factors_by_position(patches: Features, images: int, k: int) -> Features:
    """Return the factor of every patch among those at the same place of other images (Jiang et al., SoftPatch, 2022).

    Parameters
    ----------
    patches
        (images * places, D), image by image.
    images
        How many images, above `k`.
    k
        Neighbours.
    """
    by_place = (patches - patches.mean(axis=0)).reshape(images, -1, patches.shape[1])
    factors = np.empty(by_place.shape[:2], dtype=np.float32)
    for place in range(by_place.shape[1]):
        points = by_place[:, place]
        distances = _distances(points, points)
        np.fill_diagonal(distances, np.inf)
        nearest = np.argpartition(distances, k - 1, axis=1)[:, :k]
        factors[:, place] = local_outlier_factors(_exact(points, nearest), nearest)
    return factors.ravel()


def factors_anywhere(patches: Features, image: Neighbors, k: int, seed: int = 0) -> Features:
    """Return the factor of every patch among its nearest patches in other images, one of each image.

    One neighbour of each image, because the patches of a defect lie close together and would vouch for each other. With many
    images only a seeded choice of `REFERENCE_IMAGES` of them serves for comparison, so that time grows with their number and
    not with its square.

    Parameters
    ----------
    patches
        (N, D).
    image
        (N,) which image each patch is of, from 0.
    k
        Neighbours, fewer than there are images.
    seed
        Of that choice.
    """
    patches = patches - patches.mean(axis=0)
    count = int(image.max()) + 1
    references = np.sort(np.random.default_rng(seed).permutation(count)[: max(REFERENCE_IMAGES, k + 1)])
    distances = np.full((len(patches), k), np.inf, dtype=np.float32)
    neighbors = np.zeros((len(patches), k), dtype=np.int64)
    for reference in references:
        members = np.flatnonzero(image == reference)
        for start in range(0, len(patches), _ROWS):
            rows = slice(start, start + _ROWS)
            gaps = _distances(patches[rows], patches[members])
            nearest = gaps.argmin(axis=1)
            gap = np.where(image[rows] == reference, np.float32(np.inf), gaps[np.arange(len(gaps)), nearest])
            _insert(distances[rows], neighbors[rows], gap, members[nearest])
    return local_outlier_factors(_exact(patches, neighbors), neighbors)


def _insert(distances: Features, neighbors: Neighbors, gap: Features, which: Neighbors) -> None:
    """Put one more candidate per row in the place of the farthest neighbour so far, where it is nearer; in place."""
    farthest = distances.argmax(axis=1)
    rows = np.flatnonzero(gap < distances[np.arange(len(gap)), farthest])
    distances[rows, farthest[rows]] = gap[rows]
    neighbors[rows, farthest[rows]] = which[rows]


def _exact(points: Features, neighbors: Neighbors) -> Features:
    """Return the distances of points to given neighbours, (N, k); expanded squares would lose digits of small ones."""
    distances = np.empty(neighbors.shape, dtype=np.float32)
    for start in range(0, len(points), _ROWS):
        rows = slice(start, start + _ROWS)
        distances[rows] = np.linalg.norm(points[neighbors[rows]] - points[rows, None], axis=2)
    return distances


def _distances(points: Features, others: Features) -> Features:
    squared = points @ (-2 * others.T)
    squared += np.einsum("nd,nd->n", points, points)[:, None]
    squared += np.einsum("nd,nd->n", others, others)
    distances: Features = np.sqrt(np.maximum(squared, 0, out=squared), out=squared)
    return distances
