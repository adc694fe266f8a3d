"""`verify`: the read-only verifier and its exit code."""

import sys

import click

from application.verify import Level, Report
from entrypoints.cli.common import Exit, application, json_option, print_json, require_database
from entrypoints.cli.progress import progress
from entrypoints.cli.render import out


@click.command()
@click.option(
    "--level",
    type=click.Choice(Level, case_sensitive=False),
    default=Level.IDENTITY.value,
    show_default=True,
    help="How closely files are looked at.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="How many read the log at the same time. By default one, and of a long log as many as there are processors "
    "for it, up to four.",
)
@json_option
@click.pass_context
def verify(ctx: click.Context, level: Level, processes: int | None, as_json: bool) -> None:
    """Compare log, seal, read models, playlists and files. It only reads; exit code 3 tells a discrepancy.

    Example: trailkeep verify --level size
    """
    require_database(ctx)
    with application(ctx) as app:
        with progress("checking") as advance:
            report = app.verifier.verify(level, advance, processes)
        if as_json:
            print_json(report)
        else:
            _print_report(report)
    if not report.ok:
        sys.exit(Exit.DISCREPANCY)


def _print_report(report: Report) -> None:
    for title, found in (
        ("log", report.log.faults),
        ("suspect media root", report.suspect_roots),
        ("lost", report.lost),
        ("orphan", report.orphans),
        ("changed", [f"{path}: {report.reasons[path]}" for path in report.changed]),
        ("playlist", report.playlists),
        ("journal", report.journals),
        ("read model", report.read_models),
        ("superseded, left alone", report.superseded),
        ("note", report.notes),
    ):
        for one in found:
            out.print(f"{title}: {one}", markup=False)
    out.print(
        f"{report.log.events} events, root {report.log.root}; {report.checked} files checked: "
        + ("everything agrees" if report.ok else "there are discrepancies"),
        markup=False,
    )
