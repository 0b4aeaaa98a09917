"""What is done to pages after Markdown: descriptions, flags that stay whole, tables that are lists on a phone."""

from __future__ import annotations

from site_html import DESCRIPTION, description, listed_tables, whole_names


def test_a_description_is_the_beginning_of_the_first_paragraph_in_whole_words() -> None:
    assert description("<h1>T</h1><p>Learn &amp; <em>score</em>.</p><p>More.</p>") == "Learn & score."
    long = description(f"<p>{'thresholds ' * 40}</p>")
    assert long.endswith("thresholds ...")
    assert len(long) <= DESCRIPTION + len(" ...")
    assert description("<h1>T</h1>") == ""


def test_a_flag_in_a_line_stays_whole_and_a_choice_may_end_a_line() -> None:
    shown = whole_names("<p><code>--tile-size FILE|none</code> one-way</p>")
    assert shown == '<p><code><span class="flag">--tile-size</span> FILE|<wbr>none</code> one-way</p>'


def test_blocks_of_code_stay_as_they_are() -> None:
    block = "<pre><span></span><code>train --root parts\n</code></pre>"
    assert whole_names(block) == block


def table(*header: str) -> str:
    head = "".join(f"<th>{name}</th>\n" for name in header)
    return (
        f"<table>\n<thead>\n<tr>\n{head}</tr>\n</thead>\n"
        "<tbody>\n<tr>\n<td><code>tiling.size</code></td>\n<td>int</td>\n<td>Side.</td>\n</tr>\n</tbody>\n</table>"
    )


def test_a_table_of_things_names_the_column_in_each_cell_but_the_first_and_those_of_plain_words() -> None:
    shown = listed_tables(table("Key", "Default", "Meaning"))
    assert '<table data-list="Key">' in shown
    assert '<td data-label="Default">int</td>' in shown
    assert "<td><code>tiling.<wbr>size</code></td>" in shown
    assert "<td>Side.</td>" in shown


def test_a_table_of_numbers_stays_a_table() -> None:
    assert listed_tables(table("Seconds", "Ratio", "Peer")) == table("Seconds", "Ratio", "Peer")
