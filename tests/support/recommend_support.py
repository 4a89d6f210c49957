"""Page views of two shops, and the step of the job that recommends from them.

`python recommend_support.py sail` prints the digest of the table that an engine makes: one
process cannot hold both.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from clicklake.config import Recommend
from clicklake.recommend import recommend
from clicklake.schemas import PAGE_RECOMMENDATIONS, TIMESTAMP, USER_PAGE_VIEWS

USER_PAGE_VIEWS_SQL = (
    "user_id bigint, email string, url string, count bigint, last_viewed timestamp"
)
START = 1_500_000_000_000_000


def user_page_views(*rows: tuple[int, str], **columns: list) -> pa.Table:
    """Rows of user and url; the other columns are given whole, or are as simple as can be."""
    users, urls = zip(*rows, strict=True)
    usual = {
        "user_id": pa.array(users, pa.int64()),
        "email": pa.array([f"user{user}@example.com" for user in users]),
        "url": pa.array(urls),
        "count": pa.array(columns.get("count", [1] * len(rows)), pa.int64()),
        "last_viewed": pa.array([START + at for at in range(len(rows))], TIMESTAMP),
    }
    return pa.table(usual).select(USER_PAGE_VIEWS.columns)


def users(*ids: int) -> pa.Table:
    return pa.table({"user_id": list(ids), "email": [f"user{user}@example.com" for user in ids]})


def run(engine, views: pa.Table, known: pa.Table, scratch: Path, partitions: int = 0, **settings):
    """The table, sorted by its key, and the report."""
    session = engine.session
    frame = session.createDataFrame(views.to_pandas(), USER_PAGE_VIEWS_SQL)
    if partitions:
        frame = frame.repartition(partitions)
    people = session.createDataFrame(known.to_pandas(), "user_id bigint, email string")
    chosen = Recommend(**{"tune_seconds": 1, **settings})
    result = recommend(engine, frame, people, chosen, None, scratch)
    table = result.table.toArrow().combine_chunks()
    table = table.sort_by([(name, "ascending") for name in PAGE_RECOMMENDATIONS.key])
    json.dumps([result.report, result.choice])
    return table, result.report


def lists(table: pa.Table) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row in table.to_pylist():
        found.setdefault(row["user_id"], []).append(row["recommended_url"])
    return found


def shops(n_users: int = 120) -> pa.Table:
    """Users of two shops, who spell their pages in several ways."""
    rng = np.random.default_rng(4)
    rows = []
    for user in range(n_users):
        for page in rng.choice(12, size=rng.integers(1, 9), replace=False):
            shop = "Shop.example" if page % 4 else "shop.example:80"
            ending = ("", "/", "#top", "?utm_source=mail")[rng.integers(4)]
            rows.append((user, f"http://{shop}/{user % 2}/page-{page}{ending}"))
    return user_page_views(*rows)


def spelling(url: str) -> str:
    """The test's own idea of which pages of `shops` are the same."""
    path = url.split("/", 3)[3]
    return path.split("#")[0].split("?")[0].rstrip("/")


def digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.remove_metadata()) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def main(name: str) -> None:
    from clicklake import engines

    running = engines.start(name, memory_mb=1024)
    with tempfile.TemporaryDirectory() as scratch:
        print(digest(run(running, shops(), users(*range(120), 900), Path(scratch))[0]))
    running.stop()


if __name__ == "__main__":
    main(sys.argv[1])
