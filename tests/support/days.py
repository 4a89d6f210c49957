"""Days of small logs, with late and doubled rows, over the border of months."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random

import hostile

AS_OF = date(2018, 6, 30)


FIRST = datetime(2018, 3, 17, tzinfo=UTC)


HEADER = "anonymous_user_id,url,time,browser,os,screen_resolution\n"


Day = dict[str, dict[str, bytes]]


def _clicks(rng: Random, day: datetime) -> list[str]:
    """A day's events: visits at all hours, some over midnight, a crawler that never rests."""
    lines = []
    for _ in range(rng.randint(2, 6)):
        visitor, at = f"v{rng.randrange(12)}", day + timedelta(minutes=rng.randrange(1440))
        for _ in range(rng.randint(1, 5)):
            lines.append(f"{visitor},/p{rng.randrange(5)},{at.timestamp():.0f},Chrome,,1x1\n")
            at += timedelta(minutes=rng.choice((1, 10, 30, 31)))
    if day.day in (1, 2, 30, 31):  # sessions that go on over the border of months
        for minute in range(0, 1440, 25):
            at = day + timedelta(minutes=minute)
            lines.append(f"night,/n{minute},{at.timestamp():.0f},Firefox,Linux,\n")
        for minute in (-40, -20, 5, 1430, 1450):
            at = day + timedelta(minutes=minute)
            lines.append(f"edge{rng.randrange(3)},/e,{at.timestamp():.0f},,,\n")
    return lines


def _views(rng: Random, day: datetime) -> list[str]:
    return [
        json.dumps(
            {
                "ts": f"{day + timedelta(seconds=rng.randrange(86400)):%Y-%m-%dT%H:%M:%S}",
                "url": f"/products/{rng.randrange(4)}/",
                "environment": rng.choice(("production", "production", "staging")),
                "user_id": rng.randrange(5),
            }
        )
        + "\n"
        for _ in range(5)
    ]


def _updates(rng: Random, day: datetime) -> list[str]:
    return [
        f'"{day + timedelta(hours=rng.randrange(24)):%Y-%m-%dT%H:%M:%S}","{rng.randrange(6)}",'
        f'"u{rng.randrange(3)}@example.com","{rng.choice(("Ann", "", "Bo"))}","production"\n'
        for _ in range(2)
    ]


def days(seed: int, count: int = 30) -> list[Day]:
    """Files by day; rows come late, twice and over the border of a month; some are bad."""
    rng = Random(seed)
    late: list[str] = []
    made: list[Day] = []
    for number in range(count):
        day = FIRST + timedelta(days=number)
        clicks = _clicks(rng, day) + late
        late = [line for line in clicks if rng.random() < 0.1]  # again tomorrow, as duplicates
        held = [line for line in clicks if rng.random() < 0.1]
        clicks = [line for line in clicks if line not in held] + ["bad\n"] * (number % 3 == 0)
        late += held
        name = f"{day:%Y/%m/%d}/log"
        made.append(
            {
                "clickstream": {name: (HEADER + "".join(clicks)).encode()},
                "page_views": {name: "".join(_views(rng, day)).encode()},
                "user_updates": {name: "".join(_updates(rng, day)).encode()},
            }
        )
    return made


def _together(parts: Sequence[Day]) -> Day:
    return {
        source: {path: data for part in parts for path, data in part.get(source, {}).items()}
        for source in hostile.FOLDERS
    }
