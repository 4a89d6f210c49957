"""The job's tables by Polars: `python bench/peers/polars_job.py INPUT OUTPUT [--as-of DATE]`.

Tuned by hand: the streaming engine reads, filters and writes; URLs, visitors and devices are
categoricals, so that what is held in memory is narrow; whatever depends on a URL or a device
alone is computed once for each distinct one; one sort serves deduplication, pauses and sessions.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote_plus

import polars as pl
from common import FOLDERS, Arguments, arguments, crawler_pattern, log_files

MINUTE = 60_000_000
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LONGEST = 1 << 20
UTC_TIME = pl.Datetime("us", "UTC")

UPDATE = ["updated_at", "user_id", "email", "name", "environment"]
CLICK = ["visitor", "url", "time", "browser", "os", "screen"]
VIEW = pl.Struct(dict.fromkeys(("ts", "url", "environment", "user_id"), pl.String))
UTM = ["utm_source", "utm_medium", "utm_campaign"]

URL, VISITOR, DEVICE = (
    pl.Categorical(pl.Categories(name)) for name in ("url", "visitor", "device")
)
BETWEEN = "\x1f"  # the parts of a device


def lines(files: list[str]) -> pl.LazyFrame:
    """The logs' lines, as an open quote must not reach over a line's end. No log holds \\x01."""
    line = pl.col("line")
    return pl.scan_csv(
        files,
        has_header=False,
        separator="\x01",
        quote_char=None,
        schema={"line": pl.String},
        encoding="utf8-lossy",
    ).filter(~line.str.contains("\ufffd", literal=True), line.str.len_bytes() <= LONGEST)


def fields(files: list[str], names: list[str]) -> pl.LazyFrame:
    """The fields of the CSV lines that have as many as there are names."""
    line, count = pl.col("line"), len(names)
    has_quotes = line.str.contains('"', literal=True)
    plain = (
        lines(files)
        .filter(~has_quotes)
        .select(line.str.split_exact(",", count))
        .unnest("line")
        .filter(pl.col(f"field_{count}").is_null())
        .select(pl.col(f"field_{at}").alias(name) for at, name in enumerate(names))
    )
    pattern = ",".join([r'("(?:[^"]|"")*"|[^",][^,]*|)'] * count)
    quoted = (
        lines(files)
        .filter(has_quotes)
        .select(line.str.extract_groups(f"^{pattern}$"))
        .unnest("line")
        .select(unquoted(str(at)).alias(name) for at, name in enumerate(names, 1))
    )
    return pl.concat([plain, quoted])


def unquoted(name: str) -> pl.Expr:
    field = pl.col(name)
    content = field.str.strip_prefix('"').str.strip_suffix('"')
    return (
        pl.when(field.str.starts_with('"'))
        .then(content.str.replace_all('""', '"', literal=True))
        .otherwise(field)
    )


def text(field: str | pl.Expr) -> pl.Expr:
    stripped = (pl.col(field) if isinstance(field, str) else field).str.strip_chars(" \t")
    return pl.when(stripped != "").then(stripped)


def iso_time(field: str) -> pl.Expr:
    """RFC 3339 with `T` or a space, and UTC where no zone is given."""
    time = pl.col(field).str.replace(" ", "T", literal=True)
    zoned = time.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$")
    return (
        pl.when(zoned)
        .then(time)
        .otherwise(time + "Z")
        .str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
    )


def whole(field: str) -> pl.Expr:
    return pl.col(field).str.strip_chars(" \t").cast(pl.Int64, strict=False)


def write(table: pl.LazyFrame, folder: Path, time: str | None = None) -> None:
    target: Path | pl.PartitionBy = folder / "data.parquet"
    if time is not None:
        month = {"year": pl.col(time).dt.year(), "month": pl.col(time).dt.month()}
        target = pl.PartitionBy(folder, key=month, include_key=False)
    table.sink_parquet(
        target, compression="zstd", compression_level=1, maintain_order=False, mkdir=True,
        engine="streaming",
    )  # fmt: skip


def user_updates(files: list[str], given: Arguments) -> pl.DataFrame:
    return (
        fields(files, UPDATE)
        .filter(text("environment") == "production")
        .select(iso_time("updated_at"), whole("user_id"), text("email"), text("name"))
        .filter(
            pl.col("user_id").is_not_null(),
            pl.col("updated_at") >= EARLIEST,
            pl.col("updated_at") < given.until,
            pl.col("email").str.contains(r"^[^@ \t]+@[^@ \t]+$"),
        )
        .unique()
        .collect(engine="streaming")
    )


def users(updates: pl.DataFrame) -> pl.LazyFrame:
    return (
        updates.lazy()
        .sort("updated_at", "email", "name", nulls_last=False)
        .group_by("user_id")
        .agg(
            pl.col("email").last(),
            pl.col("name").last(),
            first_updated_at=pl.col("updated_at").first(),
            last_updated_at=pl.col("updated_at").last(),
        )
    )


def page_views(files: list[str], given: Arguments) -> pl.DataFrame:
    line = pl.col("line")
    return (
        lines(files)
        # json_decode raises on what is no object; these two find all of the broken lines.
        .filter(line.str.starts_with("{"), line.str.ends_with("}"))
        .select(line.str.json_decode(VIEW))
        .unnest("line")
        .filter(text("environment") == "production")
        .select(iso_time("ts"), whole("user_id"), text("url").cast(URL))
        .filter(
            pl.col("user_id").is_not_null(),
            pl.col("url").is_not_null(),
            pl.col("ts") >= EARLIEST,
            pl.col("ts") < given.until,
        )
        .unique()
        .collect(engine="streaming")
    )


def user_page_views(views: pl.DataFrame, people: pl.LazyFrame) -> pl.LazyFrame:
    return (
        views.lazy()
        .group_by("user_id", "url")
        .agg(count=pl.len().cast(pl.Int64), last_viewed=pl.col("ts").max())
        .join(people.select("user_id", "email"), on="user_id", how="left")
        .select("user_id", "email", pl.col("url").cast(pl.String), "count", "last_viewed")
    )


def clicks(files: list[str], given: Arguments) -> pl.DataFrame:
    return (
        fields(files, CLICK)
        .select(
            text("visitor").cast(VISITOR),
            text("url").cast(URL),
            time=unix_micros("time"),
            device=pl.concat_str("browser", "os", "screen", separator=BETWEEN).cast(DEVICE),
        )
        .filter(
            pl.col("visitor").is_not_null(),
            pl.col("url").is_not_null(),
            pl.col("time") >= int(EARLIEST.timestamp()) * 1_000_000,
            pl.col("time") < int(given.until.timestamp()) * 1_000_000,
        )
        .collect(engine="streaming")
    )


def unix_micros(field: str) -> pl.Expr:
    seconds = pl.col(field).str.strip_chars(" \t")
    fraction = seconds.str.contains(".", literal=True)
    exact = pl.when(fraction).then(seconds).cast(pl.Decimal(24, 6), strict=False)
    return pl.coalesce(
        seconds.cast(pl.Int64, strict=False) * 1_000_000,
        (exact * 1_000_000).cast(pl.Int64, strict=False),
    )


def urls(events: pl.DataFrame) -> pl.DataFrame:
    """What depends on a URL alone; `url_id` sorts as the URLs do."""
    parts = pl.col("text").str.extract_groups(
        r"(?s)^(?:[^:/?#]+:)?(?://(?<authority>[^/?#]*))?(?<path>[^?#]*)(?:\?(?<query>[^#]*))?"
    )
    host = pl.col("authority").str.extract(r"([^@]*)$")
    named = pl.coalesce(host.str.extract(r"^(\[[^\]]*\])"), host.str.extract(r"^([^:]*)"))
    return (
        events.select(pl.col("url").unique())
        .with_columns(text=pl.col("url").cast(pl.String))
        .with_columns(parts.struct.unnest())
        .with_columns(
            url_id=pl.col("text").rank("dense").cast(pl.UInt32),
            host=pl.when(named != "").then(named.str.to_lowercase()),
            path=pl.when(pl.col("path") == "").then(pl.lit("/")).otherwise("path"),
            **{name: parameter(name) for name in UTM},
        )
    )


def parameter(name: str) -> pl.Expr:
    value = pl.col("query").str.extract(f"(?:^|&){name}=([^&]+)")
    return text(value.map_elements(unquote_plus, return_dtype=pl.String))


def devices(events: pl.DataFrame) -> pl.DataFrame:
    """What depends on browser, system and screen alone; `device_id` sorts as they do."""
    names = ["browser", "os", "screen"]
    crawler = crawler_pattern()
    size = pl.col("screen").str.extract_groups(
        r"^[ \t]*(?<width>[0-9]+)[ \t]*[xX][ \t]*(?<height>[0-9]+)[ \t]*$"
    )
    width, height = (pl.col(side).cast(pl.Int32, strict=False) for side in ("width", "height"))
    fits = width.is_not_null() & height.is_not_null()
    return (
        events.select(pl.col("device").unique())
        .with_columns(
            pl.col("device").cast(pl.String).str.split_exact(BETWEEN, 2)
            .struct.rename_fields(names).struct.unnest()
        )
        .with_columns(text(name) for name in names)
        .with_columns(
            size.struct.unnest(),
            device_id=pl.struct(pl.col(names).fill_null("")).rank("dense").cast(pl.UInt32),
            is_crawler=pl.any_horizontal(
                pl.col(name).str.to_lowercase().str.contains(crawler).fill_null(False)
                for name in names[:2]
            ),
        )
        .with_columns(
            screen_width=pl.when(fits).then(width).cast(pl.Int64),
            screen_height=pl.when(fits).then(height).cast(pl.Int64),
        )
    )  # fmt: skip


def label(
    clicks: pl.DataFrame, pages: pl.DataFrame, machines: pl.DataFrame, given: Arguments
) -> pl.DataFrame:
    """The events in order and without repeats, labelled, with each one's session's start."""
    key = ["visitor_id", "time", "url_id", "device_id"]
    events = (
        clicks.lazy()
        .join(pages.lazy().select("url", "url_id"), on="url")
        .join(machines.lazy().select("device", "device_id", "is_crawler"), on="device")
        .select(
            pl.col("visitor").to_physical().alias("visitor_id"), "visitor", *key[1:], "is_crawler"
        )
        .collect(engine="streaming")
        .sort(key)
    )
    repeats = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in key)
    events = events.filter(~repeats.fill_null(False))
    time, visitor = pl.col("time"), pl.col("visitor_id")
    minute, most = time // MINUTE, given.bot_views_per_minute
    # A minute has too many events if one of them is so many after another one of it.
    passes_most = (visitor == visitor.shift(most)) & (minute == minute.shift(most))
    fast = events.filter(passes_most).select("visitor_id", minute=minute).unique()
    is_first = (visitor != visitor.shift()) | (time - time.shift() > given.gap_minutes * MINUTE)
    return (
        events.lazy()
        .with_columns(is_first=is_first.fill_null(True), minute=minute)
        .with_columns(start=pl.when("is_first").then(time).forward_fill())
        .join(
            fast.lazy().with_columns(is_fast=True),
            on=["visitor_id", "minute"],
            how="left",
            maintain_order="left",
        )
        .drop("minute", "visitor_id")
        .with_columns(pl.col("is_fast").fill_null(False))
        .with_columns(is_bot=pl.col("is_crawler") | pl.col("is_fast"))
        .collect()
    )


def session_columns() -> list[pl.Expr]:
    visitor = pl.col("visitor").cast(pl.String)
    return [
        pl.concat_str(visitor, pl.lit("-"), "start").alias("session_id"),
        visitor.alias("anonymous_user_id"),
    ]


def clickstream(events: pl.DataFrame, pages: pl.DataFrame, machines: pl.DataFrame) -> pl.LazyFrame:
    crawler, fast = pl.col("is_crawler"), pl.col("is_fast")
    reason = pl.when(crawler).then(pl.lit("agent")).when(fast).then(pl.lit("rate"))
    page = pages.lazy().select("url_id", "host", "path", *UTM, url="text").unique("url_id")
    machine = machines.lazy().drop("device", "is_crawler").unique("device_id")
    return (
        events.lazy()
        .join(page, on="url_id")
        .join(machine, on="device_id")
        .select(
            *session_columns(),
            *("url", "browser", "os", "host", "path", *UTM, "screen_width", "screen_height"),
            *("is_bot", reason.alias("bot_reason")),
            time=pl.col("time").cast(UTC_TIME),
            screen_resolution="screen",
        )
    )


def sessions(events: pl.DataFrame, pages: pl.DataFrame, machines: pl.DataFrame) -> pl.LazyFrame:
    """One row for each first event and those up to the next one."""
    page = pages.lazy().unique("url_id")
    machine = machines.lazy().unique("device_id")
    return (
        events.lazy()
        .group_by(pl.col("is_first").cum_sum().alias("number"))
        .agg(
            pl.col("visitor", "start", "device_id").first(),
            started_at=pl.col("time").first().cast(UTC_TIME),
            ended_at=pl.col("time").last().cast(UTC_TIME),
            events=pl.len().cast(pl.Int64),
            first_url=pl.col("url_id").first(),
            last_url=pl.col("url_id").last(),
            is_bot=pl.col("is_bot").any(),
        )
        .join(
            page.select("url_id", *UTM, landing_path="path"), left_on="first_url", right_on="url_id"
        )
        .join(page.select("url_id", exit_path="path"), left_on="last_url", right_on="url_id")
        .join(machine.select("device_id", "browser", "os"), on="device_id")
        .select(
            *session_columns(),
            *("started_at", "ended_at", "events", "landing_path", "exit_path", *UTM),
            *("browser", "os", "is_bot"),
        )
    )


def run(given: Arguments, scratch: Path) -> None:
    files = {name: log_files(given.input / folder, scratch) for name, folder in FOLDERS.items()}
    updates = user_updates(files["user_updates"], given)
    write(updates.lazy(), given.output / "user_updates", time="updated_at")
    people = users(updates).collect()
    del updates
    write(people.lazy(), given.output / "users")
    views = page_views(files["page_views"], given)
    write(
        views.lazy().with_columns(pl.col("url").cast(pl.String)), given.output / "page_views", "ts"
    )
    write(user_page_views(views, people.lazy()), given.output / "user_page_views")
    del views, people
    events = clicks(files["clickstream"], given)
    pages, machines = urls(events), devices(events)
    events = label(events, pages, machines, given)
    write(clickstream(events, pages, machines), given.output / "clickstream", time="time")
    write(sessions(events, pages, machines), given.output / "sessions", time="started_at")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="polars-") as folder:
        run(arguments(__doc__), Path(folder))
