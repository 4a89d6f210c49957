"""Ask the lake from the shell: SQL in, a table or a file out.

DuckDB reads the files that the manifest lists, so an answer is of one state of the lake. If a run
replaces those files meanwhile, the question is asked again.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from clicklake import config as configuration
from clicklake import engines, lake, schemas
from clicklake.config import Config
from clicklake.errors import ClicklakeError, ConfigError, InputError
from clicklake.lake import sql
from clicklake.lake.metrics import committed
from clicklake.publish import csv
from clicklake.publish.files import replace_file
from clicklake.publish.tables import runs_batch
from clicklake.storage import Storage, open_storage

ATTEMPTS = 3
BATCH_ROWS = 1 << 14
FORMATS = ("csv", "json", "parquet")
T = TypeVar("T")

# The question for `--tables`. What is computed when it is asked for has no rows to count.
TABLES = """
select c.table_name as "table", r.rows, string_agg(column_name || ' ' || lower(data_type), ', '
    order by ordinal_position) as columns
from information_schema.columns c left join rows_of_tables r on c.table_name = r.name
where c.table_name <> 'rows_of_tables'
group by all order by c.table_name
"""


def main(arguments: Sequence[str]) -> int:
    """Run `query.py` and return its exit code."""
    given = _parser().parse_args(arguments)
    try:
        _run(given)
    except ClicklakeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # as in `query.py … | head`
        sys.stderr.close()
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="query.py", description="Ask the lake in SQL (DuckDB's).")
    parser.add_argument("sql", nargs="?", help='a query; "-" reads it from standard input')
    parser.add_argument("--tables", action="store_true", help="list the tables and their columns")
    parser.add_argument("--format", choices=("table", *FORMATS), help="default: table")
    parser.add_argument("--to", metavar="FILE", type=Path, help="write a file instead of printing")
    parser.add_argument(
        "--limit", type=int, default=100, metavar="N", help="rows that a table shows (0: all)"
    )
    parser.add_argument("--config", metavar="FILE", help="a dl.cfg")
    parser.add_argument("--lake", metavar="PLACE", help="beats OUTPUT_DATA")
    return parser


def _run(given: argparse.Namespace) -> None:
    question, format_ = _question(given), _format(given)
    overrides = {"DATALAKE.OUTPUT_DATA": given.lake} if given.lake else {}
    loaded = configuration.load(given.config, overrides)
    engines.use_keys(loaded.aws)
    storage = open_storage(loaded.datalake.output_data)
    if format_ == "table":
        rows, more = ask(storage, loaded, question, lambda answer: _first(answer, given.limit))
        _print(rows, more)
        return
    with tempfile.TemporaryDirectory(
        prefix=".clicklake-", dir=given.to.absolute().parent if given.to else None
    ) as folder:
        file = Path(folder) / "answer"
        ask(storage, loaded, question, lambda answer: _write(answer, file, format_, loaded))
        if given.to:
            replace_file(file, given.to)
        else:
            with file.open("rb") as stream:
                shutil.copyfileobj(stream, sys.stdout.buffer)
            sys.stdout.flush()


def _question(given: argparse.Namespace) -> str:
    if given.tables:
        return TABLES
    question = sys.stdin.read() if given.sql == "-" else given.sql
    if not question or not question.strip():
        raise ConfigError('ask something: query.py "select …", or list the tables by --tables.')
    return str(question)


def _format(given: argparse.Namespace) -> str:
    """As told, or as the file's ending says."""
    format_ = given.format or (given.to.suffix.removeprefix(".") if given.to else "table")
    if given.to and format_ not in FORMATS:
        raise ConfigError(f"--to {given.to}: add --format; a file is one of {', '.join(FORMATS)}.")
    return str(format_)


def ask(
    storage: Storage, config: Config, question: str, use: Callable[[pa.RecordBatchReader], T]
) -> T:
    """What `use` makes of the answer; it is called again if the lake changes meanwhile.

    Raises ConfigError if the question is wrong, with the place in it.
    """
    for attempt in range(ATTEMPTS):
        snapshot = lake.snapshot(storage)
        if not snapshot.run_id:
            raise InputError(
                f"{storage.root}: no lake is there. Run etl.py, or name one by --lake."
            )
        try:
            with closing(_connect(storage, snapshot, config)) as connection:
                return use(_answer(connection, question))
        except (duckdb.Error, pa.ArrowException, FileNotFoundError) as error:
            changed = lake.snapshot(storage).seq != snapshot.seq
            if not changed or attempt + 1 == ATTEMPTS:
                raise _explained(error) from None
    raise AssertionError("unreachable")


def _connect(
    storage: Storage, snapshot: lake.Snapshot, config: Config
) -> duckdb.DuckDBPyConnection:
    connection = sql.connect(snapshot, config.job.memory_mb)
    runs = runs_batch(committed(storage))
    connection.register("runs", pa.Table.from_batches([runs]))
    counts = {name: snapshot.rows(name) for name in schemas.TABLES} | {"runs": runs.num_rows}
    named = pa.table({"name": list(counts), "rows": list(counts.values())})
    connection.register("rows_of_tables", named)
    return connection


def _answer(connection: duckdb.DuckDBPyConnection, question: str) -> pa.RecordBatchReader:
    try:
        answer = connection.sql(question)
    except duckdb.ProgrammingError:
        connection.execute(question)  # fails in the same way, and tells the place as well
        raise
    if answer is None:  # a statement without an answer
        return pa.RecordBatchReader.from_batches(pa.schema([]), [])
    return answer.to_arrow_reader(BATCH_ROWS)


def _explained(error: Exception) -> ClicklakeError:
    if isinstance(error, duckdb.Error) and not isinstance(error, duckdb.OperationalError):
        return ConfigError(str(error))
    return ClicklakeError(f"the lake could not be read: {error}")


def _write(answer: pa.RecordBatchReader, file: Path, format_: str, config: Config) -> None:
    if format_ == "parquet":
        with pq.ParquetWriter(file, answer.schema) as writer:
            for batch in answer:
                writer.write_batch(batch)
        return
    with file.open("wb") as stream:
        for piece in _as_json(answer) if format_ == "json" else _as_csv(answer, config):
            stream.write(piece)


def _as_csv(answer: pa.RecordBatchReader, config: Config) -> Iterator[bytes]:
    names = answer.schema.names
    head = pa.RecordBatch.from_arrays([pa.array([name]) for name in names], names)
    for batch in (head, *answer) if names else ():
        columns = [_simple(column) for column in batch.columns]
        simple = pa.RecordBatch.from_arrays(columns, names)
        texts = [csv.lines(simple, config.csv.neutralise_formulas)]
        yield from (bytes(piece) for _, piece in csv.pieces(texts, limit=0, head=0))


def _simple(column: pa.Array) -> pa.Array:
    """A column as it is, or as text if CSV has no notion of its type."""
    is_simple = pa.types.is_primitive(column.type) or pa.types.is_decimal(column.type)
    if is_simple and not pa.types.is_interval(column.type):
        return column
    return pa.array([None if value is None else _shown(value) for value in column.to_pylist()])


def _as_json(answer: pa.RecordBatchReader) -> Iterator[bytes]:
    """An array with one object on each line."""
    before = "[\n"
    names = _distinct(answer.schema.names)
    for row in _rows(answer):
        pairs = zip(names, map(_plain, row), strict=True)
        yield f"{before}{json.dumps(dict(pairs), ensure_ascii=False)}".encode()
        before = ",\n"
    yield b"[]\n" if before == "[\n" else b"\n]\n"


def _distinct(names: Sequence[str]) -> list[str]:
    """`a, a` becomes `a, a_2`: an object has each name once."""
    return [
        f"{name}_{before + 1}" if (before := names[:at].count(name)) else name
        for at, name in enumerate(names)
    ]


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime):
        return _shown(value).replace(" ", "T")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if value is None or isinstance(value, str | int | float) else _shown(value)


def _rows(answer: pa.RecordBatchReader) -> Iterator[tuple[Any, ...]]:
    for batch in answer:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _first(answer: pa.RecordBatchReader, limit: int) -> tuple[list[tuple[Any, ...]], bool]:
    """The names of the columns and the first rows, and whether there are more."""
    rows = _rows(answer)
    first = list(islice(rows, limit or None))
    return [tuple(answer.schema.names), *first], next(rows, None) is not None


def _print(rows: list[tuple[Any, ...]], more: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=1 << 20)  # cells are not wrapped in a file
    names, *body = rows
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for at, name in enumerate(names):
        numbers = any(isinstance(row[at], int | float | Decimal) for row in body)
        table.add_column(Text(name), justify="right" if numbers else "left", overflow="fold")
    for row in body:
        table.add_row(*(Text("null", "dim") if v is None else Text(_shown(v)) for v in row))
    with console.capture() as shown:
        if names:
            console.print(table)
    rows_of = f"{len(body):,} row{'' if len(body) == 1 else 's'}"
    print(*(line.rstrip() for line in shown.get().splitlines()), sep="\n")
    print(f"(the first {rows_of}; --limit 0 shows all)" if more else f"({rows_of})")


def _shown(value: Any) -> str:
    """A value as text. What a terminal would obey is written as an escape."""
    if isinstance(value, datetime):
        text = value.replace(tzinfo=None).isoformat(" ")
        return (text.rstrip("0") if value.microsecond else text) + ("Z" if value.tzinfo else "")
    if isinstance(value, bool):
        return str(value).lower()
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in str(value)
    )
