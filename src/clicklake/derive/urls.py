"""URL parts (RFC 3986, appendix B) and campaign parameters of columns of URLs."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import pyarrow as pa
import pyarrow.compute as pc

_PARTS = (
    r"(?s)\A(?:[^:/?#]+:)?(?://(?P<authority>[^/?#]*))?"
    r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?"
)
_PLAIN_HOST = r"\A[a-z0-9._-]+\z"


AUTHORITY, PATH, QUERY = "authority", "path", "query"


def split(urls: pa.Array) -> dict[str, pa.Array]:
    """The authority, path and query of URLs; null where there is none."""
    found = pc.extract_regex(urls, _PARTS)
    return {name: pc.struct_field(found, name) for name in (AUTHORITY, PATH, QUERY)}


def hosts(authorities: pa.Array) -> pa.Array:
    """The host of each authority, as `host`."""
    return _odd_by_one(authorities, _PLAIN_HOST, host)


def paths(paths: pa.Array) -> pa.Array:
    """Paths as they stand; `/` where there is none."""
    return pc.if_else(pc.equal(paths, ""), "/", paths)


def _odd_by_one(values: pa.Array, plain: str, convert: Callable[[str], str | None]) -> pa.Array:
    """`convert` on the values that are not `plain`, which stand for themselves."""
    is_plain = pc.match_substring_regex(values, plain)
    odd = values.filter(pc.invert(is_plain)).to_pylist()
    if not odd:
        return values
    converted = pa.array([convert(value) for value in odd], pa.string())
    return pc.replace_with_mask(values, pc.invert(is_plain), converted)


def host(authority: str) -> str | None:
    """The host of an authority, lower case, without user, password and port."""
    name = authority.rpartition("@")[2]
    if name.startswith("[") and "]" in name:
        name = name[: name.index("]") + 1]
    else:
        name = name.partition(":")[0]
    return name.lower() or None


def parameters(queries: pa.Array, name: str) -> pa.Array:
    """The first value of a parameter in each query that is not empty, as `parameter`."""
    found = pc.extract_regex(queries, rf"(?s)(?:\A|&){name}=(?P<value>[^&]+)")
    value = pc.struct_field(found, "value")
    value = pc.if_else(found.is_valid(), value, pa.scalar(None, pa.string()))
    needs_decoding = pc.fill_null(pc.match_substring_regex(value, r"[%+ \t]"), False)
    odd = queries.filter(needs_decoding).to_pylist()
    if not odd:
        return value
    decoded = pa.array([parameter(query, name) for query in odd], pa.string())
    return pc.replace_with_mask(value, needs_decoding, decoded)


def parameter(query: str, name: str) -> str | None:
    """The first value of `name` in a query that is not empty once decoded and trimmed."""
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if key == name:
            raw = unquote_to_bytes(value.replace("+", " "))
            decoded = raw.decode("utf-8", errors="replace").strip(" \t")
            if decoded:
                return decoded
    return None
