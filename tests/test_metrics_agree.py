"""Metrics that scikit-learn has too agree with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from pyimgano.metrics.image import Confusion, image_curve


@given(seed=st.integers(0, 10**6), levels=st.sampled_from([3, 10, 10**9]))
def test_curves_and_counts_equal_scikit_learn(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, rng.integers(1, 200))]
    scores = rng.integers(0, levels, labels.size) / 7
    curve = image_curve(labels, scores)
    assert curve.area() == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-9)
    assert curve.average_precision() == pytest.approx(metrics.average_precision_score(labels, scores), abs=1e-9)
    threshold = float(rng.choice(scores))
    counts, called = Confusion.at(labels, scores, threshold), scores > threshold
    assert (counts.precision or 0.0) == pytest.approx(metrics.precision_score(labels, called, zero_division=0))
    assert counts.recall == pytest.approx(metrics.recall_score(labels, called))
    assert counts.f1 == pytest.approx(metrics.f1_score(labels, called, zero_division=0))
    assert counts.accuracy == pytest.approx(metrics.accuracy_score(labels, called))
