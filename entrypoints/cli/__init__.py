"""The command line: `trailkeep` and its commands, each a few lines over the application."""

import logging
import sys

import click
import structlog

from entrypoints.cli import batches, demo, evidence, guards, production, repairs, sessions, store, verification, workers
from entrypoints.cli.common import Group


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--database",
    metavar="URL",
    envvar="TRAILKEEP_DATABASE_URL",
    help="sqlite:///FILE or postgresql://USER@HOST/DATABASE; default: trailkeep.db in the data directory.",
)
@click.version_option(package_name="trailkeep")
def main(database: str | None) -> None:  # noqa: ARG001 - commands read it from the context
    """Keep batch-generated HLS streams playable and their disk bounded, and prove what was deleted and why.

    Exit codes: 0 done, 1 error, 2 usage, 3 verify found a discrepancy, 4 refused by a rule.
    """
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Asked for each line: while a progress bar is shown, sys.stderr puts lines above it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


for command in (
    demo.demo,
    production.run,
    production.project,
    production.recover,
    sessions.session,
    batches.batch,
    guards.purge,
    guards.root,
    evidence.plan,
    evidence.events,
    evidence.history,
    evidence.explain,
    evidence.replay,
    verification.verify,
    repairs.repair,
    workers.workers,
    store.rebuild,
    store.db,
    store.doctor,
):
    main.add_command(command)
