"""Why most of a file is bad, told from its beginning as a person would see it. Pure."""

from __future__ import annotations

from clicklake.logs.diagnosis import encodings, shapes, values
from clicklake.logs.diagnosis.cause import Cause
from clicklake.logs.diagnosis.heads import Head, parsed
from clicklake.logs.diagnosis.proposal import proposed, section
from clicklake.logs.diagnosis.shapes import has_header, unwanted_header
from clicklake.logs.diagnosis.values import environments

__all__ = [
    "Cause",
    "Head",
    "cause_of",
    "environments",
    "has_header",
    "parsed",
    "proposed",
    "section",
    "unwanted_header",
]


def cause_of(head: Head) -> Cause | None:
    """What is wrong with a file that is damaged or mostly bad; None where nothing shows."""
    found = encodings.compressed(head)
    if found or not (head.lines and head.is_mostly_bad):
        return found
    shape = shapes.of_json if head.source.format == "json" else shapes.of_csv
    return encodings.other_encoding(head) or shape(head) or values.times(head)
