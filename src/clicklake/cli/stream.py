"""The lake's clickstream on a stream: publish it, summarize it as it flows, watch it.

Examples:
    python scripts/stream.py publish
    python scripts/stream.py publish --stream kafka://127.0.0.1:9092/clicks
    python scripts/stream.py summarize --every 1000
    python scripts/stream.py watch
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import signal
import sys
import threading
from collections.abc import Sequence

from clicklake import config
from clicklake.cli import outer
from clicklake.errors import InputError
from clicklake.streaming import commands


def main(argv: Sequence[str]) -> int:
    """Run one command; the exit code is 0, or that of the error."""
    arguments = _parser().parse_args(argv)
    # Messages are many small tuples, in no cycle; by default all of them are looked at for cycles.
    gc.set_threshold(100_000)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)

    def work() -> int:
        settings = config.load(arguments.config, _overrides(arguments))
        for warning in settings.warnings:
            logging.warning("warning: %s", warning)
        arguments.run(arguments, settings)
        return 0

    state = "The next start goes on from here."
    return outer.guarded(work, interrupted="stopped; the next start goes on from here", state=state)


def _publish(arguments: argparse.Namespace, settings: config.Config) -> None:
    done = commands.publish(settings, arguments.adopt)
    text = f"{done.events:,} events published to {settings.stream.stream}"
    numbers = f", numbers {done.first:,} to {done.last:,}" if done.events else ": nothing new"
    text += f"{numbers}."
    if settings.stream.corrections:
        text += f" {done.corrections:,} corrections published to {settings.stream.corrections}."
    _say(arguments, text, vars(done))


def _summarize(arguments: argparse.Namespace, settings: config.Config) -> None:
    stop = threading.Event()
    if arguments.follow:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: stop.set())
    done = commands.summarize(
        settings,
        until_end=not arguments.follow,
        stopped=stop.is_set,
        adopt=arguments.adopt,
    )
    text = f"{done.events:,} events read, {done.files:,} files finished"
    if done.quarantined:
        text += f", {done.quarantined:,} bad messages quarantined (table stream_quarantine)"
    if done.missing:
        text += f", {done.missing:,} events missing from the stream"
    if done.waiting:
        text += f", {done.waiting:,} events wait for one before them"
    _say(arguments, text + ".", vars(done))


def _watch(arguments: argparse.Namespace, settings: config.Config) -> None:
    if arguments.once:
        print(commands.write_page(settings))
        return
    try:
        commands.serve_page(settings, arguments.port)
    except OSError as error:
        raise InputError(f"Port {arguments.port}: {error.strerror}; try another --port.") from None


def _say(arguments: argparse.Namespace, text: str, numbers: dict) -> None:
    print(text, file=sys.stderr if arguments.json else sys.stdout)
    if arguments.json:
        print(json.dumps(numbers))


def _overrides(arguments: argparse.Namespace) -> dict[str, str]:
    flags = {
        "DATALAKE.OUTPUT_DATA": "output",
        "STREAM.STREAM": "stream",
        "STREAM.EVERY": "every",
        "STREAM.SUMMARIES": "out",
        "STREAM.DATABASE": "database",
    }
    given = {key: getattr(arguments, flag, None) for key, flag in flags.items()}
    return {key: value for key, value in given.items() if value is not None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=outer.program("stream"),
        description=__doc__,
        epilog=outer.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands_ = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: object, summary: str) -> argparse.ArgumentParser:
        sub = commands_.add_parser(name, help=summary, description=summary)
        sub.set_defaults(run=run)
        sub.add_argument("--config", metavar="FILE", help="the dl.cfg to read")
        return sub

    publish = command("publish", _publish, "put the lake's new events onto the stream, each once")
    publish.add_argument(
        "--output", metavar="PLACE", help="the lake: a folder or s3a://bucket/prefix"
    )
    publish.add_argument("--lake", dest="output", help=argparse.SUPPRESS)  # its former name
    summarize = command("summarize", _summarize, "read the stream: batch files and statistics")
    summarize.add_argument("--every", metavar="N", help="events in a batch file (default 1000)")
    summarize.add_argument("--follow", action="store_true", help="go on until stopped")
    watch = command("watch", _watch, "show the statistics on a page of this machine")
    watch.add_argument("--port", type=int, default=8765, help="of 127.0.0.1 (default 8765)")
    watch.add_argument("--once", action="store_true", help="write the page to a file and exit")
    for sub in (publish, summarize):
        sub.add_argument("--stream", help="a folder, kafka://host:port/topic or kinesis://stream")
        sub.add_argument(
            "--adopt", metavar="ADDRESS", default="", help="a former address of the same stream"
        )
        sub.add_argument("--json", action="store_true", help="the result as one line of JSON")
    for sub in (summarize, watch):
        sub.add_argument("--out", metavar="DIR", help="the folder of the batch files")
        sub.add_argument("--database", metavar="URL", help="of the statistics")
    return parser
