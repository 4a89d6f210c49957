"""What `stream.py` does, from a configuration."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from clicklake.config import Config
from clicklake.engines import use_keys
from clicklake.lake import open_snapshot
from clicklake.storage.durable import write_durably
from clicklake.streaming.correcting import correct, topic_of
from clicklake.streaming.database import connect
from clicklake.streaming.identity import identity, known_mark, publisher_state
from clicklake.streaming.lock import held
from clicklake.streaming.opening import open_sink, open_source
from clicklake.streaming.publisher import Publication
from clicklake.streaming.publisher import publish as _publish
from clicklake.streaming.statistics import Progress, Statistics, database_url
from clicklake.streaming.stream import parse_address
from clicklake.streaming.summarizer import Summary
from clicklake.streaming.summarizer import summarize as _summarize
from clicklake.streaming.watch import page_data, render_page, server

log = logging.getLogger(__name__)


def publish(config: Config, adopt: str = "") -> Publication:
    """Publish what the lake holds and the stream does not.

    `adopt`: an address that the stream had before, where nothing else tells that it is the same.
    """
    address = parse_address(config.stream.stream)
    use_keys(config.aws)
    name = identity(address, config)
    state = publisher_state(address, name, config, adopt)
    with held(state.folder, "publisher"):
        sink = open_sink(address, state.folder, config)
        try:
            lake = config.datalake.output_data
            done = _publish(lambda: open_snapshot(lake), state, sink)
        finally:
            sink.close()
        state.note_stream(name, str(address))
        if (topic := topic_of(config)) is None:
            return done
        return replace(done, corrections=correct(config, state, topic, adopted=bool(adopt)))


def summarize(
    config: Config, *, until_end: bool, stopped: Callable[[], bool], adopt: str = ""
) -> Summary:
    """Read on from where the last call came to; `adopt` is as for `publish`."""
    folder = Path(config.stream.summaries)
    address = parse_address(config.stream.stream)
    use_keys(config.aws)
    with held(folder, "summarizer"):
        source = open_source(address, config)
        name = identity(address, config)
        settings = Progress(
            str(address),
            config.stream.every,
            config.stream.lateness_minutes,
            identity=name,
            mark=known_mark(address, name, config),
        )
        database = connect(database_url(config))
        try:
            return _summarize(
                source,
                Statistics(database),
                folder,
                settings,
                until_end=until_end,
                stopped=stopped,
                adopt=str(parse_address(adopt)) if adopt else "",
            )
        finally:
            database.close()
            source.close()


def write_page(config: Config) -> Path:
    """Write the live page, as it is now, to `watch.html` beside the batch files."""
    page = render_page(_page_data(config))
    path = Path(config.stream.summaries) / "watch.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, page)
    return path


def serve_page(config: Config, port: int) -> None:
    """Serve the live page on 127.0.0.1 until interrupted."""
    with server(lambda: _page_data(config), port) as page:
        log.info("http://%s:%d/  (stop with Ctrl-C)", *page.server_address)
        page.serve_forever()


def _page_data(config: Config) -> dict[str, Any]:
    database = connect(database_url(config), read_only=True)
    try:
        return page_data(database)
    finally:
        database.close()
