"""`verify`: the read-only verifier and its exit code."""

import sys

import click

from application.verify import Level, Report
from domain.errors import NotFound
from entrypoints.bootstrap import default_url
from entrypoints.cli.common import Exit, application, json_option, print_json
from entrypoints.cli.progress import progress
from entrypoints.cli.render import out
from persistence.engine import file_of, open_engine


@click.command()
@click.option(
    "--level",
    type=click.Choice(Level, case_sensitive=False),
    default=Level.IDENTITY.value,
    show_default=True,
    help="How closely files are looked at.",
)
@json_option
@click.pass_context
def verify(ctx: click.Context, level: Level, as_json: bool) -> None:
    """Compare log, seal, read models, playlists and files. It only reads; exit code 3 tells a discrepancy.

    Example: trailkeep verify --level size
    """
    require_database(ctx)
    with application(ctx) as app:
        with progress("checking") as advance:
            report = app.verifier.verify(level, advance)
        if as_json:
            print_json(report)
        else:
            _print_report(report)
    if not report.ok:
        sys.exit(Exit.DISCREPANCY)


def require_database(ctx: click.Context) -> None:
    """Return if the database is there: one that was lost is not made anew, for an empty one agrees with everything.

    Raises:
        NotFound: there is no file, or nothing is in it.

    """
    url = ctx.find_root().params.get("database") or default_url()
    file = file_of(open_engine(url))
    if file and not (file.is_file() and file.stat().st_size):
        raise NotFound("database", url, "a file that holds a log; `trailkeep session open` makes one")


def _print_report(report: Report) -> None:
    for title, found in (
        ("log", report.log.faults),
        ("suspect media root", report.suspect_roots),
        ("lost", report.lost),
        ("orphan", report.orphans),
        ("changed", [f"{path}: {report.reasons[path]}" for path in report.changed]),
        ("playlist", report.playlists),
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
