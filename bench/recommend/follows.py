"""How often is the next page one of the three? `python -m bench.recommend.follows LAKE …`

Hides the sessions that began last (a quarter of them), makes `page_follows` of the others by the
product's own code, and asks it for the next page at every step of the hidden ones, beside the
three pages to which most steps lead. Errors are those of a mean over sessions.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import duckdb
import numpy as np
import pyarrow as pa

from clicklake.lake import open_snapshot, sql
from clicklake.parse.rows import CLICKS
from clicklake.rules import page_follows, page_steps
from clicklake.rules.visits import Rules

HIDDEN = 0.25
_TAKEN = """
select coalesce(host, '') || path as next_page, session_id,
    lag(coalesce(host, '') || path) over (partition by session_id order by {order}) as page
from hidden where not is_bot qualify page != next_page
"""
_ORDER = "time, url, browser nulls first, os nulls first, screen_resolution nulls first"
_POPULAR = """
select next_page from page_steps group by all order by sum(sessions) desc, next_page limit 4
"""

Steps = list[tuple[str, str, str]]  # session, page, next page


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.recommend.follows", description=__doc__)
    parser.add_argument("lakes", nargs="+", metavar="LAKE")
    for lake in parser.parse_args().lakes:
        judge(lake)


def judge(lake: str) -> None:
    snapshot = open_snapshot(lake)
    with sql.connect(snapshot) as connection:
        follows, popular, taken = split(connection, snapshot.manifest.settings)
    print(f"{lake}: {len(taken):,} hidden steps of {len({s for s, *_ in taken}):,} sessions")
    liked = {
        "page_follows": lambda page: follows[page],
        "popular": lambda page: [other for other in popular if other != page][:3],
    }
    hits = {name: by_session(taken, pages) for name, pages in liked.items()}
    hits["difference"] = hits["page_follows"] - hits["popular"]
    for name, rates in hits.items():
        error = rates.std(ddof=1) / len(rates) ** 0.5
        print(f"  {name:<13} {rates.mean():.3f} ({error:.3f})")


def split(
    connection: duckdb.DuckDBPyConnection, settings: dict
) -> tuple[dict[str, list[str]], list[str], Steps]:
    """What follows each page and what is popular, of early sessions; the steps of the others."""
    connection.execute(
        f"""create table hidden as select * from clickstream semi join (
            select session_id from sessions qualify
                percent_rank() over (order by started_at) > {1 - HIDDEN}
        ) using (session_id)"""
    )
    names = ", ".join(CLICKS.names)
    known = connection.sql(f"select {names} from clickstream anti join hidden using (session_id)")
    rules = Rules(settings["session_gap_minutes"], settings["bot_views_per_minute"])
    parts = [part for _, part in page_steps.of_clicks(known.to_arrow_table(), rules)]
    if not parts:
        sys.exit("No session of the lake goes from one page to another.")
    counts = pa.concat_tables([plain(part) for part in parts])
    connection.execute("drop view page_steps")
    connection.register("counts", counts)
    least = page_steps.LEAST
    connection.execute(f"create view page_steps as from counts where sessions >= {least}")
    follows: dict[str, list[str]] = defaultdict(list)
    rows = connection.execute(f"select page, next_page from ({page_follows.QUERY}) order by rank")
    for page, other in rows.fetchall():
        follows[page].append(other)
    popular = [page for (page,) in connection.execute(_POPULAR).fetchall()]
    taken = connection.sql(_TAKEN.format(order=_ORDER)).select("session_id, page, next_page")
    return follows, popular, taken.fetchall()


def plain(part: pa.Table) -> pa.Table:
    return part.cast(page_steps.PAGE_STEPS.schema)


def by_session(taken: Steps, pages) -> np.ndarray:
    """For each session the share of its steps that lead to one of the pages named."""
    found: dict[str, list[bool]] = defaultdict(list)
    for session, page, other in taken:
        found[session].append(other in pages(page))
    return np.array([np.mean(hits) for hits in found.values()])


if __name__ == "__main__":
    main()
