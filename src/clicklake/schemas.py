"""Every table's columns, their meaning, key and partitioning, declared once.

A table's Arrow schema holds its data columns, with comments; partition columns are part of the path
(`year=2018/month=4`), not of the files. Times are UTC, in microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from clicklake.derive.columns import CLICKSTREAM_DERIVED
from clicklake.derive.fields import described

TIMESTAMP = pa.timestamp("us", tz="UTC")

# How each table is spelt in a folder name, a SQL database and `etl.py --json`.
SOURCES = ("user_updates", "page_views", "clickstream")


@dataclass(frozen=True)
class Table:
    """A table of the lake: what a row is, its data columns, its key, how its folders are laid out.

    `source`: the one that all its rows come from; where that is rebuilt, so is the table.
    `rules` is the version of the rules by which its columns are computed: with another number
    the next run computes the table anew, from the lake itself.
    """

    name: str
    meaning: str
    schema: pa.Schema
    key: tuple[str, ...]
    partitions: tuple[str, ...] = ()
    time: str | None = None  # the column that `year` and `month` are taken from
    source: str | None = None
    rules: int = 1

    @property
    def columns(self) -> list[str]:
        return self.schema.names

    @property
    def required(self) -> list[str]:
        """The columns that are never null."""
        return [field.name for field in self.schema if not field.nullable]


INT, TEXT, FLAG = pa.int64(), pa.string(), pa.bool_()


def _columns(**columns: tuple[pa.DataType, str]) -> pa.Schema:
    """A schema from `name=(type, meaning)`; `name_` marks a column that may be null."""
    return pa.schema(
        [
            described(name.removesuffix("_"), type_, meaning, nullable=name.endswith("_"))
            for name, (type_, meaning) in columns.items()
        ]
    )


_MONTHLY = ("year", "month")

# Columns that are part of the path.
PARTITIONS = _columns(
    year=(INT, "year of the row's time, in UTC"),
    month=(INT, "month of the row's time, in UTC; 1 is January"),
    source=(TEXT, "user_updates, page_views or clickstream"),
)

USER_UPDATES = Table(
    "user_updates",
    "a clean, distinct row of UserUpdates",
    _columns(
        updated_at=(TIMESTAMP, "when the user's data changed"),
        user_id=(INT, "the user's number"),
        email=(TEXT, "e-mail address from then on"),
        name_=(TEXT, "name from then on; null where there is none"),
    ),
    key=("updated_at", "user_id", "email", "name"),
    partitions=_MONTHLY,
    time="updated_at",
    source="user_updates",
)

USERS = Table(
    "users",
    "a user with the latest e-mail and name",
    _columns(
        user_id=(INT, "the user's number"),
        email=(TEXT, "latest e-mail address"),
        name_=(TEXT, "latest name; null where there is none"),
        first_updated_at=(TIMESTAMP, "time of the first update"),
        last_updated_at=(TIMESTAMP, "time of the latest update"),
    ),
    key=("user_id",),
    source="user_updates",
)

PAGE_VIEWS = Table(
    "page_views",
    "a clean, distinct row of PageViews",
    _columns(
        ts=(TIMESTAMP, "when the page was viewed"),
        user_id=(INT, "the user's number"),
        url=(TEXT, "address of the page, as in the log"),
    ),
    key=("ts", "user_id", "url"),
    partitions=_MONTHLY,
    time="ts",
    source="page_views",
)

USER_PAGE_VIEWS = Table(
    "user_page_views",
    "a user and a page: how often viewed, when last",
    _columns(
        user_id=(INT, "the user's number"),
        email_=(TEXT, "e-mail address as in users; null where it has none"),
        url=(TEXT, "address of the page, as in the log"),
        count=(INT, "how often the user viewed the page"),
        last_viewed=(TIMESTAMP, "when the user viewed it last"),
    ),
    key=("user_id", "url"),
)

CLICKSTREAM = Table(
    "clickstream",
    "a click with URL parts, campaign, bot label, session",
    pa.schema(
        [
            *_columns(
                anonymous_user_id=(TEXT, "the visitor"),
                url=(TEXT, "address, as in the log"),
                time=(TIMESTAMP, "when it happened"),
                browser_=(TEXT, "as in the log; null where there is none"),
                os_=(TEXT, "as in the log; null where there is none"),
                screen_resolution_=(TEXT, "as in the log; null where there is none"),
            ),
            *(column.field for column in CLICKSTREAM_DERIVED),
            *_columns(
                is_bot=(FLAG, "whether a bot did it"),
                bot_reason_=(TEXT, "agent or rate; null for people"),
                session_id=(TEXT, "the event's session"),
            ),
        ]
    ),
    key=("anonymous_user_id", "url", "time", "browser", "os", "screen_resolution"),
    partitions=_MONTHLY,
    time="time",
    source="clickstream",
)

SESSIONS = Table(
    "sessions",
    "a visit",
    _columns(
        session_id=(TEXT, "follows from the visitor and the start alone"),
        anonymous_user_id=(TEXT, "the visitor"),
        started_at=(TIMESTAMP, "time of the first event"),
        ended_at=(TIMESTAMP, "time of the last event"),
        events=(INT, "number of events"),
        landing_path=(TEXT, "path of the first event"),
        exit_path=(TEXT, "path of the last event"),
        utm_source_=(TEXT, "of the first event"),
        utm_medium_=(TEXT, "of the first event"),
        utm_campaign_=(TEXT, "of the first event"),
        browser_=(TEXT, "of the first event"),
        os_=(TEXT, "of the first event"),
        is_bot=(FLAG, "whether any event is a bot's"),
    ),
    key=("session_id",),
    partitions=_MONTHLY,
    time="started_at",
    source="clickstream",
)

PAGE_STEPS = Table(
    "page_steps",
    "a page that people viewed right after another, in a month",
    _columns(
        page=(TEXT, "a page: host and path of its URLs"),
        next_page=(TEXT, "the page that was viewed next"),
        sessions=(INT, "in how many sessions of the month it was; at least 2"),
        month_start=(TIMESTAMP, "the month's first moment"),
    ),
    key=("page", "next_page", "month_start"),
    partitions=_MONTHLY,
    time="month_start",
    source="clickstream",
)

PAGE_FOLLOWS = Table(
    "page_follows",
    "a page that is likely to be viewed after another",
    _columns(
        page=(TEXT, "a page: host and path of its URLs"),
        rank=(pa.int32(), "1 (most likely) to 3"),
        next_page=(TEXT, "the page that is viewed next"),
        sessions=(INT, "sessions of page_steps that took this step, all months together"),
        share=(pa.float64(), "their part of all sessions of steps from page"),
        lift=(
            pa.float64(),
            "how many times as likely the step is as one from any page to next_page",
        ),
    ),
    key=("page", "rank"),
    source="clickstream",
)

PAGE_RECOMMENDATIONS = Table(
    "page_recommendations",
    "a page for a user that it has not seen",
    _columns(
        user_id=(INT, "the user's number"),
        email_=(TEXT, "e-mail address as in users; null where it has none"),
        recommended_url=(TEXT, "address of the page"),
        rank=(pa.int32(), "1 (best) to 3"),
        score=(pa.float64(), "the model's; orders one user's pages; 0 for a filled place"),
        source=(TEXT, "the model, or popular"),
        because_url_=(TEXT, "the seen page that weighs most; null for popular pages"),
    ),
    key=("user_id", "rank"),
)

QUARANTINE = Table(
    "quarantine",
    "a row that was turned away",
    _columns(
        file=(TEXT, "path from the source's folder"),
        line=(INT, "1 is the file's first line; headers and blank lines count"),
        reason=(TEXT, "one of those of docs/data.md"),
        raw=(TEXT, "the record as text, without its line's end; at most 1,048,576 bytes"),
        run_id=(TEXT, "the run that read it"),
    ),
    key=("source", "file", "line"),
    partitions=("source",),
)

BAD_FILES = Table(
    "bad_files",
    "a file that is set aside now",
    _columns(
        source=(TEXT, "user_updates, page_views or clickstream"),
        file=(TEXT, "path from the source's folder"),
        size=(INT, "bytes, as stored"),
        reason=(TEXT, "why it cannot be read to its end"),
        first_run=(TEXT, "the run that set it aside first"),
        last_run=(TEXT, "the run that tried it last"),
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
        PAGE_STEPS,
        PAGE_FOLLOWS,
        PAGE_RECOMMENDATIONS,
        QUARANTINE,
        BAD_FILES,
    )
}
