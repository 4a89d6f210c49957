"""Small lakes for the stream's tests, made with pyarrow alone, and a reader of the folder."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clicklake.schemas import CLICKSTREAM

START = datetime(2018, 4, 30, 22, 0, tzinfo=UTC)


def event(visitor="v1", at=0.0, url="https://shop.example/a", **columns):
    """A clean event `at` minutes after START; name only the columns that the test is about."""
    row = dict.fromkeys(CLICKSTREAM.columns)
    time = START + timedelta(minutes=at)
    row |= {"anonymous_user_id": visitor, "url": url, "time": time, "path": "/a", "is_bot": False}
    row |= {"session_id": f"{visitor}-{time:%d}"}
    return row | columns


def random_events(count, seed=1, hours=6, visitors=40, after=0):
    """Events of different keys over some hours, in no order, from `after` hours on."""
    rng = random.Random(seed)
    return [
        event(
            f"v{rng.randrange(visitors)}",
            60 * (after + rng.uniform(0, hours)),
            f"https://shop.example/{n}",
            path=f"/{rng.randrange(20)}",
            browser=rng.choice([None, "Firefox", 'Odd "one"\u2028\x01']),
            utm_source=rng.choice([None, "mail", "Süd"]),
            is_bot=rng.random() < 0.1,
        )
        for n in range(count)
    ]


class TestLake:
    """A lake's clickstream and manifest. Each `commit` writes the months given whole, as a run."""

    __test__ = False

    def __init__(self, root: Path):
        self.root = root
        self.seq = 0
        self.rows: dict[tuple, dict] = {}
        self.files: dict[tuple[int, int], str] = {}

    def commit(self, rows):
        """Add rows, or replace them; every month that they touch is rewritten, no other."""
        added = {tuple(row[name] for name in CLICKSTREAM.key): row for row in rows}
        self.rows |= added
        self._commit(added.values())

    def forget(self, visitor):
        """Take a visitor's rows out."""
        gone = {k: row for k, row in self.rows.items() if row["anonymous_user_id"] == visitor}
        self.rows = {key: row for key, row in self.rows.items() if key not in gone}
        self._commit(gone.values())

    def _commit(self, changed):
        self.seq += 1
        for year, month in {(row["time"].year, row["time"].month) for row in changed}:
            self._write(year, month)
        files = [{"path": path, "rows": 0, "bytes": 0} for path in self.files.values()]
        manifest = {
            "run_id": f"run{self.seq}",
            "seq": self.seq,
            "settings": {},
            "tables": {"clickstream": files},
        }
        path = self.root / "_clicklake" / "manifest.json"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(json.dumps(manifest))

    def _write(self, year, month):
        rows = [r for r in self.rows.values() if (r["time"].year, r["time"].month) == (year, month)]
        random.Random(self.seq).shuffle(rows)
        if old := self.files.pop((year, month), None):
            (self.root / old).unlink()
        if rows:
            path = f"clickstream/year={year}/month={month}/run{self.seq}.parquet"
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=CLICKSTREAM.schema), self.root / path)
            self.files[year, month] = path


def time_text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def key_of(row_or_message):
    """The six key columns, the time as text, of a lake's row or of a message."""
    values = [row_or_message[name] for name in CLICKSTREAM.key]
    return tuple(time_text(v) if isinstance(v, datetime) else v for v in values)


def read_folder(folder: Path):
    """The messages of a folder stream, in their order."""
    return [
        json.loads(line)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").split("\n")[:-1]
    ]
