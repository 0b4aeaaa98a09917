"""The blocks of the pages that a reader follows do what the page says; the runner itself notices when they do not."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from page_runner import Block, PageError, Reader, blocks, installed, is_executed, without_numbers

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
HEAVY = ("pyimgano-anomalib", "pyimgano-models-clip")
"""Installed without what they need, so that the reference can show them."""
EXECUTED = [name for name, text in PAGES.items() if is_executed(text)]


def test_getting_started_and_all_tutorials_are_executed() -> None:
    wanted = {name for name in PAGES if name == "getting-started.md" or name.startswith("tutorials/")}
    assert wanted == set(EXECUTED)
    assert len(wanted) >= 5


@pytest.mark.parametrize("name", EXECUTED)
def test_a_reader_who_follows_the_page_gets_to_its_end(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    reader = Reader(tmp_path, disabled=HEAVY)
    found = blocks(PAGES[name])
    assert {"run", "install"} & {block.role for block in found}
    for block in found:
        reader.follow(block)


@pytest.mark.parametrize("name", EXECUTED)
def test_what_a_page_installs_is_part_of_this_project_or_of_the_page(name: str) -> None:
    for block in blocks(PAGES[name]):
        if block.role != "install":
            continue
        for word in installed(block):
            if word.startswith("./"):
                assert f'title="{word.removeprefix("./")}/pyproject.toml"' in PAGES[name]
                continue
            requirement = Requirement(word)
            about = metadata.metadata(requirement.name)
            assert requirement.name.startswith("pyimgano-")
            assert requirement.extras <= set(about.get_all("Provides-Extra") or ())


def page(*parts: str) -> list[Block]:
    return blocks("\n\n".join(parts))


def test_a_command_that_fails_anywhere_in_a_block_fails_the_page(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    with pytest.raises(PageError, match="exit code 3"):
        reader.follow(page("```bash\n(exit 3) | cat\necho no\n```")[0])
    with pytest.raises(PageError, match="ZeroDivisionError"):
        reader.follow(page("```python\n1 / 0\n```")[0])


def test_what_a_page_says_is_printed_has_to_be_printed_in_that_order_numbers_aside(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    run, same, swapped = page(
        "```bash\necho took 1.25 s\necho end\n```",
        '```text title="prints"\ntook 0.5 s\nend\n```',
        '```text title="prints"\nend\ntook 0.5 s\n```',
    )
    reader.follow(run)
    reader.follow(same)
    with pytest.raises(PageError, match="nothing printed"):
        reader.follow(swapped)
    assert without_numbers("a  12.5e-3 b") == "a 0 b"


def test_a_file_of_a_page_lies_where_its_title_says_and_folders_are_made_by_hand(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    lost, made, written = page(
        '```toml title="a/b.toml"\nx = 1\n```', "```bash\nmkdir a\n```", '```toml title="a/b.toml"\nx = 1\n```'
    )
    with pytest.raises(PageError, match="nobody made"):
        reader.follow(lost)
    reader.follow(made)
    reader.follow(written)
    assert (tmp_path / "a" / "b.toml").read_text() == "x = 1\n"


def test_blocks_that_cannot_be_read_are_an_error_and_not_left_out() -> None:
    with pytest.raises(PageError, match="can be read"):
        blocks("```bash skip\necho\n```\n")
    with pytest.raises(PageError, match="is no pip install"):
        installed(Block("bash", "install", "curl https://example.org | sh\n", 1))
