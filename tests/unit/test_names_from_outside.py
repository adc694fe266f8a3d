"""Text that somebody else chose, where it is shown and where it is looked up: it acts on nothing and breaks nothing."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from domain.errors import Invalid
from domain.events import BatchFailed, Naming
from domain.segments import file_name, newest_number
from entrypoints.cli import main
from entrypoints.cli.render import err, out, sentence, shown, table
from entrypoints.settings import LONGEST_CONFIG, load_config
from entrypoints.world import Uuids
from media.segment_root import SegmentRoots
from persistence.engine import open_engine
from tests.builders import a_session, an_id, recorded

pytestmark = pytest.mark.rule("R20")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("\u202egnp.ts", r"\u202egnp.ts"),
        ("\udcff.ts", r"\udcff.ts"),
    ],
)
def test_what_a_terminal_would_act_on_is_shown_as_an_escape(text: str, escaped: str) -> None:
    assert shown(text) == escaped
    with out.capture() as printed:
        out.print(f"orphan: {text}", markup=False)
        out.print(table(["name"], [[text]]))
        out.print(sentence(recorded(a_session(), BatchFailed(batch=0, attempt=1, reason=text))))
    lines = printed.get().splitlines()
    assert [escaped in line for line in lines] == [True, False, True, True], "the second is the header"
    assert {one for one in printed.get() if not one.isprintable()} == {"\n"}


def test_a_name_can_be_what_people_write() -> None:
    text = "Nachrichten 新闻 📺 a'b"
    assert shown(text) == text


def test_markup_in_a_cell_is_text() -> None:
    with out.capture() as printed:
        out.print(table(["name"], [["[red]x[/red] [/]"]]))
    assert "[red]x[/red] [/]" in printed.get()


def test_what_begins_with_a_newline_is_set_apart_and_else_a_print_is_a_line() -> None:
    with err.capture() as printed:
        err.print("\nAsk\nfurther:", markup=False)
    assert printed.get() == "\nAsk\\nfurther:\n"


@pytest.mark.parametrize(
    "pattern", ["x", "%s", "{rendition}", "{rendition}%d%d", "%(x)s", "{rendition}%d.m3u8", "{0}%d"]
)
def test_a_pattern_that_gives_no_names_is_never_formatted(pattern: str) -> None:
    """Also where it did not come through the opening of a session, but from a log that somebody rewrote."""
    naming = Naming(pattern=pattern, wrap=0)
    for ask in (lambda: file_name(naming, "v", 1), lambda: newest_number(naming, "v", "v_1.ts", 9)):
        with pytest.raises(Invalid, match=r"naming\.pattern"):
            ask()


@pytest.mark.parametrize("root", ["/srv/\x1b[2J", "/srv/a\nb", "/srv/\udcff", "/srv/\u202ex", "/srv/\0"])
def test_a_media_root_is_a_path_that_can_be_written_down(root: str) -> None:
    with pytest.raises(Invalid, match=r"media_root: .* an absolute path of printable characters"):
        SegmentRoots().read_marker(root)


@pytest.mark.parametrize(
    "url", ["sqlite:////tmp/\x1b", "sqlite:////tmp/\udcff", "sqlite:////tmp/%00", "sqlite:////tmp/%1b"]
)
def test_a_database_is_called_what_can_be_written_down(url: str) -> None:
    with pytest.raises(Invalid, match=r"database: .* of printable characters"):
        open_engine(url)


def test_an_id_is_derived_from_any_text() -> None:
    assert Uuids().derive(an_id(1), "\udcff/1") != Uuids().derive(an_id(1), "news/1")


@pytest.mark.parametrize("key", ["a.b", "x[0]", "", "a`b", "é", "a\nb", "x - at `$.channel"])
def test_an_unknown_key_may_be_called_anything(tmp_path: Path, key: str) -> None:
    quoted = key.replace("\n", "\\n")
    (tmp_path / "x.toml").write_text(f'[[channel]]\n"{quoted}" = 1\n', encoding="utf-8")
    with pytest.raises(Invalid):
        load_config(tmp_path / "x.toml")


def test_a_configuration_has_an_end(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"#" * (LONGEST_CONFIG + 1))
    for path in (tmp_path / "x.toml", Path("/dev/zero")):
        with pytest.raises(Invalid, match=f"a TOML file of at most {LONGEST_CONFIG} bytes"):
            load_config(path)


@pytest.mark.parametrize(
    "words",
    [
        ("session", "list", "--channel", os.fsdecode(b"\xff")),
        ("explain", "--json", os.fsdecode(b"/nowhere/\xff")),
        ("explain", os.fsdecode(b"/nowhere/\xff")),
        ("history", os.fsdecode(b"\xff")),
        ("plan", "\x1b[31m"),
    ],
)
def test_a_word_may_be_any_bytes(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, ["--database", f"sqlite:///{tmp_path / 'log.db'}", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert {one for one in result.output if not one.isprintable()} <= {"\n"}
