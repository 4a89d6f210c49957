"""Run the job on EMR: from the files of this checkout to a finished lake on S3, and back.

deploy.py [up]     create what is missing, start a cluster that runs the job, follow it
deploy.py plan     show what `up` would do and what it costs; changes nothing
deploy.py status   the clusters and the last run
deploy.py logs     the logs of the last run
deploy.py schedule WHEN   have AWS start the job, for instance "cron(0 3 * * ? *)"
deploy.py unschedule      no longer
deploy.py down     remove everything that `up` made; the data only with --delete-data

What follows `--` goes to the job: deploy.py up -- verify (see etl.py --help).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any

from clicklake import config
from clicklake.aws.client import Aws
from clicklake.aws.console import Console
from clicklake.aws.deployer import Deployer
from clicklake.aws.launch import Launch
from clicklake.aws.options import Options
from clicklake.cli import main as main_of_job
from clicklake.cli import outer
from clicklake.errors import ConfigError

VERBS = ("up", "plan", "status", "logs", "schedule", "unschedule", "down")
WHEN = r"(cron|rate)\(.+\)"
FOR_THE_JOB = ("up", "plan")


def _seconds(text: str) -> float:
    """A time limit: minutes, or a number with s, m or h behind it."""
    found = re.fullmatch(r"(\d+)([smh]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: give minutes, or for instance 90s, 45m, 2h")
    return int(found[1]) * {"s": 1, "h": 3600}.get(found[2], 60)


def _arguments(argv: list[str]) -> argparse.Namespace:
    split = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(
        prog=outer.program("deploy"),
        description=__doc__,
        epilog=outer.EXIT_CODES,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("verb", nargs="?", choices=VERBS, default="up", metavar="|".join(VERBS))
    parser.add_argument("when", nargs="?", default="", metavar="WHEN", help="schedule: cron(...)")
    parser.add_argument("--config", metavar="PATH", help="default: dl.cfg here or in the checkout")
    parser.add_argument(
        "--yes", nargs="?", const="", metavar="NAME", help="ask nothing; NAME: see --delete-data"
    )
    parser.add_argument("--detach", action="store_true", help="up: do not wait for the job")
    parser.add_argument("--timeout", type=_seconds, metavar="MINUTES", help="up: stop waiting")
    parser.add_argument("--keep-alive", action="store_true", help="up: keep the cluster for more")
    parser.add_argument("--on-demand", action="store_true", help="up: no Spot machines")
    parser.add_argument("--release", metavar="LABEL", help="up: EMR release")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument(
        "--delete-data",
        action="store_true",
        help="down: delete the output bucket too; needs its name, typed or as --yes NAME",
    )
    arguments = parser.parse_args(argv[:split])
    arguments.job = tuple(argv[split + 1 :])
    if arguments.job and arguments.verb not in FOR_THE_JOB:
        parser.error(f"arguments of the job go with {' and '.join(FOR_THE_JOB)}")
    if (arguments.verb == "schedule") != bool(arguments.when):
        parser.error('schedule, and nothing else, is told when: schedule "cron(0 3 * * ? *)"')
    if arguments.when and not re.fullmatch(WHEN, arguments.when):
        parser.error(f"{arguments.when}: it must be cron(...) or rate(...), as EventBridge has it")
    if arguments.yes in VERBS:  # `--yes down`: a verb, not the name of a bucket
        arguments.verb, arguments.yes = arguments.yes, ""
    if arguments.delete_data and arguments.verb != "down":
        parser.error("--delete-data goes with down")
    return arguments


def _job(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The job's arguments, which the job would refuse minutes later on the cluster if wrong."""
    given = vars(main_of_job.parser().parse_args(arguments))
    here = [f"--{name}" for name in ("config", "input", "output") if given.get(name)]
    if here or given["engine"] != "auto":
        raise ConfigError(
            f"{' '.join(here) or '--engine'}: on the cluster the configuration, the places and the "
            "engine are those of this deployment; set them in dl.cfg."
        )
    if given.get("files"):
        raise ConfigError(
            "replay: the cluster cannot read files of this machine. Bring them in from here: "
            "etl.py replay SOURCE FILE --output s3a://BUCKET/PREFIX"
        )
    if "@" in given.get("name", ""):
        raise ConfigError(
            "forget-user: EMR keeps the arguments of its steps, so no e-mail address may be one. "
            "Give the user's id, or do it from here: etl.py forget-user WHO --output s3a://..."
        )
    if "name" in given and not (given["yes"] or given["dry_run"]):
        raise ConfigError("forget-user: nobody can be asked on the cluster: add --yes or --dry-run")
    return arguments


def main(argv: Sequence[str]) -> int:
    arguments = _arguments(list(argv))
    console = Console(as_json=arguments.json)
    facts: dict[str, Any] = {}

    def work() -> int:
        facts.update(_run(arguments, console))
        return int(facts["exit_code"])

    def tell(failure: outer.Failure) -> None:
        console.error(failure.text)
        facts.update(error=failure.error, exit_code=failure.exit_code)

    code = outer.guarded(
        work,
        tell,
        interrupted=f"Interrupted. What was made so far: {outer.command('deploy')} status",
        state=f"What was made so far: {outer.command('deploy')} status.",
    )
    console.result({"verb": arguments.verb, **facts})
    return code


def _run(arguments: argparse.Namespace, console: Console) -> dict:
    settings = config.load(arguments.config)
    for warning in settings.warnings:
        console.error(f"warning: {warning}")
    minutes = settings.cluster.timeout_minutes
    options = Options(
        launch=Launch(
            arguments.release or settings.cluster.release,
            keep_alive=arguments.keep_alive,
            on_demand=arguments.on_demand,
            job=_job(arguments.job),
        ),
        detach=arguments.detach,
        timeout_seconds=arguments.timeout or minutes * 60,
        yes=arguments.yes is not None,
        delete_data=arguments.delete_data,
        typed_name=arguments.yes or "",
        schedule=arguments.when,
    )
    deployer = Deployer(settings, options, Aws(settings), console)
    return getattr(deployer, arguments.verb)()
