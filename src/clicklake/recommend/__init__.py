"""Page recommendations: what users with like histories viewed.

`views` and `urls` number the interactions on the engine; `interactions`, `models`, `als`,
`scores`, `lists`, `quality`, `families` and `choice` are pure and know arrays only; `scoring`
and `job` bring both together.
"""

from clicklake.recommend.job import Result, recommend

__all__ = ["Result", "recommend"]
