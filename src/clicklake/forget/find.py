"""Whom a name means: all that names a person in the lake."""

from __future__ import annotations

import re
from typing import Any

from clicklake.lake import Lake, Snapshot, sql
from clicklake.lake.privacy import EMAIL, HAS_AT, USER, VISITOR, Person, addresses

MEMORY_MB = 1024

_USERS_OF = "select distinct user_id from user_updates where lower(email) = ?"
_EMAILS_OF = "select distinct lower(email) from user_updates where list_contains(?, user_id)"
_SHARED = """
select distinct lower(email) from user_updates
where list_contains(?, lower(email)) and not list_contains(?, user_id)
"""
_URLS = f"""
select distinct anonymous_user_id, url from clickstream where regexp_matches(url, '{HAS_AT}')
"""  # noqa: S608


def kind_of(name: str) -> str:
    """What a name names: a whole number a user, text with an @ an address, else a visitor."""
    if re.fullmatch(r"[+-]?[0-9]+", name):
        return USER
    return EMAIL if "@" in name else VISITOR


def find(lake: Lake, name: str, kind: str) -> tuple[Person, int]:
    """All that names a person, and how many of their addresses other users have, too.

    An address means every user who ever had it. A user id means that user's addresses, except
    those of other users. Visitors are those whose URLs carry one of the addresses.
    """
    if kind == VISITOR:
        return Person(visitors=frozenset([name])), 0
    with sql.connect(Snapshot(lake.storage, lake.manifest), MEMORY_MB) as connection:

        def ask(query: str, *values: Any) -> list[Any]:
            return connection.execute(query, values).fetchall()

        if kind == USER:
            users, emails = [int(name)], set()
        else:
            users = [user for (user,) in ask(_USERS_OF, name.lower())]
            emails = {name.lower()}
        emails |= {email for (email,) in ask(_EMAILS_OF, users)}
        shared = {email for (email,) in ask(_SHARED, sorted(emails), users)}
        emails -= shared
        urls = ask(_URLS) if emails else []
        visitors = {visitor for visitor, url in urls if not emails.isdisjoint(addresses(url))}
    return Person(frozenset(users), frozenset(emails), frozenset(visitors)), len(shared)
