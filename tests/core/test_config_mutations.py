"""A thousand ways to damage an infer_config.json: each is read as what it says, or refused with a named error; never more."""

from __future__ import annotations

import copy
import json
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyimgano.errors import PyimganoError
from pyimgano.reporting.strict_json import plain
from pyimgano.workbench.bundle import Bundle
from pyimgano.workbench.seal import CONFIG, STATE
from pyimgano.workbench.validate import validate_infer_config

SLOW = 5.0
"""Seconds that no config may take to be read and validated."""


@pytest.fixture(scope="module")
def folder(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the state of a bundle, for configs to be written into."""
    folder = tmp_path_factory.mktemp("mutations")
    shutil.copy(bundle / STATE, folder / STATE)
    return folder


@pytest.fixture(scope="module")
def config(bundle: Path) -> dict[str, Any]:
    """Give the content of an infer_config.json."""
    content: dict[str, Any] = json.loads((bundle / CONFIG).read_text(encoding="utf-8"))
    return content


DEEP = {f"deep {depth}": '[{"a":' * depth + "1" + "}]" * depth for depth in (20, 100, 450, 5000)}
"""Nested values, by the word that stands for each until the JSON is written."""


NUMBERS = st.one_of(
    st.integers(-(10**6), 10**6),
    st.sampled_from([0, -1, 2**31, 2**63, -(2**63) - 1, 10**18, 10**30, 10**308, 10**309, 10**400, 10**4000]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([5e-324, 1.7976931348623157e308, -0.0, 1e-300, 0.5, 1.5]),
)
WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "1", "12.5", "nan", "inf", "true", "none", "null", "../x", "/etc/passwd", "\x00", "vision_filterbank"]
    ),
    st.sampled_from(["normal_pixel_quantile", "a" * 10_000, "state.safetensors", "model.pkl", "auto", "cpu", "cuda", "png"]),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS)
VALUES = st.one_of(
    LEAVES,
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=8),
    st.sampled_from(list(DEEP)),
    st.just(list(range(3000))),
)
DAMAGE = st.sampled_from(["none"] * 12 + ["cut", "flip", "double", "garbage", "bom", "utf16"])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value, the whole first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def mutated(content: Any, path: tuple[Any, ...], how: str, key: str, value: Any) -> Any:
    """Return the content with one value replaced, deleted, renamed, wrapped, doubled, or with one added beside it."""
    if not path:
        return value
    content = copy.deepcopy(content)
    parent = content
    for step in path[:-1]:
        parent = parent[step]
    last = path[-1]
    if how == "delete":
        del parent[last]
    elif how == "wrap":
        parent[last] = [parent[last]]
    elif how == "tweak" and isinstance(parent[last], (bool, int, float)):
        parent[last] = not parent[last] if isinstance(parent[last], bool) else parent[last] * 2
    elif how == "as text":
        parent[last] = json.dumps(parent[last])
    elif how == "add" and isinstance(parent, dict):
        parent[key] = value
    elif how == "rename" and isinstance(parent, dict):
        parent[key] = parent.pop(last)
    else:
        parent[last] = value
    return content


def written(value: Any) -> str:
    """Return JSON, with NaN and numbers of any size, however deep."""
    text = json.dumps(value)
    for word, deep in DEEP.items():
        text = text.replace(f'"{word}"', deep)
    return text


def damaged(text: str, damage: str, place: int) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    place = place % max(1, len(data))
    match damage:
        case "cut":
            return data[:place]
        case "flip":
            return data[:place] + bytes([data[place] ^ 0x15]) + data[place + 1 :] if data else b"x"
        case "double":
            return data + data
        case "garbage":
            return data[:place] + b"\xff\xfe\x00" + data[place:]
        case "bom":
            return b"\xef\xbb\xbf" + data
        case "utf16":
            return text.encode("utf-16", "surrogatepass")
    return data


def means_the_same(said: Any, read: Any) -> bool:
    """Return whether a value was read as it stands: equal, but for how a number or switch may be written."""
    if isinstance(said, dict) and isinstance(read, dict):
        return all(key in read and means_the_same(value, read[key]) for key, value in said.items())
    if isinstance(said, list) and isinstance(read, list):
        return len(said) == len(read) and all(map(means_the_same, said, read))
    if said == read:
        return True
    if isinstance(read, bool):
        words = {True: ("1", "true", "t", "yes", "y", "on"), False: ("0", "false", "f", "no", "n", "off")}
        return str(said).lower() in words[read] or said == float(read)
    if isinstance(read, (int, float)) and isinstance(said, (int, float, str)):
        return math.isclose(float(said), read, rel_tol=1e-12)
    return False


@settings(
    max_examples=1000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(data=st.data())
def test_a_mutated_config_is_read_as_it_stands_or_refused_by_name(
    folder: Path, config: dict[str, Any], data: st.DataObject
) -> None:
    content: Any = config
    for _ in range(data.draw(st.sampled_from([1, 1, 1, 2, 3]))):
        if not isinstance(content, dict):
            break
        path = data.draw(st.sampled_from(list(places(content))[:400]))
        how = data.draw(st.sampled_from(["replace"] * 4 + ["tweak"] * 3 + ["delete", "wrap", "as text", "add", "rename"]))
        content = mutated(content, path, how, data.draw(WORDS), data.draw(VALUES))
    text = written(content)
    (folder / CONFIG).write_bytes(damaged(text, data.draw(DAMAGE), data.draw(st.integers(0, 10**6))))
    started = time.monotonic()
    error = None
    try:
        bundle = Bundle.load_config(folder / CONFIG)
        bundle.pipeline()
    except PyimganoError as caught:
        error = caught
    found = validate_infer_config(folder / CONFIG)
    assert time.monotonic() - started < SLOW
    json.dumps(plain(found.to_json()), allow_nan=False)
    if error is not None:
        assert error.problem
        assert found.errors, f"the validator passes what cannot be loaded: {error}"
        return
    incomplete = {"/defects/pixel_threshold", "/prediction/reject_confidence_below", "/defects/enabled"}
    assert {fault.pointer for fault in found.faults if fault.severity == "error"} <= incomplete
    said = json.loads((folder / CONFIG).read_text(encoding="utf-8-sig"))
    assert means_the_same(said, plain(bundle.config)), "a value was read as another"
