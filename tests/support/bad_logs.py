"""Small logs, good and bad."""

from __future__ import annotations

HEADER = "anonymous_user_id,url,time,browser,os,screen_resolution\n"


def clicks(time: str, count: int = 5) -> bytes:
    return (HEADER + "".join(f"v,/{n},{time},,,\n" for n in range(count))).encode()


def updates(environment: str, count: int = 5) -> bytes:
    row = '"2018-04-01 09:00:0{}","1","a@b.example","Ann","{}"\n'
    return "".join(row.format(n, environment) for n in range(count)).encode()


GOOD, MILLISECONDS = clicks("1522573923"), clicks("1522573923000")
