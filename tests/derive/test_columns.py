"""Derived columns: by hand, as docs/data.md has them, and as they are declared."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from clicklake.derive.columns import CLICKSTREAM_DERIVED, SOURCES, derived
from clicklake.derive.fields import meaning
from clicklake.schemas import PARTITIONS, TABLES, Table

ROOT = Path(__file__).parents[2]


def of_url(url: str) -> dict[str, str | None]:
    return {name: values[0].as_py() for name, values in derived("url", pa.array([url])).items()}


@pytest.mark.parametrize(
    "url, host, path",
    [
        ("https://User:pw@Shop.Example.com:8443/A?q#f", "shop.example.com", "/A"),
        ("http://[2001:DB8::1]:80", "[2001:db8::1]", "/"),
        ("/products/1", None, "/products/1"),
        ("mailto:a@b", None, "a@b"),
        ("//host?q", "host", "/"),
        ("https://a@b@C.example/", "c.example", "/"),
        ("http://:80/x", None, "/x"),
        ("HTTP://EXAMPLE.com/%41", "example.com", "/%41"),
    ],
)
def test_host_and_path(url: str, host: str | None, path: str) -> None:
    found = of_url(url)
    assert (found["host"], found["path"]) == (host, path)


@pytest.mark.parametrize(
    "query, source",
    [
        ("utm_source=mail", "mail"),
        ("utm_source=&utm_source=b", "b"),
        ("utm_source=+%20&utm_source=c", "c"),
        ("utm_source=a+b%21", "a b!"),
        ("utm_source=f%C3%AAte", "f\u00eate"),
        ("utm_source=%FF", "\ufffd"),
        ("utm_source=100%", "100%"),
        ("UTM_SOURCE=a", None),
        ("xutm_source=a", None),
        ("utm_source", None),
        ("a=1&utm_source=d=e", "d=e"),
    ],
)
def test_a_campaign_parameter(query: str, source: str | None) -> None:
    assert of_url(f"/p?{query}")["utm_source"] == source
    assert of_url(f"/p?x=1&{query}#utm_source=never")["utm_source"] == source
    assert of_url(f"/p#?{query}")["utm_source"] is None


@pytest.mark.parametrize(
    "text, size",
    [
        ("1920x1080", (1920, 1080)),
        ("1 X\t02", (1, 2)),
        ("2147483647x0", (2147483647, 0)),
        ("2147483648x1", None),
        ("x1080", None),
        ("1920", None),
        ("-1x1", None),
        ("1x1x1", None),
    ],
)
def test_a_screen(text: str, size: tuple[int, int] | None) -> None:
    found = derived("screen_resolution", pa.array([text]))
    width, height = size or (None, None)
    assert found["screen_width"].to_pylist() == [width]
    assert found["screen_height"].to_pylist() == [height]


def test_every_column_is_computed_in_its_own_type() -> None:
    made = {name: values for s in SOURCES for name, values in derived(s, pa.array(["x"])).items()}
    assert {name: values.type for name, values in made.items()} == {
        column.name: column.type for column in CLICKSTREAM_DERIVED
    }


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_page_on_data_says_what_every_column_means(table: Table) -> None:
    text = (ROOT / "docs" / "data.md").read_text()
    section = re.split(rf"^### {table.name}\b", text, flags=re.MULTILINE)[1]
    told = []
    for line in section.partition("\n\n|")[2].partition("\n\n")[0].splitlines()[2:]:
        names, said = line.strip("| ").split(" | ")
        told += [(name, said) for name in re.findall(r"`(\w+)`", names)]
    folders = [PARTITIONS.field(name) for name in table.partitions if name == "source"]
    assert told == [(field.name, meaning(field)) for field in [*folders, *table.schema]]
