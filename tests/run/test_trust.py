"""What is read is checked before it is published: every byte, every row, every null."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hostile
import lakes
from clicklake.engines import Engine
from clicklake.errors import ClicklakeError, InputError
from clicklake.lake import LiveFile
from clicklake.lake.parquet import audit_file
from clicklake.logs.summary import SplitSummary, line_bases
from clicklake.run import trust
from clicklake.run.landing import Reading
from clicklake.schemas import PAGE_VIEWS, USERS, Table
from clicklake.storage import FileInfo
from days import AS_OF, days
from fake_lake import DEFAULTS, NOON


@dataclass
class Landed:
    """As much of what was read as the checks look at."""

    summaries: list[SplitSummary]
    read: list[FileInfo] = field(default_factory=list)
    good: int = 0
    refused_before: int = 0

    @property
    def planned(self) -> SimpleNamespace:
        folder = SimpleNamespace(storage=SimpleNamespace(root="/logs"))
        return SimpleNamespace(read=self.read, source="clickstream", refused={}, folder=folder)

    def total(self, counter: str) -> int:
        return sum(getattr(split, counter) for split in self.summaries)


WHOLE = [FileInfo("a", 30, ""), FileInfo("b", 10, "")]
SPLITS = [SplitSummary("a", 0, 20), SplitSummary("a", 20, 30), SplitSummary("b", 0, 10)]


def test_every_byte_was_read() -> None:
    trust.check_every_byte_was_read(Landed(SPLITS[::-1], WHOLE))


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_split_that_is_missing_is_found(lost: int) -> None:
    splits = SPLITS[:lost] + SPLITS[lost + 1 :]
    with pytest.raises(ClicklakeError, match=r"not read once|not all of it was read"):
        trust.check_every_byte_was_read(Landed(splits, WHOLE))


@pytest.mark.parametrize("twice", [0, 1, 2])
def test_a_split_that_came_twice_is_found(twice: int) -> None:
    with pytest.raises(ClicklakeError, match="not read once"):
        trust.check_every_byte_was_read(Landed([*SPLITS, SPLITS[twice]], WHOLE))


def test_a_run_that_did_not_read_all_is_refused() -> None:
    trust.refuse_what_cannot_be_trusted([Landed(SPLITS, WHOLE)], 1.0, {})
    with pytest.raises(ClicklakeError, match="not all of it was read"):
        trust.refuse_what_cannot_be_trusted([Landed(SPLITS[:2], WHOLE)], 1.0, {})


def test_books_that_balance() -> None:
    split = SplitSummary("a", 0, 1, read=10, filtered=2, quarantined=1)
    books = trust.books(Landed([split], good=7), 5)
    assert (books.kept, books.duplicate, books.filtered, books.quarantined) == (5, 2, 2, 1)


@pytest.mark.parametrize("good, kept", [(6, 5), (8, 8), (7, 8)])
def test_books_that_do_not_balance_stop_the_run(good: int, kept: int) -> None:
    """A row lost, a row too many, and more kept than there were."""
    split = SplitSummary("a", 0, 1, read=10, filtered=2, quarantined=1)
    with pytest.raises(ClicklakeError, match="do not balance"):
        trust.books(Landed([split], good=good), kept)


@pytest.mark.parametrize("bad, is_refused", [(5, False), (6, True)])
def test_too_many_bad_rows_stop_the_run(bad: int, is_refused: bool) -> None:
    landed = Landed([SplitSummary("a", 0, 1, read=100, quarantined=bad)])
    landed.reasons_by_file = {"a": {"malformed_json": bad}}
    if not is_refused:
        trust.check_bad_ratio(landed, 0.05, {})
        return
    with pytest.raises(
        InputError, match=r"6 of 100 rows \(6.0%\) are bad.*\n  a: malformed_json 6"
    ):
        trust.check_bad_ratio(landed, 0.05, {})


def test_lines_are_counted_through_all_splits_of_a_file() -> None:
    splits = [SplitSummary("a", 20, 30, lines=4), SplitSummary("a", 0, 20, lines=3)]
    splits += [SplitSummary("b", 0, 10, lines=9), SplitSummary("a", 30, 40, lines=1)]
    assert line_bases(splits) == {("a", 0): 0, ("a", 20): 3, ("a", 30): 7, ("b", 0): 0}


def _audited(folder: Path, table: Table, rows: list[dict], path: str) -> None:
    file = folder / "x.parquet"
    nullable = pa.schema([each.with_nullable(True) for each in table.schema])
    pq.write_table(pa.Table.from_pylist(rows, schema=nullable), file)
    audit_file(table, LiveFile(path, len(rows), 0), pq.read_metadata(file))


def test_a_null_where_there_may_be_none_is_found(tmp_path: Path) -> None:
    row = DEFAULTS["users"]
    _audited(tmp_path, USERS, [row, {**row, "name": None}], "users/x.parquet")
    with pytest.raises(ClicklakeError, match="email holds null"):
        _audited(tmp_path, USERS, [row, {**row, "email": None}], "users/x.parquet")


def test_a_row_of_another_month_is_found(tmp_path: Path) -> None:
    rows = [{**DEFAULTS["page_views"], "ts": NOON}]
    _audited(tmp_path, PAGE_VIEWS, rows, "page_views/year=2018/month=4/x.parquet")
    with pytest.raises(ClicklakeError, match="holds a row of 2018-04-01"):
        _audited(tmp_path, PAGE_VIEWS, rows, "page_views/year=2018/month=5/x.parquet")


def test_other_columns_are_found(tmp_path: Path) -> None:
    with pytest.raises(ClicklakeError, match="its columns are"):
        audit_file(PAGE_VIEWS, LiveFile("users/x.parquet", 0, 0), _footer(tmp_path))


def _footer(folder: Path) -> pq.FileMetaData:
    pq.write_table(USERS.schema.empty_table(), folder / "x.parquet")
    return pq.read_metadata(folder / "x.parquet")


@pytest.mark.parametrize("source", ["Clickstream", "PageViews"])
def test_a_file_that_vanishes_after_it_was_listed_stops_the_run(
    sail: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    [day] = days(1)[:1]
    hostile.write(day, tmp_path / "in")
    real = Reading.landed

    def landed(self: Reading) -> object:
        for file in (tmp_path / "in" / source).rglob("log"):
            file.unlink()
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(Reading, "landed", landed)
        with pytest.raises(ClicklakeError, match=rf"{source}/2018/.*vanished"):
            lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    assert not (tmp_path / "lake" / "_clicklake" / "manifest.json").exists()
