"""One spelling for each page: the canonical URL."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

# RFC 3986, appendix B, without the parts that begin at "?" and "#".
_SCHEME_AND_AUTHORITY = "^([^:/]+:)?(//[^/]*)?"

_TRACKING = (
    r"utm_[a-z_]+|gclid|gclsrc|dclid|gbraid|wbraid|fbclid|msclkid|yclid|twclid|ttclid|igshid"
    r"|mc_cid|mc_eid|_ga|_gl|_hsenc|_hsmi|mkt_tok"
)
_SESSION = r"jsessionid|phpsessid|aspsessionid[a-z]*|session_?id"
# A short `sid` is as likely a story or a section as a session.
_DROPPED = rf"(?i)^(({_TRACKING}|{_SESSION})(=|$)|sid=[0-9a-z_-]{{16,}}$)"


def canonical_url(url: Column) -> Column:
    """The spelling that all forms of a page's URL share.

    Lower-case scheme and host; no user, default port, fragment, tracking parameter or session
    id; the other parameters sorted; no slash at the end of the path. Works for whole URLs and
    for paths such as `/products/916/`. A URL of which nothing is left stays as it is.
    """
    without_fragment = F.regexp_replace(url, "(?s)#.*", "")
    address = F.regexp_replace(without_fragment, r"(?s)\?.*", "")
    site = F.regexp_extract(address, _SCHEME_AND_AUTHORITY, 0)
    path = _after(address, F.length(site))
    query = _after(without_fragment, F.length(address) + 1)
    canonical = F.concat(_site(site), _path(path, has_site=site != ""), _query(query))
    return F.when(canonical == "", url).otherwise(canonical)


def _after(text: Column, length: Column) -> Column:
    return F.substring(text, length + 1, F.length(text))


def _site(site: Column) -> Column:
    """Scheme and authority without user and default port."""
    host = F.regexp_replace(F.lower(site), "//[^@]*@", "//")
    return (
        F.when(host.startswith("http://"), F.regexp_replace(host, ":(80)?$", ""))
        .when(host.startswith("https://"), F.regexp_replace(host, ":(443)?$", ""))
        .otherwise(host)
    )


def _path(path: Column, has_site: Column) -> Column:
    without_session = F.regexp_replace(path, rf"(?i);({_SESSION})=[^/;]*", "")
    folded = F.regexp_replace(without_session, "/+$", "")
    is_root = (folded == "") & (has_site | (without_session != ""))
    return F.when(is_root, "/").otherwise(folded)


def _query(query: Column) -> Column:
    parameters = F.split(query, "&")
    kept = F.filter(parameters, lambda p: (p != "") & ~p.rlike(_DROPPED))
    joined = F.array_join(F.array_sort(kept), "&")
    return F.when(joined == "", "").otherwise(F.concat(F.lit("?"), joined))
