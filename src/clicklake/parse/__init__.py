"""From bytes to typed Arrow rows, with a reason for every row that is turned away.

`blocks` cuts a stream of bytes into blocks of whole lines, `csv` and `jsonl` turn the lines of
a block into fields, `fields` gives them types, and `rows` decides every row's fate. All of it
is pure: no files, no engine. Where there is much to read, `compiled` reads the usual lines and
values; all others go through plain Python, which says what holds.
"""
