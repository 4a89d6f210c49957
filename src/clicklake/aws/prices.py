"""What a cluster costs, by the list prices in deploy/prices.json: an estimate, not an offer."""

from __future__ import annotations

import json
from dataclasses import dataclass

from clicklake.aws.package import DEPLOY
from clicklake.config import Cluster

HOURS_OF_A_MONTH = 730
# A run of the default cluster: some minutes to start, half an hour of work.
RUN_HOURS = 0.6


@dataclass(frozen=True)
class Estimate:
    """US dollars: `per_hour` with task machines on Spot, `at_most` with all of them on demand.

    Both are None when a machine's price is not known; `unknown` names it.
    """

    per_hour: float | None
    at_most: float | None
    as_of: str
    region: str
    unknown: tuple[str, ...] = ()

    @property
    def per_run(self) -> float | None:
        return None if self.per_hour is None else self.per_hour * RUN_HOURS

    def __str__(self) -> str:
        source = f"list prices of {self.region}, {self.as_of}"
        if self.per_hour is None or self.at_most is None or self.per_run is None:
            return f"no price is known for {', '.join(self.unknown)} ({source})"
        return (
            f"about ${self.per_hour:.2f} per hour (at most ${self.at_most:.2f}, all on demand), "
            f"${self.per_run:.2f} for a run of {RUN_HOURS * 60:.0f} minutes; S3 storage not "
            f"included; an estimate by {source}"
        )


def estimate(settings: Cluster, *, on_demand: bool) -> Estimate:
    """The cost of the whole cluster; of each fleet, its dearest type counts."""
    table = json.loads((DEPLOY / "prices.json").read_text())
    machines = table["machines"]
    named = dict.fromkeys(settings.primary_types + settings.worker_types)
    unknown = tuple(name for name in named if name not in machines)
    if unknown:
        return Estimate(None, None, table["as_of"], table["region"], unknown)

    disk = settings.worker_disk_gb * table["gp3_gb_month"] / HOURS_OF_A_MONTH

    def machine(types: tuple[str, ...], share: float = 1.0) -> float:
        return disk + max(machines[name][0] * share + machines[name][1] for name in types)

    steady = machine(settings.primary_types) + settings.core_nodes * machine(settings.worker_types)
    dear = settings.task_nodes * machine(settings.worker_types)
    cheap = settings.task_nodes * machine(settings.worker_types, table["spot_share"])
    per_hour = steady + (dear if on_demand else cheap)
    return Estimate(per_hour, steady + dear, table["as_of"], table["region"])
