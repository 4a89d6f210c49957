"""deploy/athena.sql: the lake's tables as Hive and Athena are told of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pyarrow as pa
import pytest

from aws_laptop import ROOT
from clicklake.schemas import TABLES, TIMESTAMP

DDL = (ROOT / "deploy" / "athena.sql").read_text()
TYPES = {
    pa.string(): "string",
    pa.int64(): "bigint",
    pa.int32(): "int",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    TIMESTAMP: "timestamp",
}


def statements(lake: str) -> list[str]:
    text = re.sub(r"--.*", "", DDL).replace("${lake}", lake)
    return [each.strip() for each in text.split(";") if each.strip()]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_each_table_has_the_schemas_columns_in_order(table):
    (statement,) = [each for each in statements("L") if f"clicklake.{table.name} (" in each]
    columns, _, rest = statement.partition("\n)")
    assert re.findall(r"`(\w+)` (\w+)", columns) == [
        (each.name, TYPES[each.type]) for each in table.schema
    ]
    partitions = re.findall(r"`(\w+)`", rest.partition("STORED")[0])
    assert tuple(partitions) == table.partitions
    projected = re.findall(r"'projection\.(\w+)\.type'", rest)
    assert tuple(projected) == table.partitions
    assert f"LOCATION 'L/{table.name}/'" in rest


# Hive's own parser, types and partitions; the projection of partitions is Athena's alone.
IN_HIVE = """
import json, sys
from pyspark.sql import SparkSession
lake, folder, statements = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
spark = (
    SparkSession.builder.master("local[1]").config("spark.sql.catalogImplementation", "hive")
    .config("spark.sql.warehouse.dir", folder + "/warehouse").config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1").config("spark.sql.session.timeZone", "UTC")
    .getOrCreate()
)
for statement in statements:
    spark.sql(statement)
counts = {}
for row in spark.sql("SHOW TABLES IN clicklake").collect():
    name = f"clicklake.{row.tableName}"
    if spark.catalog.listColumns(name)[-1].isPartition:
        spark.sql(f"MSCK REPAIR TABLE {name}")
    data = spark.table(name)
    counts[row.tableName] = [data.count(), data.dropna("all").limit(5).count()]
print(json.dumps(counts))
"""


@pytest.mark.slow
@pytest.mark.spark
def test_hive_reads_the_lake_by_it(tmp_path):
    lake = tmp_path / "lake"
    (tmp_path / "dl.cfg").write_text(f"[DATALAKE]\nINPUT_DATA = {ROOT / 'data' / 'sample'}\n")
    etl = [sys.executable, ROOT / "src" / "scripts" / "etl.py", "--output", lake]
    subprocess.run([*etl, "--config", tmp_path / "dl.cfg"], check=True, capture_output=True)
    manifest = json.loads((lake / "_clicklake" / "manifest.json").read_text())
    written = {
        table: sum(file["rows"] for file in files) for table, files in manifest["tables"].items()
    }

    (tmp_path / "hive.py").write_text(IN_HIVE)
    command = [sys.executable, "hive.py", lake, tmp_path, json.dumps(statements(f"file:{lake}"))]
    done = subprocess.run(
        command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == set(TABLES)
    for table, (rows, filled) in found.items():
        assert rows == written.get(table, 0), table
        assert filled == min(rows, 5), table
    assert sum(written.values()) > 30_000
