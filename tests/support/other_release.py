"""Lakes as other releases made them: one that is kept, and tables of other columns."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clicklake.lake import STAGING, Change, Definition, Lake, LiveFile
from clicklake.storage import open_storage

KEPT = Path(__file__).parents[1] / "fixtures" / "lake-of-format-1.tar.gz"
FOLDERS = ("UserUpdates", "PageViews", "Clickstream")

Alter = Callable[[pa.Table], pa.Table]


def unpacked(folder: Path) -> Path:
    """The lake of data/sample, without recommendations' database and reports, as made by the
    last release that had neither checksums nor definitions in its manifest."""
    with tarfile.open(KEPT) as archive:
        archive.extractall(folder, filter="data")
    return folder / "lake"


def empty_input(folder: Path) -> Path:
    """Folders of sources whose files have all expired."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    return folder


def altered(root: Path, table: str, alter: Alter, rules: int = 1) -> None:
    """Commit other files in the place of a table's, as a release would that had other columns."""
    lake = Lake(open_storage(str(root)))
    lake.open()
    run_id = f"20180601T000000-{lake.head:06x}"
    adds, files, schema = [], [], None
    for number, file in enumerate(lake.manifest.files(table)):
        rows = alter(pq.ParquetFile(root / file.path).read())
        schema = rows.schema
        staged = f"{STAGING}/{run_id}/tables/{number}.parquet"
        (root / staged).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, root / staged)
        live = f"{file.path.rpartition('/')[0]}/{run_id}-{number}.parquet"
        files.append(LiveFile(live, rows.num_rows, (root / staged).stat().st_size))
        adds.append((staged, live))
    before = lake.manifest
    manifest = replace(
        before,
        format=2,
        run_id=run_id,
        tables={**before.tables, table: tuple(files)},
        definitions={**before.definitions, table: Definition(schema, rules)},
    )
    removes = [file.path for file in before.files(table)]
    metrics = {"run_id": run_id, "status": "committed", "engine": "sail", "seconds": 1.0}
    lake.commit(Change(manifest, lake.ledger, adds, removes, metrics))


def without(*names: str) -> Alter:
    return lambda rows: rows.drop_columns(list(names))


def with_more(rows: pa.Table) -> pa.Table:
    return rows.append_column("more", pa.array(["?"] * len(rows)))


def retyped(name: str, type_: pa.DataType) -> Alter:
    def alter(rows: pa.Table) -> pa.Table:
        at = rows.schema.get_field_index(name)
        field = rows.schema.field(at).with_type(type_)
        return rows.set_column(at, field, rows[name].cast(type_))

    return alter
