"""The whole plan of a call: what is there, what is missing, which cluster, what it costs."""

from __future__ import annotations

from clicklake.aws import (
    clusters,
    desired,
    foundation,
    network,
    nightly,
    nights,
    package,
    plan,
    prices,
    releases,
)
from clicklake.aws.clusters import Cluster
from clicklake.aws.desired import Call, Network, Resource
from clicklake.aws.launch import Launch, bootstrap_arguments, check_same_job, uses_spot
from clicklake.aws.launch import cluster as cluster_of
from clicklake.aws.launch import step as step_of
from clicklake.aws.nightly import Nightly
from clicklake.aws.options import DeploymentPlan, Desk, Groundwork
from clicklake.aws.package import Upload
from clicklake.aws.plan import Change
from clicklake.aws.words import machines_of, pyspark_version, without_many_files
from clicklake.config import Config
from clicklake.errors import ConfigError


def plan_up(desk: Desk, config: Config) -> DeploymentPlan:
    """Look at everything; nothing is changed here."""
    ground = groundwork(desk, config, nights.expression(desk.aws, desk.own))
    launch = desk.options.launch
    wanted = cluster_of(desk.own, desk.settings, launch, ground.network, ground.files)
    cluster, live, step_id = cluster_to_use(desk, wanted, ground.files)
    return DeploymentPlan(
        **vars(ground), cluster=cluster, live=live, step_id=step_id, wanted=wanted
    )


def groundwork(desk: Desk, config: Config, expression: str) -> Groundwork:
    """What a cluster stands on; with `expression`, the schedule that starts one as well."""
    aws, own, launch = desk.aws, desk.own, desk.options.launch
    releases.check(aws, launch.release, pyspark_version())
    plan.check_inputs(aws, own)
    architecture = network.architecture(aws, desk.settings)
    releases.check_machines(aws, launch.release, desk.settings)
    files = package.uploads(config, own, architecture)
    where = network.network(aws, desk.settings)
    plan.check_given(aws, own)
    spot = uses_spot(desk.settings, launch)
    stands_on = foundation.foundation(own, where, secure=aws.secure, spot=spot)
    changes = plan.changes(aws, own, stands_on)
    missing = {each.name for each in changes if each.action == "create"}
    changes += plan.changes(aws, own, (desired.upload(own, each) for each in files))
    output_is_there = own.logs.bucket not in missing
    changes += plan.input_changes(aws, own, bucket_is_there=output_is_there)
    if expression:
        changes += plan.changes(aws, own, _nightly(desk, config, where, files, expression))
    cost = prices.estimate(desk.settings, on_demand=launch.on_demand)
    return Groundwork(changes, architecture, cost, files, where)


def _nightly(
    desk: Desk, config: Config, where: Network, files: list[Upload], expression: str
) -> list[Resource]:
    """The pointer to the newest uploads, and the schedule of dl.cfg's own cluster."""
    told = config.schedule
    if told.budget_usd and not told.notify:
        raise ConfigError("dl.cfg: [SCHEDULE] BUDGET_USD needs NOTIFY, who is told of it.")
    night = Nightly(expression, config.report.time_zone, told.notify, told.budget_usd)
    launch = Launch(desk.settings.release)
    cluster = cluster_of(desk.own, desk.settings, launch, where, files, newest=True)
    return [
        nightly.pointer(desk.own, files),
        *nightly.resources(desk.own, night, cluster),
    ]


def cluster_to_use(
    desk: Desk, wanted: Resource, files: list[Upload]
) -> tuple[Change, Cluster | None, str | None]:
    """Start a cluster, or go on with the live one: never a second beside it."""
    aws, own = desk.aws, desk.own
    live = next(clusters.find(aws, own, clusters.LIVE), None)
    if live is None:
        return plan.compare(own, wanted, None), None, None
    going = next((each for each in clusters.steps(aws, live.id) if not each.ended), None)
    job = desk.options.launch.job
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


def show(desk: Desk, made: Groundwork) -> None:
    """The plan for people."""
    say, own = desk.console.say, desk.own
    say(f"{own.name} in {own.region}, account {own.account}:")
    clusters_too = [made.cluster] if isinstance(made, DeploymentPlan) else []
    for change in [*without_many_files(made.changes), *clusters_too]:
        tags = ", ".join(f"{key}={value}" for key, value in change.tags.items())
        notes = "; ".join(text for text in (change.note, tags and f"tags {tags}") if text)
        named = f"  {change.action:<7} {change.kind:<23} {change.name}"
        say(f"{named}  ({notes})" if notes else named)
    if not desk.aws.secure:
        say("The endpoint is plain http, so the buckets get no policy that asks for TLS.")
    say(f"Cluster: {machines_of(desk.settings, desk.options.launch)}.")
    say(f"Cost: {made.estimate}.")
