"""Earlier states of a lake: how long they can still be read, and what goes when they go.

A table's file lies below `_clicklake/data/` for as long as a state that is kept needs it, and
never changes its name; the table's own folder has it, under a second name, while it is live.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from clicklake.errors import DamagedError, InputError
from clicklake.lake import places
from clicklake.lake.manifest import Manifest, Past
from clicklake.lake.places import DATA, STATE
from clicklake.storage import Storage


@dataclass(frozen=True)
class Retention:
    """The newest `runs` states before the present one stay, and all of the last `hours`."""

    hours: float = 48
    runs: int = 1

    def kept(self, history: Sequence[Past], now: datetime) -> tuple[Past, ...]:
        """Those of earlier states, oldest first, that stay."""
        newest = len(history) - self.runs
        return tuple(
            past
            for at, past in enumerate(history)
            if at >= newest or now - past.until < timedelta(hours=self.hours)
        )


NOTHING = Retention(0, 0)


def read_state(storage: Storage, past: Past) -> Manifest:
    """The manifest of an earlier state.

    Raises InputError if it was removed, DamagedError if it is not as it was written.
    """
    path = places.state(past.seq, "manifest.json")
    data = storage.read(path)
    if data is None:
        raise InputError(f"{storage.uri(path)}: the state of run {past.run_id} is kept no longer.")
    return Manifest.from_json(data, storage.uri(path))


def find(manifest: Manifest, run_id: str) -> Past:
    """An earlier state by its run. Raises InputError that names those there are."""
    for past in manifest.history:
        if past.run_id == run_id:
            return past
    known = ", ".join(past.run_id for past in manifest.history[-10:]) or "none"
    raise InputError(
        f'There is no earlier state "{run_id}". There are: {known}. See: etl.py history'
    )


def at(manifest: Manifest, moment: datetime) -> Past | None:
    """The state that was the lake at a moment; None if that is the present one.

    Raises InputError if it is no longer there.
    """
    if moment >= manifest.committed_at:
        return None
    for past in manifest.history:
        if past.committed_at <= moment < past.until:
            return past
    since = min((past.committed_at for past in manifest.history), default=manifest.committed_at)
    raise InputError(
        f"The lake as of {moment.isoformat()} is no longer kept; the earliest state is of "
        f"{since.isoformat()}. RETAIN_HOURS in [DATALAKE] says how long states stay."
    )


def outdated(storage: Storage, kept: Iterable[Manifest], seq: int) -> list[str]:
    """Files of state and of tables that none of the kept states needs.

    `seq`: of the state that is being written; what is staged for it is not listed yet.
    """
    states = list(kept)
    needed = {stored.path for state in states for stored in state.stored}
    needed |= {places.state(state.seq, "manifest.json") for state in states}
    needed |= {places.data(file.path) for state in states for file in state.all_files}
    own = f"{STATE}/{seq:08d}/"
    listed = [info.path for folder in (STATE, DATA) for info in storage.list(folder)]
    return [path for path in listed if path not in needed and not path.startswith(own)]


def readable(storage: Storage, history: Iterable[Past]) -> list[Manifest]:
    """Those of earlier states that are there as they were written."""
    found = []
    for past in history:
        with suppress(DamagedError, InputError):
            found.append(read_state(storage, past))
    return found
