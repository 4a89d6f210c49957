"""The deployment's database in Glue: what is there, what it shows, and its end."""

from __future__ import annotations

import re
from typing import Any

from clicklake.aws.client import Aws
from clicklake.aws.console import Console
from clicklake.aws.desired import Resource, Seen
from clicklake.aws.names import TAG, Deployment

_ABSENT = ("EntityNotFoundException",)
# Of a table: the run that it shows, as the job's catalog writes it.
_RUN, _SEQ = "clicklake.run-id", "clicklake.seq"


def seen(aws: Aws, own: Deployment, _wanted: Resource) -> Seen | None:
    """The database with its tags; None if there is none of that name."""
    tags = _tags(aws, own, own.database)
    return None if tags is None else Seen(tags)


def is_ours(aws: Aws, own: Deployment, database: str) -> bool:
    """Whether there is such a database, made by `up`."""
    tags = _tags(aws, own, database)
    return tags is not None and tags.get(TAG) == own.name


def lake_bucket(aws: Aws, database: str) -> str:
    """The bucket of the lake that a database of ours was made for; "?" if it does not tell."""
    declared = _database(aws, database) or {}
    told = re.search(r"s3://([^/]+)", declared.get("Description", ""))
    return told[1] if told else "?"


def delete(aws: Aws, database: str) -> None:
    """Remove all tables, then the database; the files that they name are not touched."""
    for table in _tables(aws, database):
        aws.call("glue", "delete_table", DatabaseName=database, Name=table["Name"])
    aws.call("glue", "delete_database", Name=database)


def shown(aws: Aws, own: Deployment, console: Console) -> dict[str, Any] | None:
    """The catalog's tables and the newest run in them, said and as facts; None without Glue.

    `complete`: every table shows that run, so the run has brought all of them up.
    """
    if not own.database:
        return None
    marks = {each["Name"]: each.get("Parameters", {}) for each in _tables(aws, own.database)}
    none: dict[str, str] = {}
    newest = max(marks.values(), key=lambda mark: int(mark.get(_SEQ, -1)), default=none)
    run = newest.get(_RUN)
    complete = run is not None and all(mark.get(_RUN) == run for mark in marks.values())
    facts = {"database": own.database, "tables": sorted(marks), "run_id": run}
    if not marks:
        console.say(f"Database {own.database} in Glue: no tables.")
    else:
        state = f"run {run}" if complete else f"run {run} is not in all of them"
        console.say(f"Database {own.database} in Glue, {state}: {', '.join(sorted(marks))}.")
    return {**facts, "complete": complete}


def _database(aws: Aws, name: str) -> dict[str, Any] | None:
    """None if there is no such database."""
    answer = aws.find("glue", "get_database", _ABSENT, Name=name)
    return answer and answer["Database"]


def _tags(aws: Aws, own: Deployment, database: str) -> dict[str, str] | None:
    if _database(aws, database) is None:
        return None
    arn = own.glue_arn(f"database/{database}")
    tags: dict[str, str] = aws.call("glue", "get_tags", ResourceArn=arn).get("Tags", {})
    return tags


def _tables(aws: Aws, database: str) -> list[dict[str, Any]]:
    if _database(aws, database) is None:
        return []
    return list(aws.items("glue", "get_tables", "TableList", DatabaseName=database))
