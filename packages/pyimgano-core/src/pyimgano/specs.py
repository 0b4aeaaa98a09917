"""Frozen descriptions of components: what a plugin offers, as data.

Standard library only. Building a spec imports nothing: ``factory`` and ``options`` are ``"package.module:name"`` strings that
are resolved when a run first needs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class ComponentSpec:
    """What every component says about itself.

    Attributes
    ----------
    name
        ``[a-z][a-z0-9_]*``, unique per kind within its plugin.
    summary
        One line for tables.
    factory
        ``"package.module:callable"``. Called as ``factory(options, runtime)`` for detectors, as ``factory(options)`` for the
        other kinds.
    options
        ``"package.options:Model"``, a subclass of `pyimgano.options.Options`; None where there is nothing to set.
    tags
        Words to filter lists by.
    requires
        PEP 508 requirements beyond those of the distribution itself.
    extra
        The extra of the distribution that brings `requires`.
    deprecated
        Name of the replacement, where there is one.
    """

    kind: ClassVar[str] = "component"

    name: str
    summary: str
    factory: str
    options: str | None = None
    tags: frozenset[str] = frozenset()
    requires: tuple[str, ...] = ()
    extra: str | None = None
    deprecated: str | None = None


@dataclass(frozen=True)
class WeightsPlace:
    """Where pretrained weights are.

    Attributes
    ----------
    name
        Which weights.
    place
        Where they lie; None where they do not.
    fix
        The command that gets them.
    """

    name: str
    place: str | None = None
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class DetectorSpec(ComponentSpec):
    """A detector.

    Attributes
    ----------
    learning
        ``fit``: needs good images; ``few_shot``: works with a handful; ``zero_shot``: needs none and refuses them.
    maps
        Whether every score comes with an anomaly map.
    weights
        Where its pretrained weights come from; ``none`` where it has none.
    devices
        Devices it can run on.
    inputs
        The factory may return an object of another library that is no `pyimgano.Detector`. This says what its methods take,
        the X below, so that nothing has to be tried:

        - ``arrays``: a list of RGB uint8 arrays (H, W, 3), whose sizes may differ;
        - ``batch``: one stacked array (N, H, W, 3), a call for each size; training images must be of one size;
        - ``paths``: a list of file names: those of the images, or of temporary PNG files where something was done to an image
          before it (preprocessing, tiles) or it came as an array.

        It needs ``fit(X)``, which gets all training images at once, and ``decision_function(X)``, which returns (N,) scores,
        higher is more anomalous; unless ``maps`` is False also ``predict_anomaly_map(X)``, N maps (h, w), or
        ``get_anomaly_map(x)``, the map of one image; for bundles also ``state()``, which returns named arrays, and
        ``load_state(arrays)``. A `pyimgano.Detector` gets arrays always and leaves this out.
    embedder
        Whether the factory takes a caller's own ``embedder=``.
    amp
        Whether reduced precision (``--amp``) changes how it computes; where not, asking for it is warned of and ignored.
    presets
        Named sets of option values.
    weights_at
        ``"package.module:function"``, which tells ``pyimgano doctor`` whether the weights that options name are on this
        machine: called as ``function(options)``, it returns a `WeightsPlace`. It must do without a network and without
        what `requires` brings.
    """

    kind: ClassVar[str] = "detector"

    learning: Literal["fit", "few_shot", "zero_shot"] = "fit"
    maps: bool = True
    weights: Literal["none", "bundled", "download", "checkpoint"] = "none"
    devices: tuple[str, ...] = ("cpu",)
    inputs: Literal["arrays", "batch", "paths"] = "arrays"
    embedder: bool = False
    amp: bool = False
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    weights_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(ComponentSpec):
    """A dataset layout.

    Attributes
    ----------
    masks
        Whether defective test images can have pixel masks.
    """

    kind: ClassVar[str] = "dataset"

    masks: bool = False


@dataclass(frozen=True, kw_only=True)
class CorruptionSpec(ComponentSpec):
    """An image corruption.

    Attributes
    ----------
    severities
        How many steps it has; 1 is the mildest.
    moves_pixels
        Whether masks must be warped along.
    """

    kind: ClassVar[str] = "corruption"

    severities: int = 5
    moves_pixels: bool = False


@dataclass(frozen=True, kw_only=True)
class PostprocessorSpec(ComponentSpec):
    """A step after scoring.

    Attributes
    ----------
    acts_on
        Whether it changes maps or scores.
    fits
        Whether it learns from held-out normal images first.
    """

    kind: ClassVar[str] = "postprocessor"

    acts_on: Literal["map", "score"] = "map"
    fits: bool = False


@dataclass(frozen=True, kw_only=True)
class MetricSpec(ComponentSpec):
    """A metric.

    Attributes
    ----------
    level
        What it judges: images, pixels or ground-truth regions.
    needs_masks
        Whether it is defined only where defective images have masks.
    higher_is_better
        Which way it runs.
    """

    kind: ClassVar[str] = "metric"

    level: Literal["image", "pixel", "region"] = "image"
    needs_masks: bool = False
    higher_is_better: bool = True


@dataclass(frozen=True, kw_only=True)
class CommandSpec:
    """A subcommand of ``pyimgano``.

    Attributes
    ----------
    name
        ``[a-z][a-z0-9-]*``: what is typed.
    summary
        One line for ``pyimgano --help``.
    app
        ``"package.module:typer_app"``, imported when the command is invoked.
    """

    kind: ClassVar[str] = "command"

    name: str
    summary: str
    app: str


Spec = ComponentSpec | CommandSpec
