"""PageViews."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clicklake.samples.channels import VIRAL_CHANNEL
from clicklake.samples.draws import Rows, iso_times, joined_texts, popular, texts, time_of_day
from clicklake.samples.log import LONG_RECORD, Log, block_sizes
from clicklake.samples.plan import DAY
from clicklake.samples.shop import (
    BLOG,
    ENVIRONMENTS,
    LISTING,
    PAGE,
    VIRAL,
    environments_of,
    page_table,
    product_pages,
    taste_of,
)


class PageViews(Log):
    """What signed-in users look at: mostly products of the category that they like."""

    folder, ending, number = "PageViews", ".json", 1
    bytes_per_row = 109.0

    def rows(self, rng: np.random.Generator, day: int) -> Iterator[Rows]:
        plan = self.plan
        for size in block_sizes(plan.views / plan.days * self.rhythm[day], plan):
            rows = np.zeros(
                size, [("time", "i8"), ("user", "i8"), ("page", "i8"), ("environment", "i1")]
            )
            rows["time"] = day * DAY + time_of_day(rng, size)
            rows["user"] = popular(rng, size, plan.users, 1.6)
            rows["environment"] = environments_of(rng, size)
            rows["page"] = product_pages(rng, taste_of(rows["user"], 2), plan.products, 0.8)
            other = rng.random(size)
            rows["page"][other < 0.16] = rng.choice(LISTING, (other < 0.16).sum())
            rows["page"][other < 0.08] = rng.choice(BLOG, (other < 0.08).sum())
            rows["page"][other < 0.04] = PAGE["/"]
            viral = rng.random(size) < 0.5 * VIRAL_CHANNEL.lift(plan)[day] / VIRAL_CHANNEL.peak
            rows["page"][viral] = PAGE[VIRAL]
            yield rows

    def lines(self, rows: Rows) -> pa.Array:
        # An old app writes the number as text.
        as_text = pa.array((rows["user"] % 20 == 3).astype(np.int8))
        return joined_texts(
            '{"ts": "',
            *iso_times(rows["time"], self.plan.start, "T"),
            'Z", "url": "',
            page_table(self.plan.products).take(pa.array(rows["page"])),
            '", "environment": "',
            ENVIRONMENTS.take(pa.array(rows["environment"])),
            texts(['", "user_id": ', '", "user_id": "']).take(as_text),
            pc.cast(pa.array(1001 + rows["user"]), pa.string()),
            texts(["}\n", '"}\n']).take(as_text),
        )

    def malformed(self, day: date) -> list[bytes]:
        end = '"environment": "production", "user_id": 1003}'
        texts = (
            f'{{"ts": "{day}T10:00:00Z", "url": "/products/916/", "enviro',
            f'["{day}T10:00:00Z", "/products/916/", "production", 1003]',
            f'{{"ts": "{day}T10:00:00Z", "url": "/cart/", "user_id": 1003}}',
            f'{{"ts": "{day}T10:00:00Z", "url": "/", {end[:-1]}.5}}',
            f'{{"ts": "{day}T10:00:00Z", "url": null, {end}',
            f'{{"ts": "{day} 25:00", "url": "/", {end}',
            f'{{"ts": "2048-04-01T10:00:00Z", "url": "/", {end}',
        )
        latin_1 = f'{{"ts": "{day}T10:00:00Z", "url": "/blog/café/", "environment": "production"}}'
        return [*(text.encode() for text in texts), latin_1.encode("latin-1")]

    def long_record(self) -> bytes:
        return b'{"ts": "2018-03-20T10:00:00Z", "url": "/' + b"a" * LONG_RECORD + b'"}\n'
