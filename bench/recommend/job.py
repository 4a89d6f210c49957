"""The job's own step on an interaction file: `python -m bench.recommend.job FILE --engine spark`.

Prints how long it took, how much memory, a digest of the table that does not depend on the
order of its rows, and whether anybody was recommended a page that they had seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake import engines
from clicklake.config import Recommend
from clicklake.recommend import recommend
from clicklake.schemas import PAGE_RECOMMENDATIONS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.recommend.job", description=__doc__)
    parser.add_argument("file", type=Path, help="Parquet with user, page, time and count")
    parser.add_argument("--engine", choices=["sail", "spark"], default="sail")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--max-fit-pairs", type=int, default=Recommend.max_fit_pairs)
    parser.add_argument("--tune-seconds", type=int, default=Recommend.tune_seconds)
    parser.add_argument("--partitions", type=int, help="spread the input over so many")
    parser.add_argument("--memory-mb", type=int, default=0, help="bound of Sail's memory")
    given = parser.parse_args()
    settings = Recommend(
        model=given.model, max_fit_pairs=given.max_fit_pairs, tune_seconds=given.tune_seconds
    )
    running = engines.start(given.engine, memory_mb=given.memory_mb)
    try:
        print(json.dumps(measured(running, given.file, settings, given.partitions), indent=1))
    finally:
        running.stop()


def measured(
    running: engines.Engine, file: Path, settings: Recommend, partitions: int | None
) -> dict[str, Any]:
    views = user_page_views(running.session.read.parquet(str(file.resolve())))
    if partitions:
        views = views.repartition(partitions)
    users = views.select("user_id", "email").distinct()
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        result = recommend(running, views, users, settings, None, Path(scratch))
        fitted = time.perf_counter()
        path = f"{scratch}/page_recommendations"
        result.table.write.parquet(path)
        scored = time.perf_counter()
        table = pq.read_table(path)
        seen = _seen(running.session.read.parquet(path), views)
    report = result.report
    return {
        **{name: report[name] for name in ("model", "params", "fitted_by", "fitted_pairs")},
        "ndcg@3": report.get("quality", {}).get("ndcg@3"),
        "popularity ndcg@3": report.get("popularity", {}).get("ndcg@3"),
        "seconds": {
            **report["seconds"],
            "score": round(scored - fitted, 1),
            "total": round(scored - began, 1),
        },
        "rows": table.num_rows,
        "seen": seen,
        "digest": digest(table),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def user_page_views(raw: DataFrame) -> DataFrame:
    """The lake's table from the file: page 7 is /p/7."""
    return raw.select(
        F.col("user").alias("user_id"),
        F.concat(F.lit("user"), F.col("user").cast("string"), F.lit("@example.com")).alias("email"),
        F.concat(F.lit("/p/"), F.col("page").cast("string")).alias("url"),
        F.col("count"),
        F.timestamp_seconds("time").alias("last_viewed"),
    )


def _seen(table: DataFrame, views: DataFrame) -> int:
    pairs = views.select("user_id", F.col("url").alias("recommended_url"))
    return table.join(pairs, on=["user_id", "recommended_url"], how="left_semi").count()


def digest(table: pa.Table) -> str:
    ordered = table.select(PAGE_RECOMMENDATIONS.columns).sort_by(
        [(name, "ascending") for name in PAGE_RECOMMENDATIONS.key]
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, ordered.schema.remove_metadata()) as writer:
        for batch in ordered.combine_chunks().to_batches(max_chunksize=65_536):
            writer.write_batch(batch)
    return hashlib.sha256(sink.getvalue()).hexdigest()


if __name__ == "__main__":
    main()
