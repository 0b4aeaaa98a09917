"""Between the detector and the thresholds: normalisation, smoothing and morphology of anomaly maps."""

from pyimgano.postprocess.anomaly_map import AnomalyMapPostprocess

__all__ = ["AnomalyMapPostprocess"]
