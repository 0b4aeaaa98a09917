"""anomalib's image models as rows of data: what each is called here, what it gives and whether it is sensibly trained here.

Standard library only; a test compares the rows with the installed anomalib.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Training = Literal["one_pass", "gradient", "elsewhere"]

TESTED = "2.7.0"
"""The version of anomalib that the table was made from."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One class of ``anomalib.models``.

    Attributes
    ----------
    model
        Name of the class.
    name
        Its detector is ``vision_<name>_anomalib``.
    family
        The idea behind it, which is a tag.
    summary
        One line.
    training
        ``one_pass``: learns in one pass without gradients; ``gradient``: in many; ``elsewhere``: not here, because of `reason`.
    maps
        Whether it says where an image is abnormal.
    reason
        Why it is not trained here, as half a sentence.
    arguments
        What is set for its class unless the user sets it.
    pretrained
        Whether a part of it is a network with pretrained weights.
    apart
        Whether images are scored one by one, because its scores depend on the batch: by its maximum in Cflow, by the rounding
        that decides which training images an image is compared with in Rad.
    needs, extra
        A module that anomalib asks for where it is used, and the extra of this distribution that brings it.
    licence
        Of the pretrained weights that it downloads by default, where those bind their user.
    """

    model: str
    name: str
    family: str
    summary: str
    training: Training = "gradient"
    maps: bool = True
    reason: str = ""
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    pretrained: bool = True
    apart: bool = False
    needs: str | None = None
    extra: str | None = None
    licence: str | None = None

    @property
    def detector(self) -> str:
        """Return the name of the detector."""
        return f"vision_{self.name}_anomalib"


_DINOV3 = "DINOv3 License (Meta)"

ROWS: tuple[Row, ...] = (
    Row(
        model="AnomalyDINO",
        name="anomaly_dino",
        family="memory_bank",
        summary="nearest neighbours of DINOv2 patch tokens (Damm et al. 2025)",
        training="one_pass",
    ),
    Row(
        model="AnomalyVFM",
        name="anomalyvfm",
        family="zero_shot",
        summary="a vision foundation model taught to see anomalies, without training images",
        training="elsewhere",
        reason="it is not trained on the parts at hand",
    ),
    Row(
        model="Cfa",
        name="cfa",
        family="memory_bank",
        summary="patch features coupled to hyperspheres around a memory bank (Lee et al. 2022)",
    ),
    Row(
        model="Cflow",
        name="cflow",
        family="flow",
        summary="conditional normalizing flows on a feature pyramid (Gudovskiy et al. 2022)",
        apart=True,
    ),
    Row(
        model="Csflow",
        name="csflow",
        family="flow",
        summary="cross-scale normalizing flows (Rudolph et al. 2022)",
    ),
    Row(
        model="Dfkde",
        name="dfkde",
        family="distribution",
        summary="kernel density of deep features of the whole image",
        training="one_pass",
        maps=False,
    ),
    Row(
        model="Dfm",
        name="dfm",
        family="distribution",
        summary="feature reconstruction error of a PCA on deep features (Ahuja et al. 2019)",
        training="one_pass",
    ),
    Row(
        model="Dinomaly",
        name="dinomaly",
        family="reconstruction",
        summary="a transformer that reconstructs DINOv2 features (Guo et al. 2025)",
    ),
    Row(
        model="Draem",
        name="draem",
        family="reconstruction",
        summary="reconstruction and segmentation of simulated defects (Zavrtanik et al. 2021)",
        arguments=MappingProxyType({"dtd_dir": None}),
        pretrained=False,
    ),
    Row(
        model="Dsr",
        name="dsr",
        family="reconstruction",
        summary="simulated defects in a quantised latent space (Zavrtanik et al. 2022)",
        training="elsewhere",
        reason="its training downloads a pretrained quantiser into the working folder",
    ),
    Row(
        model="EfficientAd",
        name="efficientad",
        family="distillation",
        summary="a small student and an autoencoder against a distilled teacher (Batzner et al. 2024)",
        training="elsewhere",
        reason="its training downloads a teacher and images of ImageNet into the working folder",
    ),
    Row(
        model="Fastflow",
        name="fastflow",
        family="flow",
        summary="two-dimensional normalizing flows on features (Yu et al. 2021)",
    ),
    Row(
        model="FoundAD",
        name="foundad",
        family="reconstruction",
        summary="a projector of foundation features onto the normal ones, for few images",
    ),
    Row(
        model="Fre",
        name="fre",
        family="reconstruction",
        summary="feature reconstruction error of a shallow autoencoder (Ndiour et al. 2022)",
    ),
    Row(
        model="Ganomaly",
        name="ganomaly",
        family="reconstruction",
        summary="a generative adversarial autoencoder (Akcay et al. 2018)",
        maps=False,
        pretrained=False,
    ),
    Row(
        model="GeneralAD",
        name="general_ad",
        family="discriminative",
        summary="an attention discriminator of distorted patch features (Straeter et al. 2024)",
    ),
    Row(
        model="Glass",
        name="glass",
        family="discriminative",
        summary="simulated defects at feature and image level, found by gradient ascent (Chen et al. 2024)",
    ),
    Row(
        model="InpFormer",
        name="inp_former",
        family="reconstruction",
        summary="prototypes of normality from the image itself (Luo et al. 2025)",
    ),
    Row(
        model="L2BT",
        name="l2bt",
        family="distillation",
        summary="two students between layers of a transformer (2025)",
    ),
    Row(
        model="MHPatchcore",
        name="mh_patchcore",
        family="memory_bank",
        summary="PatchCore with Mahalanobis distances and coresets of bounded size",
        training="one_pass",
    ),
    Row(
        model="Padim",
        name="padim",
        family="distribution",
        summary="a Gaussian of pretrained features at every place (Defard et al. 2021)",
        training="one_pass",
    ),
    Row(
        model="Patchcore",
        name="patchcore",
        family="memory_bank",
        summary="nearest neighbours in a coreset of pretrained features (Roth et al. 2022)",
        training="one_pass",
    ),
    Row(
        model="Patchflow",
        name="patchflow",
        family="flow",
        summary="normalizing flows on patch features of several scales",
    ),
    Row(
        model="Rad",
        name="rad",
        family="memory_bank",
        summary="layered nearest neighbours of DINOv3 tokens at nearby places",
        training="one_pass",
        apart=True,
        licence=_DINOV3,
    ),
    Row(
        model="ReverseDistillation",
        name="reverse_distillation",
        family="distillation",
        summary="a student that decodes what the teacher encodes (Deng and Li 2022)",
    ),
    Row(
        model="Stfpm",
        name="stfpm",
        family="distillation",
        summary="a student that matches the teacher's feature pyramid (Wang et al. 2021)",
    ),
    Row(
        model="SuperADD",
        name="superadd",
        family="memory_bank",
        summary="memory banks of DINOv3 tokens of overlapping patches (VAND 4.0 challenge)",
        training="one_pass",
        licence=_DINOV3,
    ),
    Row(
        model="Supersimplenet",
        name="supersimplenet",
        family="discriminative",
        summary="a discriminator of features with simulated defects (Rolih et al. 2024)",
    ),
    Row(
        model="Uflow",
        name="uflow",
        family="flow",
        summary="U-shaped normalizing flows on transformer features (Tailanian et al. 2024)",
    ),
    Row(
        model="UniNet",
        name="uninet",
        family="distillation",
        summary="contrastive teacher and student with a multi-scale bottleneck (Wei et al. 2025)",
    ),
    Row(
        model="WinClip",
        name="winclip",
        family="zero_shot",
        summary="windows of CLIP against prompts (Jeong et al. 2023)",
        training="elsewhere",
        reason="it knows normal and abnormal from words; core's own is vision_winclip",
        needs="open_clip",
        extra="clip",
    ),
)
"""All RGB image models of anomalib, in the order of their classes."""

LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "CFM": "takes point clouds beside images",
        "VlmAd": "asks a language model over the network",
    }
)
"""Image models that are no detectors here, and why."""

BY_MODEL: Mapping[str, Row] = MappingProxyType({row.model: row for row in ROWS})
