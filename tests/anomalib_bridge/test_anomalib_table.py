"""The static table of models against the anomalib that is installed."""

from __future__ import annotations

import inspect

import pytest
from bridge_models import needs_anomalib

from pyimgano.registry import find
from pyimgano_anomalib.table import BY_MODEL, LEFT_OUT, ROWS, TESTED

pytestmark = needs_anomalib


@pytest.fixture(scope="module")
def classes() -> dict[str, type]:
    """Give all image models of anomalib, by name."""
    from pyimgano_anomalib.library import image_models

    found = image_models()
    return {name: getattr(found, name) for name in dir(found) if inspect.isclass(getattr(found, name))}


def test_every_image_model_of_anomalib_is_in_the_table_or_left_out_with_a_reason(classes: dict[str, type]) -> None:
    assert sorted(set(classes) - set(BY_MODEL) - set(LEFT_OUT)) == [], "missing in the table"
    assert sorted({*BY_MODEL, *LEFT_OUT} - set(classes)) == [], "not in anomalib"
    assert not set(BY_MODEL) & set(LEFT_OUT)


def test_the_table_was_made_from_a_version_of_the_window() -> None:
    from pyimgano_anomalib.library import version

    assert TESTED.split(".")[:2] == version().split(".")[:2]


def test_what_the_table_sets_is_an_argument_of_the_class(classes: dict[str, type]) -> None:
    from pyimgano_anomalib.arguments import checked

    for row in ROWS:
        checked(classes[row.model], row.arguments, row.name)


def test_models_that_learn_in_one_pass_are_those_with_nothing_to_descend_by(classes: dict[str, type]) -> None:
    from anomalib.models.components import MemoryBankMixin

    banks = {name for name, kind in classes.items() if issubclass(kind, MemoryBankMixin)}
    assert {row.model for row in ROWS if row.training == "one_pass"} == banks


def test_every_row_has_a_factory_a_reason_where_it_is_not_trained_and_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert bool(row.reason) == (row.training == "elsewhere"), row.model
        factory = find("detector", row.detector).factory()
        assert factory.row is row
        assert factory.__name__ == row.model
