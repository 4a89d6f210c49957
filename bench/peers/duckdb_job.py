"""The job's tables by DuckDB: `python bench/peers/duckdb_job.py INPUT OUTPUT [--as-of DATE]`.

Tuned by hand: temporary tables where a result is used twice; numbers that stand for URLs and
devices in the deduplication, the windows and the joins; whatever depends on a URL or a device
alone is computed once for each distinct one.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import duckdb
from common import FOLDERS, Arguments, arguments, crawler_pattern, log_files

MACROS = """
CREATE MACRO text(field) AS nullif(trim(field), '');
CREATE MACRO whole(field) AS
    CASE WHEN regexp_full_match(field, ' *[+-]?[0-9]+ *') THEN TRY_CAST(field AS BIGINT) END;
CREATE MACRO micros(seconds) AS
    CASE WHEN contains(seconds, '.')
         THEN TRY_CAST(TRY_CAST(seconds AS DECIMAL(24, 6)) * 1000000 AS BIGINT)
         ELSE TRY_CAST(TRY_CAST(seconds AS BIGINT)::HUGEINT * 1000000 AS BIGINT) END;
CREATE MACRO fields(line) AS
    CASE WHEN NOT contains(line, '"') THEN string_split(line, ',')
         WHEN regexp_full_match(line, '"[^"]*"(,"[^"]*")*') THEN string_split(line[2:-2], '","')
         ELSE list_transform(
             regexp_extract_all(',' || line, ',("(?:[^"]|"")*"|[^",][^,]*|)', 1),
             lambda f: CASE WHEN f[1] = '"' THEN replace(f[2:-2], '""', '"') ELSE f END) END;
"""

# A line as one field, as an open quote must not reach over a line's end. No log holds \x01.
LINES = """read_csv(getvariable('files'), columns = {'line': 'VARCHAR'}, delim = '\x01', quote = '',
    escape = '', header = false, auto_detect = false, ignore_errors = true,
    max_line_size = 4194304)"""

# The casts stand apart from the filters: a filter on a cast would compute it once more.
PARSED_UPDATES = f"""
CREATE TABLE parsed AS
SELECT TRY_CAST(f[1] AS TIMESTAMPTZ) AS updated_at, whole(f[2]) AS user_id, text(f[3]) AS email,
       text(f[4]) AS name, text(f[5]) AS environment
FROM (SELECT fields(line) AS f FROM {LINES} WHERE strlen(line) <= 1048576)
WHERE len(f) = 5
"""

USER_UPDATES = """
CREATE TABLE user_updates AS
SELECT DISTINCT updated_at, user_id, email, name
FROM parsed
WHERE environment = 'production' AND user_id IS NOT NULL
  AND updated_at >= TIMESTAMPTZ '2000-01-01' AND updated_at < getvariable('until')
  AND regexp_full_match(email, '[^@ ]+@[^@ ]+')
"""

USERS = """
CREATE TABLE users AS
SELECT user_id, email, name,
       min(updated_at) OVER (PARTITION BY user_id) AS first_updated_at,
       updated_at AS last_updated_at
FROM user_updates
QUALIFY row_number() OVER (
    PARTITION BY user_id ORDER BY updated_at DESC, email DESC, name DESC NULLS LAST) = 1
"""

PARSED_VIEWS = """
CREATE TABLE parsed AS
SELECT TRY_CAST(ts AS TIMESTAMPTZ) AS ts, whole(user_id) AS user_id, text(url) AS url
FROM read_json(getvariable('files'), format = 'newline_delimited', ignore_errors = true,
               columns = {ts: 'VARCHAR', url: 'VARCHAR', environment: 'VARCHAR',
                          user_id: 'VARCHAR'})
WHERE text(environment) = 'production'
"""

PAGE_VIEWS = """
CREATE TABLE page_views AS
SELECT DISTINCT ts, user_id, url
FROM parsed
WHERE user_id IS NOT NULL AND url IS NOT NULL
  AND ts >= TIMESTAMPTZ '2000-01-01' AND ts < getvariable('until')
"""

USER_PAGE_VIEWS = """
SELECT user_id, email, url, count, last_viewed
FROM (SELECT user_id, url, count(*) AS count, max(ts) AS last_viewed
      FROM page_views GROUP BY user_id, url)
LEFT JOIN users USING (user_id)
"""

PARSED_CLICKS = f"""
CREATE TABLE parsed AS
SELECT text(f[1]) AS visitor, f[2] AS raw_url, micros(f[3]) AS micros,
       f[4] AS raw_browser, f[5] AS raw_os, f[6] AS raw_screen
FROM (SELECT CASE WHEN len(f) = 6 THEN f END AS f
      FROM (SELECT fields(line) AS f FROM {LINES} WHERE strlen(line) <= 1048576))
"""

CLICKS = """
CREATE VIEW clicks AS
FROM parsed
WHERE visitor IS NOT NULL
  AND micros >= epoch_us(TIMESTAMPTZ '2000-01-01') AND micros < epoch_us(getvariable('until'))
"""

# Patterns are constants: one that is put together in SQL would be compiled for every row.
PARAMETERS = ",\n".join(
    f"""text(url_decode(replace(regexp_extract(
        part.query, '(?:^|&){name}=([^&]+)', 1), '+', ' '))) AS {name}"""
    for name in ("utm_source", "utm_medium", "utm_campaign")
)

# Numbered in order, so that their numbers sort as they do.
URLS = f"""
CREATE TABLE distinct_urls AS SELECT DISTINCT raw_url FROM clicks;
CREATE TABLE urls AS
SELECT raw_url, dense_rank() OVER (ORDER BY url)::INTEGER AS url_id, url,
       nullif(lower(CASE WHEN host[1] = '[' AND contains(host, ']')
                         THEN regexp_extract(host, '^[^]]*]')
                         ELSE split_part(host, ':', 1) END), '') AS host,
       coalesce(nullif(part.path, ''), '/') AS path,
       {PARAMETERS}
FROM (SELECT raw_url, url, part, regexp_extract(part.authority, '[^@]*$') AS host
      FROM (SELECT raw_url, url, regexp_extract(url,
                '^(?:[^:/?#]+:)?(?://([^/?#]*))?([^?#]*)(?:\\?([^#]*))?',
                ['authority', 'path', 'query'], 's') AS part
            FROM (SELECT raw_url, text(raw_url) AS url FROM distinct_urls)
            WHERE url IS NOT NULL))
"""

DEVICES = """
CREATE TABLE devices AS
SELECT raw_browser, raw_os, raw_screen, dense_rank() OVER (
           ORDER BY browser NULLS FIRST, os NULLS FIRST, screen NULLS FIRST)::INTEGER AS device_id,
       browser, os, screen,
       CASE WHEN height IS NOT NULL THEN width END::BIGINT AS screen_width,
       CASE WHEN width IS NOT NULL THEN height END::BIGINT AS screen_height,
       coalesce(regexp_matches(lower(browser), getvariable('crawlers')), false)
           OR coalesce(regexp_matches(lower(os), getvariable('crawlers')), false) AS is_crawler
FROM (SELECT *, TRY_CAST(size.width AS INTEGER) AS width, TRY_CAST(size.height AS INTEGER) AS height
      FROM (SELECT *, regexp_extract(screen, '^ *([0-9]+) *[xX] *([0-9]+) *$',
                                     ['width', 'height']) AS size
            FROM (SELECT *, text(raw_browser) AS browser, text(raw_os) AS os,
                         text(raw_screen) AS screen
                  FROM (SELECT DISTINCT raw_browser, raw_os, raw_screen FROM clicks))))
"""

EVENTS = """
CREATE TABLE events AS
SELECT DISTINCT visitor, micros, url_id, device_id
FROM clicks JOIN urls USING (raw_url) JOIN devices USING (raw_browser, raw_os, raw_screen)
"""

# From here on a number stands for one URL or device, however it was written.
ONE_SPELLING = """
CREATE VIEW url AS SELECT DISTINCT ON (url_id) * EXCLUDE raw_url FROM urls;
CREATE VIEW device AS
SELECT DISTINCT ON (device_id) * EXCLUDE (raw_browser, raw_os, raw_screen) FROM devices;
"""

# A minute has too many events if one of them is so many after another one of it.
PAUSES = """
CREATE TABLE pauses AS
SELECT visitor, micros, url_id, device_id,
       coalesce(micros - lag(micros) OVER w > getvariable('gap'), true) AS is_first,
       coalesce(lead(micros) OVER w - micros > getvariable('gap'), true) AS is_last,
       lag(micros, getvariable('most')) OVER w >= micros - micros % 60000000 AS passes_most
FROM events
WINDOW w AS (PARTITION BY visitor ORDER BY micros, url_id, device_id)
"""

LABELLED = """
CREATE TABLE labelled AS
SELECT pauses.visitor, micros, url_id, device_id, is_first, is_last,
       fast.visitor IS NOT NULL AS is_fast,
       max(CASE WHEN is_first THEN micros END) OVER (
           PARTITION BY pauses.visitor ORDER BY micros) AS start
FROM pauses
LEFT JOIN (SELECT DISTINCT visitor, micros // 60000000 AS minute FROM pauses WHERE passes_most)
    AS fast ON pauses.visitor = fast.visitor AND micros // 60000000 = fast.minute
"""

CLICKSTREAM = """
SELECT visitor AS anonymous_user_id, url, make_timestamptz(micros) AS time,
       browser, os, screen AS screen_resolution,
       host, path, utm_source, utm_medium, utm_campaign, screen_width, screen_height,
       is_crawler OR is_fast AS is_bot,
       CASE WHEN is_crawler THEN 'agent' WHEN is_fast THEN 'rate' END AS bot_reason,
       visitor || '-' || start AS session_id
FROM labelled JOIN url USING (url_id) JOIN device USING (device_id)
"""

SESSIONS = """
SELECT visitor || '-' || start AS session_id, visitor AS anonymous_user_id,
       make_timestamptz(start) AS started_at, make_timestamptz(ended) AS ended_at, events,
       landing.path AS landing_path, leaving.path AS exit_path,
       landing.utm_source, landing.utm_medium, landing.utm_campaign, browser, os, is_bot
FROM (SELECT visitor, start, max(micros) AS ended, count(*) AS events,
             any_value(url_id) FILTER (is_first) AS first_url,
             any_value(url_id) FILTER (is_last) AS last_url,
             any_value(device_id) FILTER (is_first) AS first_device,
             bool_or(is_fast OR is_crawler) AS is_bot
      FROM labelled JOIN device USING (device_id) GROUP BY visitor, start)
JOIN url AS landing ON landing.url_id = first_url
JOIN url AS leaving ON leaving.url_id = last_url
JOIN device ON device_id = first_device
"""

PARQUET = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"


class Job:
    def __init__(self, given: Arguments, scratch: Path) -> None:
        self.given, self.scratch = given, scratch
        self.engine = duckdb.connect(
            config={"preserve_insertion_order": False, "temp_directory": str(scratch)}
        )
        self.engine.execute("SET TimeZone = 'UTC'")
        self.engine.execute(MACROS)
        self._set("until", given.until)
        self._set("gap", given.gap_minutes * 60_000_000)
        self._set("most", given.bot_views_per_minute)
        self._set("crawlers", crawler_pattern())

    def _set(self, name: str, value: object) -> None:
        self.engine.execute(f"SET VARIABLE {name} = $value", {"value": value})

    def run(self) -> None:
        self._open("user_updates")
        self._execute(PARSED_UPDATES, USER_UPDATES, "DROP TABLE parsed", USERS)
        self._write("user_updates", "FROM user_updates", time="updated_at")
        self._write("users", "FROM users")
        self._open("page_views")
        self._execute(PARSED_VIEWS, PAGE_VIEWS, "DROP TABLE parsed")
        self._write("page_views", "FROM page_views", time="ts")
        self._write("user_page_views", USER_PAGE_VIEWS)
        self._execute("DROP TABLE user_updates", "DROP TABLE users", "DROP TABLE page_views")
        self._open("clickstream")
        self._execute(PARSED_CLICKS, CLICKS, URLS, DEVICES, ONE_SPELLING, EVENTS)
        self._execute("DROP VIEW clicks", "DROP TABLE parsed")
        self._execute(PAUSES, "DROP TABLE events", LABELLED, "DROP TABLE pauses")
        self._write("clickstream", CLICKSTREAM, time="time")
        self._write("sessions", SESSIONS, time="started_at")

    def _open(self, source: str) -> None:
        self._set("files", log_files(self.given.input / FOLDERS[source], self.scratch))

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self.engine.execute(statement)

    def _write(self, table: str, query: str, time: str | None = None) -> None:
        """One file for each month: half of what COPY takes with PARTITION_BY."""
        folder = self.given.output / table
        if time is None:
            self._copy(query, folder)
            return
        month = f"date_trunc('month', {time} AT TIME ZONE 'UTC')"
        months = f"SELECT DISTINCT {month} AS month FROM ({query}) ORDER BY month"
        for (begin,) in self.engine.execute(months).fetchall():
            end = (begin + timedelta(days=31)).replace(day=1)
            rows = f"FROM ({query}) WHERE {time} >= '{begin}+00' AND {time} < '{end}+00'"
            self._copy(rows, folder / f"year={begin.year}" / f"month={begin.month}")

    def _copy(self, query: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.engine.execute(f"COPY ({query}) TO '{folder}/data.parquet' ({PARQUET})")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="duckdb-") as scratch:
        Job(arguments(__doc__), Path(scratch)).run()
