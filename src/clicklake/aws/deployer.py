"""The verbs of deploy.py: plan, up, status, logs, down."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice

from clicklake.aws import (
    building,
    clusters,
    glue,
    inventory,
    nights,
    planning,
    report,
    runs,
    teardown,
)
from clicklake.aws.client import Aws
from clicklake.aws.console import Console
from clicklake.aws.inventory import Found
from clicklake.aws.names import Deployment, deployment
from clicklake.aws.options import Desk, Options, Result
from clicklake.aws.progress import Clock, StoppedError
from clicklake.aws.words import as_json, kept_data, where_it_is
from clicklake.config import Config
from clicklake.errors import ConfigError

SHOWN_CLUSTERS = 5


class Deployer:
    """One deployment; each verb returns the facts of `--json`, with its `exit_code`."""

    def __init__(
        self,
        config: Config,
        options: Options,
        aws: Aws,
        console: Console,
        clock: Clock | None = None,
    ) -> None:
        account, partition = aws.identity
        self.settings = config.cluster
        self.own: Deployment = deployment(config, account, partition, aws.region)
        self._config = config
        self._options = options
        self._aws = aws
        self._console = console
        self._desk = Desk(aws, self.own, config.cluster, options, console, clock or Clock())

    def plan(self) -> Result:
        made = planning.plan_up(self._desk, self._config)
        planning.show(self._desk, made)
        return {
            **where_it_is(self.own),
            "changes": [as_json(each) for each in [*made.changes, made.cluster]],
            "cost": {**asdict(made.estimate), "per_run": made.estimate.per_run},
            "cluster_request": made.cluster.calls[0].request if made.live is None else None,
            "exit_code": 0,
        }

    def up(self) -> Result:
        made = planning.plan_up(self._desk, self._config)
        planning.show(self._desk, made)
        self._confirm("Nothing was changed.")
        building.have_wheels(self._desk, made)
        building.apply(self._desk, made.changes)
        cluster_id, step_id = building.start(self._desk, made)
        own = {**where_it_is(self.own), "cluster_id": cluster_id, "step_id": step_id}
        if self._options.detach:
            self._console.say("Not waiting for it. See it: deploy.py status")
            return {**own, "status": "running", "exit_code": 0}
        return {**own, **runs.finish(self._desk, cluster_id, step_id)}

    def status(self) -> Result:
        found = list(islice(clusters.find(self._aws, self.own), SHOWN_CLUSTERS))
        if not found:
            self._console.say(f"No cluster of {self.own.name} in {self.own.region}.")
        shown = [report.shown(self._aws, self._console, each) for each in found]
        run = report.last_run(self._aws, self.own, self._console)
        tables = glue.shown(self._aws, self.own, self._console)
        there = inventory.shown(self._aws, self.own, self._console)
        facts = {"clusters": shown, "last_run": run, "catalog": tables, "resources": there}
        facts["schedule"] = nights.shown(self._aws, self.own, self._console)
        return {**where_it_is(self.own), **facts, "exit_code": 0}

    def logs(self) -> Result:
        newest = next(clusters.find(self._aws, self.own), None)
        if newest is None:
            raise ConfigError(
                f"No cluster of {self.own.name} in {self.own.region}, so no logs. Start one: "
                "deploy.py up"
            )
        cluster_id = newest.id
        steps = clusters.steps(self._aws, cluster_id)
        step_id = steps[0].id if steps else None
        texts = {}
        for name in ("controller", "stdout", "stderr"):
            text = step_id and report.log(self._aws, self.own, cluster_id, step_id, name)
            texts[name] = text or None
        texts["bootstrap"] = report.bootstrap_log(self._aws, self.own, cluster_id)
        for name, text in texts.items():
            if text:
                self._console.say(f"==> {name} <==\n{text.rstrip()}")
        if not any(texts.values()):
            self._console.say("No log is on S3 yet: EMR copies them every few minutes.")
        return {
            **where_it_is(self.own),
            "cluster_id": cluster_id,
            "step_id": step_id,
            "texts": texts,
            "exit_code": 0,
        }

    def schedule(self) -> Result:
        """Have the cluster started without a laptop, and its failures told."""
        made = planning.groundwork(self._desk, self._config, self._options.schedule)
        planning.show(self._desk, made)
        self._confirm("Nothing was changed.")
        building.have_wheels(self._desk, made)
        building.apply(self._desk, made.changes)
        there = nights.shown(self._aws, self.own, self._console)
        if self.own.local_input:
            self._console.say(
                f"INPUT_DATA is a folder of this machine: a night reads {self.own.input_data}, "
                "which only `up` and `schedule` make equal to it."
            )
        return {**where_it_is(self.own), "schedule": there, "exit_code": 0}

    def unschedule(self) -> Result:
        found = [each for each in inventory.found(self._aws, self.own) if each.is_nightly]
        names = [f"{each.kind} {each.name}" for each in found]
        self._console.say("\n  ".join(["To be removed:", *names] if names else ["No schedule."]))
        if names:
            self._confirm("Nothing was removed.")
        self._remove(found)
        return {**where_it_is(self.own), "removed": names, "exit_code": 0}

    def down(self) -> Result:
        running = teardown.live_clusters(self._aws, self.own)
        found = inventory.found(self._aws, self.own)
        data = self._data_to_delete(found)
        going = teardown.going(found, data)
        names = [f"cluster {each.id}" for each in running]
        names += [f"{each.kind} {each.name}" for each in going]
        if names:
            self._console.say("\n  ".join(["To be removed:", *names]))
            self._confirm("Nothing was removed.")
        else:
            self._console.say("There is nothing to remove.")
        self._remove([each for each in going if each.is_nightly])  # so that no cluster comes
        for cluster in running:
            runs.end(self._desk, cluster.id, fully=True)
        self._remove([each for each in going if not each.is_nightly])
        self._console.say(kept_data(self.own, [each for each in found if each not in going]))
        deleted = {"removed": names, "data_deleted": bool(data)}
        return {**where_it_is(self.own), **deleted, "exit_code": 0}

    def _remove(self, found: list[Found]) -> None:
        for each in found:
            teardown.remove(self._aws, self.own, each)
            self._console.say(f"  removed {each.kind} {each.name}")

    def _confirm(self, otherwise: str) -> None:
        """Ask on a terminal; where nobody can be asked, the command itself is the answer."""
        if self._options.yes:
            return
        if self._console.ask("Go ahead? [y/N]") not in (None, "y", "Y", "yes"):
            raise StoppedError(otherwise, 130)

    def _data_to_delete(self, found: list[Found]) -> str:
        """The bucket to delete with its data: asked for, ours, and its name typed; else ""."""
        if not self._options.delete_data:
            return ""
        buckets = [each for each in found if each.kind == "bucket" and each.data]
        if not any(each.configured for each in buckets):
            bucket = self.own.logs.bucket
            self._console.say(f"Bucket {bucket} is not ours, or not there: not deleted.")
        if not buckets:
            return ""
        names = " or ".join(each.name for each in buckets)
        typed = self._options.typed_name or self._console.ask(
            f"All data in {names} will be gone for ever. Its name, to go ahead:"
        )
        if typed not in {each.name for each in buckets}:
            raise ConfigError(
                f"--delete-data deletes bucket {names} with the lake in it; to confirm, give its "
                f"name: deploy.py down --delete-data --yes {buckets[0].name}"
            )
        return typed
