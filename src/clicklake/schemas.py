"""Every table's columns, key and partitioning, declared once.

A table's Arrow schema holds its data columns; partition columns are part of the path
(`year=2018/month=4`), not of the files. Times are UTC, in microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from clicklake.derive.columns import CLICKSTREAM_DERIVED

TIMESTAMP = pa.timestamp("us", tz="UTC")

# How each table is spelt in a folder name, a SQL database and `etl.py --json`.
SOURCES = ("user_updates", "page_views", "clickstream")


@dataclass(frozen=True)
class Table:
    """A table of the lake: its data columns, its key, and how its folders are laid out.

    `rules` is the version of the rules by which its columns are computed: with another number
    the next run computes the table anew, from the lake itself.
    """

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    partitions: tuple[str, ...] = ()
    time: str | None = None  # the column that `year` and `month` are taken from
    rules: int = 1

    @property
    def columns(self) -> list[str]:
        return self.schema.names

    @property
    def required(self) -> list[str]:
        """The columns that are never null."""
        return [field.name for field in self.schema if not field.nullable]


def _columns(**types: pa.DataType) -> pa.Schema:
    """A schema from `name=type`; a trailing `_` in `name_` marks a column that may be null."""
    return pa.schema(
        [
            pa.field(name.removesuffix("_"), type_, nullable=name.endswith("_"))
            for name, type_ in types.items()
        ]
    )


_MONTHLY = ("year", "month")

USER_UPDATES = Table(
    "user_updates",
    _columns(updated_at=TIMESTAMP, user_id=pa.int64(), email=pa.string(), name_=pa.string()),
    key=("updated_at", "user_id", "email", "name"),
    partitions=_MONTHLY,
    time="updated_at",
)

USERS = Table(
    "users",
    _columns(
        user_id=pa.int64(),
        email=pa.string(),
        name_=pa.string(),
        first_updated_at=TIMESTAMP,
        last_updated_at=TIMESTAMP,
    ),
    key=("user_id",),
)

PAGE_VIEWS = Table(
    "page_views",
    _columns(ts=TIMESTAMP, user_id=pa.int64(), url=pa.string()),
    key=("ts", "user_id", "url"),
    partitions=_MONTHLY,
    time="ts",
)

USER_PAGE_VIEWS = Table(
    "user_page_views",
    _columns(
        user_id=pa.int64(),
        email_=pa.string(),
        url=pa.string(),
        count=pa.int64(),
        last_viewed=TIMESTAMP,
    ),
    key=("user_id", "url"),
)

CLICKSTREAM = Table(
    "clickstream",
    pa.schema(
        [
            *_columns(
                anonymous_user_id=pa.string(),
                url=pa.string(),
                time=TIMESTAMP,
                browser_=pa.string(),
                os_=pa.string(),
                screen_resolution_=pa.string(),
            ),
            *(column.field for column in CLICKSTREAM_DERIVED),
            *_columns(is_bot=pa.bool_(), bot_reason_=pa.string(), session_id=pa.string()),
        ]
    ),
    key=("anonymous_user_id", "url", "time", "browser", "os", "screen_resolution"),
    partitions=_MONTHLY,
    time="time",
)

SESSIONS = Table(
    "sessions",
    _columns(
        session_id=pa.string(),
        anonymous_user_id=pa.string(),
        started_at=TIMESTAMP,
        ended_at=TIMESTAMP,
        events=pa.int64(),
        landing_path=pa.string(),
        exit_path=pa.string(),
        utm_source_=pa.string(),
        utm_medium_=pa.string(),
        utm_campaign_=pa.string(),
        browser_=pa.string(),
        os_=pa.string(),
        is_bot=pa.bool_(),
    ),
    key=("session_id",),
    partitions=_MONTHLY,
    time="started_at",
)

PAGE_RECOMMENDATIONS = Table(
    "page_recommendations",
    _columns(
        user_id=pa.int64(),
        email_=pa.string(),
        recommended_url=pa.string(),
        rank=pa.int32(),
        score=pa.float64(),
        source=pa.string(),
        because_url_=pa.string(),
    ),
    key=("user_id", "rank"),
)

QUARANTINE = Table(
    "quarantine",
    _columns(
        file=pa.string(),
        line=pa.int64(),
        reason=pa.string(),
        raw=pa.string(),
        run_id=pa.string(),
    ),
    key=("source", "file", "line"),
    partitions=("source",),
)

BAD_FILES = Table(
    "bad_files",
    _columns(
        source=pa.string(),
        file=pa.string(),
        size=pa.int64(),
        reason=pa.string(),
        first_run=pa.string(),
        last_run=pa.string(),
    ),
    key=("source", "file"),
)

TABLES = {
    table.name: table
    for table in (
        USER_UPDATES,
        USERS,
        PAGE_VIEWS,
        USER_PAGE_VIEWS,
        CLICKSTREAM,
        SESSIONS,
        PAGE_RECOMMENDATIONS,
        QUARANTINE,
        BAD_FILES,
    )
}
