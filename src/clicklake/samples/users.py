"""UserUpdates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clicklake.samples.draws import Rows, hashed, iso_times, joined_texts, texts, time_of_day
from clicklake.samples.log import LONG_RECORD, Log, block_sizes
from clicklake.samples.plan import DAY
from clicklake.samples.shop import ENVIRONMENTS, environments_of

_FIRST_NAMES = (
    *("Ann", "Ben", "Chloé", "David", "Elif", "François", "Grace", "Håkon", "Inés", "Jürgen"),
    *("Kofi", "Łucja", "María", "Nguyễn", "Oğuz", "Priya", "Renée", "Søren", "Tomáš", "Zoë"),
    *("美咲", "Олег", "李", "Sarah", "Liam", "Emma", "Noah", "Olivia", "Yusuf", "Björk"),
)


_LAST_NAMES = (
    *("Smith", "Müller", "García", "Kowalski", "Nguyen", "Okafor", "Rossi", "Sato", "Dubois"),
    *("Öztürk", "Ivanov", "Larsen", "O'Neil", "Silva", "Novák", "Haddad", "Peña", "Virtanen"),
    *("de Vries", "Lindström", "Brown", "Kaya", "Singh"),
)


class UserUpdates(Log):
    """Sign-ups and changes: some people change their address, and one in 13 never signs up."""

    folder, ending, number = "UserUpdates", ".csv", 0
    bytes_per_row = 82.5

    def rows(self, rng: np.random.Generator, day: int) -> Iterator[Rows]:
        for size in block_sizes(self.plan.updates / self.plan.days * self.rhythm[day], self.plan):
            rows = np.zeros(size, [("time", "i8"), ("user", "i8"), ("environment", "i1")])
            rows["time"] = day * DAY + time_of_day(rng, size)
            rows["user"] = rng.integers(0, self.plan.users, size)
            rows["environment"] = environments_of(rng, size)
            yield rows[rows["user"] % 13 != 5]

    def lines(self, rows: Rows) -> pa.Array:
        user = rows["user"]
        number = pc.cast(pa.array(1001 + user), pa.string())
        names = [f"{first} {last}" for first in _FIRST_NAMES for last in _LAST_NAMES]
        name = hashed(user, 1) % np.uint64(len(names))
        # One in nine moves to another address on a day of their own; one in 40 gives no name.
        moved = (user % 9 == 0) & (rows["time"] // DAY >= user % self.plan.days)
        name[user % 40 == 7] = len(names)
        return joined_texts(
            '"',
            *iso_times(rows["time"], self.plan.start, " "),
            '","',
            number,
            '","user',
            number,
            texts(["@example.com", ".new@example.org"]).take(pa.array(moved.astype(np.int8))),
            '","',
            texts([*names, ""]).take(pa.array(name)),
            '","',
            ENVIRONMENTS.take(pa.array(rows["environment"])),
            '"\n',
        )

    def malformed(self, day: date) -> list[bytes]:
        texts = (
            f'"{day} 10:00:00","1003","user1003@example.com","Ann',
            f'"{day} 10:00:00","1004","user1004@example.com"',
            f'"{day} 10:00:00","1005","user1005@example.com","Ben Sato",""',
            f'"{day} 10:00:00","guest","guest@example.com","Guest","production"',
            '"2018-02-30 10:00:00","1006","user1006@example.com","Emma Brown","production"',
            '"1970-01-01 00:00:00","1007","user1007@example.com","Noah Kaya","production"',
            f'"{day} 10:00:00","1008","user1008 at example.com","Liam Singh","production"',
        )
        latin_1 = f'"{day} 10:00:00","1009","user1009@example.com","Zoë","production"'
        return [*(text.encode() for text in texts), latin_1.encode("latin-1")]

    def long_record(self) -> bytes:
        return (
            b'"2018-03-20 10:00:00","1010","user1010@example.com","' + b"x" * LONG_RECORD + b'"\n'
        )
