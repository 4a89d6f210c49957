"""Clickstream."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clicklake.samples.channels import BROWSERS, CHANNELS, DEVICE_TEXT, HOSTS, devices
from clicklake.samples.draws import Rows, hashed, joined_texts, popular, texts, time_of_day
from clicklake.samples.log import LONG_RECORD, Log, block_sizes
from clicklake.samples.plan import DAY, Plan
from clicklake.samples.shop import (
    BLOG,
    FIRST_PRODUCT,
    LISTING,
    PAGE,
    page_table,
    product_pages,
    taste_of,
)

_HEX = texts([f"{n:04x}" for n in range(1 << 16)])


_CLICK = [("time", "i8"), ("visitor", "i8"), ("page", "i8"), ("query", "i1"), ("device", "i1")]


class Clickstream(Log):
    """What everyone does, in visits of several pages; and two crawlers that came on one night."""

    folder, ending, number = "Clickstream", ".csv", 2
    bytes_per_row = 100.6
    header = b"anonymous_user_id,url,time,browser,os,screen_resolution\n"
    burst_share = 0.08  # of the small sample's clicks; capped, so that no night is endless
    burst_most = 100_000

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.burst = int(min(plan.clicks * self.burst_share, self.burst_most))
        self.burst_day = int(0.43 * plan.days)
        visits = np.array([c.steady * self.rhythm + c.lift(plan) for c in CHANNELS])
        events = visits.sum(axis=1) @ np.array([c.events for c in CHANNELS])
        self.visits = visits * (plan.clicks - self.burst) / events

    def rows(self, rng: np.random.Generator, day: int) -> Iterator[Rows]:
        events = self.visits[:, day] @ np.array([channel.events for channel in CHANNELS])
        blocks = len(block_sizes(events, self.plan))
        for block in range(blocks):
            visits = np.round(self.visits[:, day] * (block + 1) / blocks) - np.round(
                self.visits[:, day] * block / blocks
            )
            rows = self._visits(rng, day, visits.astype(int))
            burst = self._crawlers(rng) if (day, block) == (self.burst_day, 0) else rows[:0]
            yield np.concatenate([rows, burst])

    def _visits(self, rng: np.random.Generator, day: int, visits: np.ndarray) -> Rows:
        """The clicks of so many `visits` of each channel."""
        channel = np.repeat(np.arange(len(CHANNELS)), visits)
        channel = np.append(channel, 0)
        start = day * DAY + time_of_day(rng, len(channel))
        events = rng.geometric(1 / np.array([c.events for c in CHANNELS])[channel])
        # Somebody is up every night, so that every midnight and month's end has a visit across.
        start[-1] = (day + 1) * DAY - 300_000
        events[-1] = 12
        rows = np.zeros(events.sum(), _CLICK)
        visit = np.repeat(np.arange(len(channel)), events)
        first = np.cumsum(events) - events
        rows["visitor"] = popular(rng, len(channel), self.plan.visitors, 1.4)[visit]
        rows["device"] = devices(rows["visitor"])
        pause = np.minimum(2000 + rng.exponential(55_000, len(rows)), 1_500_000).astype(np.int64)
        pause[first] = 0
        elapsed = np.cumsum(pause)
        rows["time"] = start[visit] + elapsed - elapsed[first][visit]
        rows["page"] = self._pages(rng, rows["visitor"])
        rows["page"][first] = self._landing(rng, channel, rows["visitor"][first])
        rows["query"][first] = channel
        return rows

    def _pages(self, rng: np.random.Generator, visitors: np.ndarray) -> np.ndarray:
        pages = product_pages(rng, taste_of(visitors, 3), self.plan.products, 0.7)
        other = rng.random(len(pages))
        for below, choice in ((0.36, LISTING), (0.16, BLOG)):
            pages[other < below] = rng.choice(choice, (other < below).sum())
        for below, page in ((0.12, "/"), (0.08, "/cart/"), (0.03, "/checkout/")):
            pages[other < below] = PAGE[page]
        return pages

    def _landing(
        self, rng: np.random.Generator, channel: np.ndarray, visitors: np.ndarray
    ) -> np.ndarray:
        pages = product_pages(rng, taste_of(visitors, 3), self.plan.products, 0.5)
        for number, way in enumerate(CHANNELS):
            known = np.array([PAGE.get(path, -1) for path in way.landing])
            mine = np.flatnonzero(channel == number)
            chosen = rng.choice(known, len(mine))
            pages[mine[chosen >= 0]] = chosen[chosen >= 0]
        return pages

    def _crawlers(self, rng: np.random.Generator) -> Rows:
        """From 3 o'clock, one crawler that gives its name and one that does not, page by page."""
        rows = np.zeros(self.burst, _CLICK)
        number = np.arange(self.burst)
        honest = number % 2 == 0
        rows["time"] = (
            self.burst_day * DAY + 3 * 3_600_000 + number * min(300, 7_200_000 // self.burst)
        )
        rows["visitor"] = self.plan.visitors + honest
        rows["device"] = np.where(honest, BROWSERS.index("Googlebot/2.1"), 0)
        rows["page"] = FIRST_PRODUCT + number // 2 % self.plan.products
        return rows

    def lines(self, rows: Rows) -> pa.Array:
        scattered = hashed(rows["visitor"], 4)
        begin = (self.plan.start - date(1970, 1, 1)).days * 86_400
        return joined_texts(
            *(
                _HEX.take(pa.array((scattered >> np.uint64(s)) & np.uint64(0xFFFF)))
                for s in (0, 16, 32)
            ),
            HOSTS.take(pa.array(rows["device"])),
            page_table(self.plan.products).take(pa.array(rows["page"])),
            texts([channel.query for channel in CHANNELS]).take(pa.array(rows["query"])),
            ",",
            pc.cast(pa.array(begin + rows["time"] // 1000), pa.string()),
            DEVICE_TEXT.take(pa.array(rows["device"])),
        )

    def malformed(self, day: date) -> list[bytes]:
        noon = (day - date(1970, 1, 1)).days * 86_400 + 43_200
        texts = (
            f'9f3a5c7e1b2d,"https://shop.example.com/cart/,{noon},Chrome 65,Windows 10,1920x1080',
            f"9f3a5c7e1b2d,https://shop.example.com/?q=a,b,{noon},Chrome 65,Windows 10,1920x1080",
            f",https://shop.example.com/,{noon},Chrome 65,Windows 10,1920x1080",
            f"9f3a5c7e1b2d,,{noon},Chrome 65,Windows 10,1920x1080",
            f"9f3a5c7e1b2d,https://shop.example.com/,{day},Chrome 65,Windows 10,1920x1080",
            f"9f3a5c7e1b2d,https://shop.example.com/,{noon}000,Chrome 65,Windows 10,1920x1080",
        )
        latin_1 = f"9f3a5c7e1b2d,https://shop.example.com/blog/café/,{noon},Firefox 59,Linux,"
        return [*(text.encode() for text in texts), latin_1.encode("latin-1")]

    def long_record(self) -> bytes:
        return b"9f3a5c7e1b2d,https://shop.example.com/?q=" + b"a" * LONG_RECORD + b",0,,,\n"
