"""A plan carried out: what is missing is made, and a cluster is started if none is live."""

from __future__ import annotations

from collections.abc import Callable

from clicklake.aws import clusters, launching, package, plan, planning
from clicklake.aws.client import UnreachableError
from clicklake.aws.options import DeploymentPlan, Desk, Groundwork, Result
from clicklake.aws.plan import Change
from clicklake.errors import AccessError, ClicklakeError, ConflictError

SMALL = 1_000_000  # bytes; of less no progress is shown
TRIES = 5
PAUSE_SECONDS = 2
NO_SPOT = (
    "Spot machines need the account's role for Spot. Somebody who may can make it, once: "
    "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com. "
    "Without Spot: deploy.py up --on-demand"
)


def have_wheels(desk: Desk, made: Groundwork) -> None:
    """Have the wheels at hand before anything is made: a package may not be to be had."""
    if any(change.kind == "wheels" and change.calls for change in made.changes):
        desk.console.say("Downloading the Python packages for the cluster, once: some 200 MB.")
        package.build_wheels(made.architecture)


def apply(desk: Desk, changes: list[Change]) -> None:
    """Make all changes, each told in a line; the input files in one for each action."""
    due = [change for change in changes if change.calls]
    for change in due:
        if change.kind != "input file":
            _settle(desk, change, _progress(desk, f"{change.kind}:", change.size))
            desk.console.say(f"  {change.action}d {change.kind} {change.name}{_sized(change.size)}")
    for action in ("create", "delete"):
        files = [each for each in due if each.kind == "input file" and each.action == action]
        if files:
            _apply_files(desk, files)


def _apply_files(desk: Desk, files: list[Change]) -> None:
    total, done = sum(change.size for change in files), 0
    for number, change in enumerate(files, 1):
        counted = f"input file {number} of {len(files)}:"
        _settle(desk, change, _progress(desk, counted, total, done))
        done += change.size
    desk.console.say(f"  {files[0].action}d {len(files)} input files{_sized(total)}")


def _progress(desk: Desk, what: str, size: int, before: int = 0) -> Callable[[int], None]:
    """What shows how far an upload is, on the one live line."""
    last = ""

    def show(sent: int) -> None:
        nonlocal last
        text = f"  {what} {(before + sent) / 1e6:.0f} of {size / 1e6:.0f} MB"
        if text != last and size > SMALL:
            desk.console.live(text)
            last = text

    return show


def _sized(size: int) -> str:
    return f" ({size / 1e6:.0f} MB)" if size > SMALL else ""


def _settle(desk: Desk, change: Change, watch: Callable[[int], None]) -> None:
    """Make a change; where another `up` is making it as well, what is then left of it."""
    for attempt in range(1, TRIES + 1):
        try:
            _make(desk, change, watch)
            return
        except (AccessError, UnreachableError) as error:
            if change.kind == "service-linked role":
                raise AccessError(f"{error}\n{NO_SPOT}") from error
            raise
        except ClicklakeError as error:
            if change.wanted is None or attempt == TRIES:
                raise
            (now,) = plan.changes(desk.aws, desk.own, [change.wanted])
            if now.calls == change.calls and not isinstance(error, ConflictError):
                raise
            change = now
            desk.clock.sleep(PAUSE_SECONDS)


def _make(desk: Desk, change: Change, watch: Callable[[int], None] | None = None) -> list[Result]:
    return [
        desk.aws.call(
            call.service, call.operation, retry_on=call.retry_on, watch=watch, **call.request
        )
        for call in change.calls
    ]


def start(desk: Desk, made: DeploymentPlan) -> tuple[str, str]:
    """The cluster and the step to follow, started if need be."""
    if made.live and made.step_id:
        return made.live.id, made.step_id
    with launching.alone(desk):
        # Since the plan was made, another `up` may have started one.
        change, live, step_id = planning.cluster_to_use(desk, made.wanted, made.files)
        if live and step_id:
            desk.console.say(f"Another `up` has started cluster {live.id}: it is followed.")
            return live.id, step_id
        (answer,) = _make(desk, change)
    if live:
        return live.id, answer["StepIds"][0]
    cluster_id = answer["JobFlowId"]
    desk.console.say(f"Cluster {cluster_id} starts. Stop it at any time: deploy.py down")
    return cluster_id, clusters.steps(desk.aws, cluster_id)[0].id
