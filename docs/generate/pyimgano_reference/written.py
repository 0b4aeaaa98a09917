"""Words for the keys of infer_config.json that the program writes and whose models describe none."""

from __future__ import annotations

WRITTEN = {
    "schema_version": "Version of this file's keys; a newer one than the program knows is refused.",
    "created_utc": "When it was written.",
    "pyimgano_version": "What wrote it; a newer one than the program is refused.",
    "category": "What was learned, if the dataset had a name for it.",
    "threshold": "The image threshold that counts; none gives scores without labels.",
    "threshold_provenance": "Where it comes from; ignored once the threshold was edited.",
    "model": "The detector, with all its options.",
    "model.name": "Full name, `distribution:name`.",
    "model.distribution": "The distribution that provides it.",
    "model.version": "The version that trained it.",
    "model.options": "All options, defaults included.",
    "model.device": "Where it runs unless the line says; exported as auto.",
    "model.weights": "Where the pretrained weights come from, and their licence where it is known.",
    "preprocessing": "What is done to images before the detector.",
    "adaptation": "What happens around the detector.",
    "adaptation.tiling": "Whether the detector looks at tiles.",
    "adaptation.postprocess": "Steps between the detector and the thresholds, in order; N counts from 0.",
    "adaptation.postprocess.N.name": "Full name.",
    "adaptation.postprocess.N.distribution": "The distribution that provides it.",
    "adaptation.postprocess.N.version": "The version that fitted it.",
    "adaptation.postprocess.N.options": "All options.",
    "adaptation.postprocess.N.state": "What it learned.",
    "defects": "How pixels are judged.",
    "defects.enabled": "Whether `infer` lists defects without being asked.",
    "defects.pixel_threshold_strategy": "How the pixel threshold was found.",
    "defects.pixel_normal_quantile": "The quantile of held-out normal pixels that was taken.",
    "defects.pixel_threshold_provenance": "Where the pixel threshold comes from; ignored once it was edited.",
    "prediction": "What becomes of labels that are not sure.",
    "state": "The file with what was learned, beside this one.",
    "state.file": "Its name.",
    "state.sha256": "Its digest.",
}
"""Meanings by key."""

RECORD = {
    "count": "How many values there were.",
    "min": "The smallest.",
    "max": "The largest.",
    "mean": "Their mean.",
    "std": "Their standard deviation.",
    "quantiles": "p50, p90, p95 and p99, where they were kept.",
    "quantile": "Which quantile of the calibration scores the threshold is.",
    "false_alarm_rate": "The rate that was asked for.",
    "calibration_count": "How many held-out images there were.",
    "q": "The quantile of normal pixels that was taken.",
    "factor": "What it, or their standard deviation, was multiplied by.",
    "calibration_map_count": "Over how many maps.",
    "calibration_pixel_count": "Over how many pixels.",
    "normal_median": "The median of held-out normal pixels.",
    "roi_used": "Whether a region of interest left some pixels out.",
    "roi_xyxy_norm": "Its box.",
    "roi_pixel_count": "How many pixels it holds.",
    "value": "The threshold.",
    "method": "How it was found; fixed if somebody set it.",
    "source": "Calibration, explicit (a flag or an argument) or infer_config (edited there).",
    "split": "Which images it was calibrated on.",
    "score_summary": "What their scores looked like.",
    "interval": "95 % bootstrap interval by image: where other held-out images would put it; none where unknown.",
    "chain": "Fingerprint of the chain that the scores went through.",
    "warning": "Why it is weaker than asked for, or none.",
}
"""Meanings of the keys of thresholds, by their last name."""


def meaning(name: str) -> str:
    """Return what a key means that no model describes; empty for an unknown one."""
    return WRITTEN.get(name) or (RECORD.get(name.rpartition(".")[2], "") if "provenance" in name else "")
