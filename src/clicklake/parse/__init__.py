"""From bytes to typed Arrow rows, with a reason for every row that is turned away.

`blocks` cuts a stream of bytes into blocks of whole lines, `csv` and `jsonl` turn the lines of
a block into fields, `fields` gives them types, and `rows` decides every row's fate. All of it
is pure: no files, no engine. A fast path (pyarrow) takes the lines whose form a regular
expression has proven; every other line goes through plain Python with the same meaning.
"""
