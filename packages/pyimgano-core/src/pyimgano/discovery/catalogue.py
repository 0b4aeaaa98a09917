"""The project's own plugins and what each provides, known even where they are not installed.

A test regenerates this table from the plugins themselves and compares.
"""

from __future__ import annotations

from collections.abc import Mapping

FIRST_PARTY: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "pyimgano-anomalib": {
        "detector": (
            "vision_anomalib_checkpoint",
            "vision_anomaly_dino_anomalib",
            "vision_anomalyvfm_anomalib",
            "vision_cfa_anomalib",
            "vision_cflow_anomalib",
            "vision_csflow_anomalib",
            "vision_dfkde_anomalib",
            "vision_dfm_anomalib",
            "vision_dinomaly_anomalib",
            "vision_draem_anomalib",
            "vision_dsr_anomalib",
            "vision_efficientad_anomalib",
            "vision_fastflow_anomalib",
            "vision_foundad_anomalib",
            "vision_fre_anomalib",
            "vision_ganomaly_anomalib",
            "vision_general_ad_anomalib",
            "vision_glass_anomalib",
            "vision_inp_former_anomalib",
            "vision_l2bt_anomalib",
            "vision_mh_patchcore_anomalib",
            "vision_padim_anomalib",
            "vision_patchcore_anomalib",
            "vision_patchflow_anomalib",
            "vision_rad_anomalib",
            "vision_reverse_distillation_anomalib",
            "vision_stfpm_anomalib",
            "vision_superadd_anomalib",
            "vision_supersimplenet_anomalib",
            "vision_uflow_anomalib",
            "vision_uninet_anomalib",
            "vision_winclip_anomalib",
        ),
    },
    "pyimgano-models-clip": {
        "detector": ("vision_openclip_patchknn", "vision_openclip_promptscore", "vision_winclip", "winclip"),
    },
    "pyimgano-models-patchknn": {
        "detector": ("vision_anomalydino", "vision_patchcore", "vision_softpatch", "vision_superad"),
    },
    "pyimgano-robustness": {
        "command": ("robust-benchmark",),
        "corruption": (
            "blur",
            "color_temperature",
            "defocus",
            "dust",
            "geo_jitter",
            "glare",
            "jpeg",
            "lighting",
            "low_contrast",
            "motion_blur",
            "resolution_loss",
            "sensor_noise",
            "vignetting",
        ),
        "dataset": ("conditions",),
    },
}
