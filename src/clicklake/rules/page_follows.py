"""The pages that follow a page most often."""

from __future__ import annotations

# Over `page_steps`; of SQL that Spark, Sail and DuckDB understand alike.
QUERY = """
select page, cast(rank as int) as rank, next_page, sessions, share,
    share / (cast(arriving as double) / cast(total as double)) as lift
from (
    select page, next_page, sessions, arriving, total,
        cast(sessions as double) / cast(leaving as double) as share,
        row_number() over (
            partition by page order by sessions desc, arriving desc, next_page
        ) as rank
    from (
        select page, next_page, sessions,
            sum(sessions) over (partition by page) as leaving,
            sum(sessions) over (partition by next_page) as arriving
        from (
            select page, next_page, cast(sum(sessions) as bigint) as sessions
            from page_steps group by page, next_page
        ) as steps
    ) as counted
    cross join (select sum(sessions) as total from page_steps) as everything
) as ranked
where rank <= 3
"""
