"""A live page of the statistics, on this machine only: one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from clicklake.errors import ClicklakeError
from clicklake.streaming.database import Database
from clicklake.streaming.statistics import read_progress

_LATE = "SELECT SUM(late_events) FROM stream_windows WHERE period = 'minute'"
HOST = "127.0.0.1"
# How many windows the page shows, as watch.js has it.
_SHOWN = {"minute": 60, "hour": 48, "day": 31}


def page_data(database: Database) -> dict[str, Any]:
    """What the page shows, from the summarizer's last commit."""
    progress = read_progress(database)
    if progress is None:
        return {}
    return {
        "stream": progress.stream,
        "events": progress.events,
        "latest": progress.latest,
        "every": progress.every,
        "files": progress.batch - 1,
        "missing": progress.missing,
        "late": _number(database, _LATE),
        "quarantined": _number(database, "SELECT COUNT(*) FROM stream_quarantine"),
        "windows": {period: _windows(database, period) for period in _SHOWN},
    }


def render_page(data: dict[str, Any]) -> bytes:
    """The page with its data inside: it needs nothing else."""
    written = datetime.now(UTC).isoformat()
    # "<" never stands in the data, so nothing in it can end the script element.
    shown = json.dumps({**data, "written": written}).replace("<", "\\u003c")
    page, script = _resource("watch.html"), _resource("watch.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    for mark, text in (("@SCRIPT_HASH@", digest), ("@SCRIPT@", script), ("@DATA@", shown)):
        page = page.replace(mark, text, 1)
    return page.encode()


def server(read: Callable[[], dict[str, Any]], port: int) -> ThreadingHTTPServer:
    """A server of the page on 127.0.0.1; `read` gives its data. Port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not _is_local(self.headers.get("Host", "")):
                self.send_error(HTTPStatus.FORBIDDEN)
            elif self.path == "/":
                self._answer("text/html; charset=utf-8", render_page(_readable(read)))
            elif self.path == "/data.json":
                self._answer("application/json", json.dumps(_readable(read)).encode())
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a poll every two seconds is no news."""

    return ThreadingHTTPServer((HOST, port), Handler)


def _is_local(host: str) -> bool:
    """Whether the page was asked for by this machine's name: another site's name may point here."""
    return host.partition(":")[0] in (HOST, "localhost")


def _readable(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read()
    except ClicklakeError as error:
        return {"problem": str(error)}


def _number(database: Database, sql: str) -> int:
    return int(database.fetch(sql)[0][0] or 0)


def _windows(database: Database, period: str) -> list[dict[str, Any]]:
    """The newest windows of a period, oldest first, with their top paths and sources."""
    newest = (
        "SELECT window_start, events, bot_events, visitors, sessions, late_events, closed "  # noqa: S608 - names of our own tables
        f"FROM stream_windows WHERE period = '{period}' "
        f"ORDER BY window_start DESC LIMIT {_SHOWN[period]}"
    )
    windows = [
        {
            "start": str(start),
            "events": events,
            "bots": bots,
            "visitors": visitors,
            "sessions": sessions,
            "late": late,
            "closed": bool(closed),
            "tops": {"path": [], "source": []},
        }
        for start, events, bots, visitors, sessions, late, closed in reversed(
            database.fetch(newest)
        )
    ]
    by_start = {window["start"]: window for window in windows}
    if not windows:
        return []
    tops = (
        "SELECT window_start, kind, name, events FROM stream_tops "  # noqa: S608 - names of our own tables
        f"WHERE period = '{period}' AND window_start >= '{windows[0]['start']}' ORDER BY rank"
    )
    for start, kind, name, events in database.fetch(tops):
        by_start[str(start)]["tops"][kind].append((name, events))
    return windows


def _resource(name: str) -> str:
    return files("clicklake.streaming").joinpath(name).read_text(encoding="utf-8")
