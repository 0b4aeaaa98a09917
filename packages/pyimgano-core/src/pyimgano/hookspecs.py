"""The hooks of pyimgano: the reference for plugin authors.

A plugin is a module that an entry point in the group ``pyimgano`` names. It implements any of the hooks below, each of which
takes nothing and returns specs. Keep that module light: it is imported by every command, so it must not import numpy, OpenCV,
torch or the implementation. A whole plugin module::

    from pyimgano import hookimpl
    from pyimgano.specs import DetectorSpec

    @hookimpl
    def register_detectors():
        return [
            DetectorSpec(
                name="acme_scratch",
                summary="Directional scratch filter",
                factory="acme_scratch.detector:ScratchDetector",
                options="acme_scratch.options:ScratchOptions",
            )
        ]

Order carries no meaning: lists are sorted by kind, name and distribution. An exception in one hook costs that hook alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from pyimgano.specs import CommandSpec, CorruptionSpec, DatasetSpec, DetectorSpec, MetricSpec, PostprocessorSpec

PROJECT = "pyimgano"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_detectors() -> Iterable[DetectorSpec]:
    """Detectors: the factory is called as ``factory(options, runtime)`` and returns a `pyimgano.contracts.Detector`."""
    return ()


@hookspec
def register_datasets() -> Iterable[DatasetSpec]:
    """Datasets: the factory is called as ``factory(options)`` and returns a `pyimgano.contracts.Dataset`."""
    return ()


@hookspec
def register_corruptions() -> Iterable[CorruptionSpec]:
    """Image corruptions: the factory is called as ``factory(options)`` and returns a `pyimgano.contracts.Corruption`."""
    return ()


@hookspec
def register_postprocessors() -> Iterable[PostprocessorSpec]:
    """Steps between the detector and the thresholds, on anomaly maps or on scores.

    The factory is called as ``factory(options)`` and returns a `pyimgano.contracts.Postprocessor`.
    """
    return ()


@hookspec
def register_metrics() -> Iterable[MetricSpec]:
    """Metrics over images, pixels or regions: the factory is called as ``factory(options)`` and returns a `pyimgano.Metric`."""
    return ()


@hookspec
def register_commands() -> Iterable[CommandSpec]:
    """Subcommands of ``pyimgano``: ``app`` names a Typer app that is imported only when the command is invoked."""
    return ()
