"""What summarize must come to, event by event in plain Python, apart from the product."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from stream_support import time_text

SPANS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
EPOCH = datetime(1970, 1, 1)
TOP = 10


class Window:
    def __init__(self):
        self.events = self.bots = self.late = 0
        self.visitors, self.sessions = set(), set()
        self.names = {"path": Counter(), "source": Counter()}

    def add(self, row):
        self.events += 1
        self.bots += row["is_bot"]
        self.visitors.add(row["anonymous_user_id"])
        self.sessions.add(row["session_id"])
        self.names["path"][row["path"]] += 1
        self.names["source"][row["utm_source"] or "(none)"] += 1

    def counts(self):
        return self.events, self.bots, len(self.visitors), len(self.sessions), self.late


def windows_of(rows, lateness_minutes):
    """The rows of stream_windows and of stream_tops, as an SQLite file has them, sorted."""
    lateness = timedelta(minutes=lateness_minutes)
    windows: dict[tuple[str, datetime], Window] = {}
    latest = datetime.min
    for row in rows:
        time = row["time"].replace(tzinfo=None)
        for period, span in SPANS.items():
            start = time - (time - EPOCH) % span
            window = windows.setdefault((period, start), Window())
            if latest >= start + span + lateness:
                window.late += 1
            else:
                window.add(row)
        latest = max(latest, time)
    counted = [
        (period, str(start), *window.counts(), int(latest >= start + SPANS[period] + lateness))
        for (period, start), window in windows.items()
    ]
    tops = [
        (period, str(start), kind, rank, name, events)
        for (period, start), window in windows.items()
        for kind, names in window.names.items()
        for rank, (name, events) in enumerate(ranked(names), 1)
    ]
    return sorted(counted), sorted(tops)


def ranked(names):
    """The names with most events, equal ones in the order of their code points."""
    return sorted(names.items(), key=lambda item: (-item[1], item[0]))[:TOP]


def files_of(rows, every):
    """{name: content} of the batch files."""
    found = {}
    for first in range(0, len(rows), every):
        batch = rows[first : first + every]
        times = [time_text(row["time"]) for row in batch]
        users = len({row["anonymous_user_id"] for row in batch})
        name = f"{first // every + 1}{'' if len(batch) == every else '.partial'}.json"
        text = (
            f'{{"min date": "{min(times)}", "max date": "{max(times)}", "unique users": {users}}}\n'
        )
        found[name] = text.encode()
    return found
