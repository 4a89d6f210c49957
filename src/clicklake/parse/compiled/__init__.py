"""The usual forms of records and fields, read by compiled code.

What a function here does not know it leaves to `csv`, `jsonl` and `fields`, which say what holds.
Loading this package takes half a second, and compiling it some seconds, once on a machine.
"""

from clicklake.parse.compiled.csv import csv_fields
from clicklake.parse.compiled.fields import are_emails, are_equal, whole_numbers
from clicklake.parse.compiled.json import json_fields
from clicklake.parse.compiled.texts import checksums, gather, intern, rehashed, renumbered
from clicklake.parse.compiled.times import in_zone, iso_times, unix_times

__all__ = [
    "are_emails",
    "are_equal",
    "checksums",
    "csv_fields",
    "gather",
    "in_zone",
    "intern",
    "iso_times",
    "json_fields",
    "rehashed",
    "renumbered",
    "unix_times",
    "whole_numbers",
]
