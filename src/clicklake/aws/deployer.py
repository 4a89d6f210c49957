"""The verbs of deploy.py: plan, up, status, logs, down."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice

from clicklake.aws import (
    clusters,
    desired,
    glue,
    inventory,
    network,
    package,
    plan,
    prices,
    report,
    runs,
    teardown,
)
from clicklake.aws.client import Aws
from clicklake.aws.clusters import Cluster
from clicklake.aws.console import Console
from clicklake.aws.desired import Call
from clicklake.aws.inventory import Found
from clicklake.aws.launch import bootstrap_arguments, check_release, check_same_job
from clicklake.aws.launch import cluster as cluster_of
from clicklake.aws.launch import step as step_of
from clicklake.aws.names import Deployment, deployment
from clicklake.aws.options import DeploymentPlan, Desk, Options, Result
from clicklake.aws.plan import Change
from clicklake.aws.progress import Clock, StoppedError
from clicklake.aws.words import (
    as_json,
    kept_data,
    machines_of,
    pyspark_version,
    where_it_is,
    without_many_files,
)
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
        made = self._plan()
        self._show(made)
        return {
            **where_it_is(self.own),
            "changes": [as_json(each) for each in [*made.changes, made.cluster]],
            "cost": {**asdict(made.estimate), "per_run": made.estimate.per_run},
            "cluster_request": made.cluster.calls[0].request if made.live is None else None,
            "exit_code": 0,
        }

    def up(self) -> Result:
        made = self._plan()
        self._show(made)
        self._confirm("Nothing was changed.")
        self._build(made)
        self._apply(made.changes)
        cluster_id, step_id = self._start(made)
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
        for cluster in running:
            runs.end(self._desk, cluster.id, fully=True)
        for each in going:
            teardown.remove(self._aws, self.own, each)
            self._console.say(f"  removed {each.kind} {each.name}")
        self._console.say(kept_data(self.own, [each for each in found if each not in going]))
        deleted = {"removed": names, "data_deleted": bool(data)}
        return {**where_it_is(self.own), **deleted, "exit_code": 0}

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

    def _plan(self) -> DeploymentPlan:
        """Look at everything; nothing is changed here."""
        aws, own, launch = self._aws, self.own, self._options.launch
        check_release(launch.release, pyspark_version())
        plan.check_inputs(aws, own)
        architecture = network.architecture(aws, self.settings)
        files = package.uploads(self._config, own, architecture)
        where = network.network(aws, self.settings)
        changes = plan.changes(aws, own, desired.foundation(own, where, secure=aws.secure))
        missing = {each.name for each in changes if each.action == "create"}
        changes += plan.changes(aws, own, (desired.upload(own, each) for each in files))
        output_is_there = own.logs.bucket not in missing
        changes += plan.input_changes(aws, own, bucket_is_there=output_is_there)
        wanted = cluster_of(own, self.settings, launch, where, files)
        cluster, live, step_id = self._cluster(wanted, files)
        cost = prices.estimate(self.settings, on_demand=launch.on_demand)
        return DeploymentPlan(changes, cluster, live, step_id, architecture, cost)

    def _cluster(
        self, wanted: desired.Resource, files: list[package.Upload]
    ) -> tuple[Change, Cluster | None, str | None]:
        """Start a cluster, or go on with the live one: never a second beside it."""
        aws, own = self._aws, self.own
        live = next(clusters.find(aws, own, clusters.LIVE), None)
        if live is None:
            return plan.compare(own, wanted, None), None, None
        going = next((each for each in clusters.steps(aws, live.id) if not each.ended), None)
        job = self._options.launch.job
        if going is not None:
            check_same_job(live.id, going, job)
            note = f"{live.status.state}; its step {going.id} is followed, no other is started"
            return Change("reuse", "cluster", live.id, note), live, going.id
        if clusters.bootstrap_arguments(aws, live.id) != bootstrap_arguments(own, files):
            raise ConfigError(
                f"Cluster {live.id} is live, but was set up with another dl.cfg or other Python "
                "packages. End it: deploy.py down; then: deploy.py up"
            )
        step = step_of(own, files, job, keep_alive=not live.auto_terminate)
        add = Call("emr", "add_job_flow_steps", {"JobFlowId": live.id, "Steps": [step]})
        note = f"{live.status.state}; the job is added as a step"
        return Change("reuse", "cluster", live.id, note, calls=(add,)), live, None

    def _show(self, made: DeploymentPlan) -> None:
        say, own = self._console.say, self.own
        say(f"{own.name} in {own.region}, account {own.account}:")
        for change in [*without_many_files(made.changes), made.cluster]:
            tags = ", ".join(f"{key}={value}" for key, value in change.tags.items())
            notes = "; ".join(text for text in (change.note, tags and f"tags {tags}") if text)
            named = f"  {change.action:<7} {change.kind:<23} {change.name}"
            say(f"{named}  ({notes})" if notes else named)
        if not self._aws.secure:
            say("The endpoint is plain http, so the buckets get no policy that asks for TLS.")
        say(f"Cluster: {machines_of(self.settings, self._options.launch)}.")
        say(f"Cost: {made.estimate}.")

    def _build(self, made: DeploymentPlan) -> None:
        """Have the wheels at hand before anything is made: a package may not be to be had."""
        if any(change.kind == "wheels" and change.calls for change in made.changes):
            self._console.live("downloading the Python packages for the cluster")
            package.build_wheels(made.architecture)

    def _apply(self, changes: list[Change]) -> None:
        for change in changes:
            if change.calls:
                self._make(change)
                self._console.say(f"  {change.action}d {change.kind} {change.name}")

    def _make(self, change: Change) -> list[Result]:
        return [
            self._aws.call(call.service, call.operation, retry_on=call.retry_on, **call.request)
            for call in change.calls
        ]

    def _start(self, made: DeploymentPlan) -> tuple[str, str]:
        """The cluster and the step to follow, started if need be."""
        if made.live and made.step_id:
            return made.live.id, made.step_id
        (answer,) = self._make(made.cluster)
        if made.live:
            return made.live.id, answer["StepIds"][0]
        cluster_id = answer["JobFlowId"]
        self._console.say(f"Cluster {cluster_id} starts. Stop it at any time: deploy.py down")
        return cluster_id, clusters.steps(self._aws, cluster_id)[0].id
