"""The sections of the sources: all that is wrong is told at once, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from clicklake import config
from clicklake.errors import ConfigError

WRONG = {
    "[USER_UPDATES]\nDELIMITER = ;;": 'DELIMITER is ";;"; it must be one character of ASCII',
    "[USER_UPDATES]\nDELIMITER = \u00a7": "it must be one character of ASCII",
    "[USER_UPDATES]\nDELIMITER =": "it must be one character of ASCII",
    "[USER_UPDATES]\nDELIMITER = \\x0A": "no line end",
    '[USER_UPDATES]\nDELIMITER = "': "DELIMITER and QUOTE are the same character",
    "[USER_UPDATES]\nHEADER = maybe": "it must be true or false",
    "[USER_UPDATES]\nUSER_ID = uid": 'USER_ID is "uid"; without a header (HEADER = no) it must be',
    "[USER_UPDATES]\nUSER_ID = 0": "must be a column's number, from 1 to 9999",
    "[USER_UPDATES]\nUSER_ID = 3": "USER_ID and EMAIL are both",
    "[USER_UPDATES]\nUSER_ID = 9\nCOLUMNS = 8": "USER_ID is column 9 of COLUMNS = 8",
    "[USER_UPDATES]\nEMAIL =": "EMAIL is empty; say where it is",
    "[USER_UPDATES]\nZONE = Mars": "it must be an offset such as +02:00, or a zone's name, such as",
    "[USER_UPDATES]\nZONE = +25:00": "it must be an offset such as +02:00",
    "[USER_UPDATES]\nTIME_FORMAT = unix_ns": "one of iso, unix_s, unix_ms, unix_us",
    "[CLICKSTREAM]\nURL = Page\nTIME = page": 'URL and TIME are both "page"',
    "[CLICKSTREAM]\nCOLUMNS = 9": "COLUMNS is for HEADER = no",
    "[CLICKSTREAM]\nZONE = +01:00": "ZONE is for TIME_FORMAT = iso",
    "[PAGE_VIEWS]\nURL = page..url": "a path with an empty key",
    "[PAGE_VIEWS]\nURL = page\nTS = page.at": "are the same value, or one is a part of the other",
    "[PAGE_VIEWS]\nURL = a.b.c.d.e.f.g.h.i": "a path of more than 8 keys",
    "[PAGE_VIEWS]\nDELIMITER = ;": "DELIMITER is for FORMAT = csv",
    "[PAGE_VIEWS]\nPAGE = url": "[PAGE_VIEWS] PAGE is no key of this section",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong(tmp_path: Path, text: str) -> None:
    (tmp_path / "dl.cfg").write_text(text)
    with pytest.raises(ConfigError) as error:
        config.load(tmp_path / "dl.cfg")
    assert WRONG[text] in str(error.value)
    assert text.splitlines()[0] in str(error.value)


def test_all_of_it_at_once(tmp_path: Path) -> None:
    (tmp_path / "dl.cfg").write_text(
        "[USER_UPDATES]\nEMAIL =\nUSER_ID = uid\n[PAGE_VIEWS]\nURL = .\n[CLICKSTREAM]\nQUOTE = ab"
    )
    with pytest.raises(ConfigError) as error:
        config.load(tmp_path / "dl.cfg")
    assert len(str(error.value).splitlines()) == 4


def test_characters_that_cannot_be_seen(tmp_path: Path) -> None:
    (tmp_path / "dl.cfg").write_text(
        "[USER_UPDATES]\nDELIMITER = \\t\n[PAGE_VIEWS]\nFORMAT = csv\nDELIMITER = \\x01\nQUOTE =\n"
        "[CLICKSTREAM]\nDELIMITER = \\x20\n"
    )
    loaded = config.load(tmp_path / "dl.cfg")
    assert loaded.user_updates.delimiter == "\t"
    assert (loaded.page_views.delimiter, loaded.page_views.quote) == ("\x01", "")
    assert loaded.clickstream.delimiter == " "
