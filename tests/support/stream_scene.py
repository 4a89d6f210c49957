"""A lake, a stream and its statistics in one folder, by the commands that a user calls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clicklake.config import Cluster, Config, DataLake, Stream
from clicklake.streaming import commands
from stream_support import TestLake, random_events


class Scene:
    """A lake, and both commands on a stream whose address may change."""

    def __init__(self, folder: Path, address: str):
        self.folder = folder
        self.lake = TestLake(folder / "lake")
        self.days = 0
        stream = Stream(
            stream=address,
            state=str(folder / "state"),
            summaries=str(folder / "out"),
            every=10,
        )
        lake = DataLake(output_data=str(self.lake.root))
        self.config = Config(datalake=lake, stream=stream)

    def at(self, address: str) -> None:
        self.config = replace(self.config, stream=replace(self.config.stream, stream=address))

    def in_region(self, region: str) -> None:
        self.config = replace(self.config, cluster=Cluster(region=region))

    def commit(self, events: int) -> None:
        self.lake.commit(random_events(events, seed=self.days, after=24 * self.days))
        self.days += 1

    def publish(self, adopt: str = "") -> int:
        return commands.publish(self.config, adopt).events

    def summarize(self, adopt: str = "", quarantined: int = 0) -> tuple[int, int]:
        done = commands.summarize(self.config, until_end=True, stopped=lambda: False, adopt=adopt)
        assert (done.missing, done.waiting, done.quarantined) == (0, 0, quarantined)
        return done.events, done.files
