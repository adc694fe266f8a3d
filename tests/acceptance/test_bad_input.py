"""R20: bad input gets an error that names the field, the value and the rule, and leaves no trace."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from entrypoints.cli import main
from tests.acceptance.command_line import CHANNEL, TRAILKEEP, Store

pytestmark = pytest.mark.rule("R20")

FRESH = CHANNEL.format(batch_size=5).replace('"news"', '"fresh"')
LABEL = "1 to 63 letters a-z A-Z, digits, '_' and '-'"
SECONDS = "a number of seconds above 0, in whole milliseconds"
PATTERN = "one number such as %d or %03d"

Edit = tuple[str, str, tuple[str, ...]]

CONFIGS: list[Edit] = [
    ("batch_size = 5", "batch_size = 0", ("batch_size", "0", "1 to 10000 segments")),
    ("batch_size = 5", "batch_size = -1", ("batch_size", "-1", "1 to 10000 segments")),
    ("batch_size = 5", 'batch_size = "five"', ("channel[0].batch_size", "'five'", "Expected `int`")),
    ("batch_size = 5", "batch_size = 2.5", ("channel[0].batch_size", "2.5", "Expected `int`")),
    ("batch_size = 5", "batch_size = true", ("channel[0].batch_size", "True", "Expected `int`")),
    ("batch_size = 5", "", ("channel[0].batch_size", "it is missing")),
    ("wrap = 20", "wrap = 20\ncolour = 1", ("channel[0].colour", "1", "there is no such key")),
    ("wrap = 20", "wrap = -1", ("wrap", "-1", "0 (names never repeat)")),
    ("wrap = 20", f"wrap = {2**63}", ("channel[0].wrap", str(2**63), f"<= {2**63 - 1}")),
    ("wrap = 20", f"wrap = 0\nkeep_previous = {2**63}", ("channel[0].keep_previous", str(2**63), f"<= {2**63 - 1}")),
    ("wrap = 20", "wrap = 14", ("wrap", "14", "R5", "at least 15")),
    ("wrap = 20", 'wrap = "x"', ("channel[0].wrap", "'x'", "Expected `int`")),
    ("wrap = 20", 'pattern = "{rendition}.ts"', ("naming.pattern", "'{rendition}.ts'", PATTERN)),
    ("wrap = 20", 'pattern = "a/%03d.ts"', ("naming.pattern", "'a/%03d.ts'", PATTERN)),
    ("wrap = 20", 'pattern = "%03d.ts"', ("naming.pattern", "'%03d.ts'", "{rendition}")),
    ("wrap = 20", "playlist_window = -1", ("playlist_window", "-1", "at least batch_size, 5")),
    ("wrap = 20", "keep_previous = 0", ("keep_previous", "0", "R19")),
    ("wrap = 20", "keep_previous = -1", ("keep_previous", "-1", "1 or more")),
    ("wrap = 20", "min_free_bytes = -1", ("channel[0].min_free_bytes", "-1", "0 or more bytes")),
    ("wrap = 20", "max_failures = 0", ("channel[0].max_failures", "0", "1 or more")),
    ("wrap = 20", "frame_rate = 0", ("frame_rate", "0", "1 to 120 frames a second")),
    ("wrap = 20", 'source = {files = ["~nobody-at-all/a.mp4"]}', ("source.files", "~nobody-at-all", "is not known")),
    (
        "wrap = 20",
        'source = {files = ["gone.mp4"]}',
        ("channel fresh: source.files", "gone.mp4", "an existing"),
    ),
    ("wrap = 20", 'source = {file = "x"}', ("channel[0].source.file", "'x'", "there is no such key")),
    ("segment_seconds = 1", "segment_seconds = 0", ("segment_seconds", "'0'", SECONDS)),
    ("segment_seconds = 1", "segment_seconds = -1", ("segment_seconds", "'-1'", SECONDS)),
    ("segment_seconds = 1", "segment_seconds = 0.0001", ("segment_seconds", "'0.0001'", SECONDS)),
    ("segment_seconds = 1", "segment_seconds = 0.039", ("channel fresh: segment_seconds", "'0.039'", "a frame")),
    ("segment_seconds = 1", "segment_seconds = 1e400000", ("segment_seconds", "'1E+400000'", SECONDS)),
    ("segment_seconds = 1", "segment_seconds = nan", ("segment_seconds", "'NaN'", SECONDS)),
    ("segment_seconds = 1", "segment_seconds = 1e9", ("segment_seconds", "at most an hour")),
    ("segment_seconds = 1", 'segment_seconds = "1"', ("channel[0].segment_seconds", "'1'", "Expected `int")),
    ('"off"', '"sometimes"', ("channel[0].availability", "'sometimes'", "one of 'rfc8216', 'off'")),
    ('"asap"', '"slow"', ("channel[0].pace", "'slow'", "one of 'asap', 'wallclock'")),
    ('"asap"', '"wallclock"\ntrigger_threshold = 5', ("trigger_threshold", "5", "below batch_size, 5")),
    ('"asap"', '"wallclock"\ntrigger_threshold = 0', ("trigger_threshold", "0", "above 0")),
    ('"ultrafast"', '"warp"', ("preset", "'warp'", "one of ultrafast")),
    ("width = 160", "width = 161", ("90p.width", "161", "an even number of pixels")),
    ("width = 160", "width = 16", ("90p.width", "16", "from 32 to 8192")),
    ("width = 160", "", ("channel[0].rendition[0].width", "it is missing")),
    ("height = 90", "height = 9000", ("90p.height", "9000", "from 32 to 8192")),
    ("video_kbps = 100", "video_kbps = 1", ("90p.video_kbps", "1", "16 to 200000 kb/s")),
    ("video_kbps = 100", "video_kbps = 100\naudio_kbps = 1", ("90p.audio_kbps", "1", "16 to 512 kb/s")),
    ('"90p"', '"a/b"', ("rendition", "'a/b'", LABEL)),
    ('"90p"', '""', ("rendition", "''", LABEL)),
    ('"fresh"', '"../x"', ("channel", "'../x'", LABEL)),
    ('"fresh"', '"a b"', ("channel", "'a b'", LABEL)),
    ('"fresh"', '""', ("channel", "''", LABEL)),
    ('"fresh"', f'"{64 * "x"}"', ("channel", 64 * "x", LABEL)),
    ('"fresh"', "7", ("channel[0].name", "7", "Expected `str`")),
    ('"fresh"', '"news"', ("channel news", "batch_size", "5", "R20", "its open session has 2")),
    ('name = "fresh"', "", ("channel[0].name", "it is missing")),
    ('root = "media"', "", ("channel[0].root", "it is missing")),
    ('"media"', '"~nobody-at-all/media"', ("root", "~nobody-at-all", "the home directory that ~ stands for")),
    ('"media"', '"a\\u0000b"', ("root", "a path, without a zero byte")),
    ('"media"', '""', ("root", "''", "the path of a directory")),
    ('"media"', '"a\\nb"', ("root", "a\\nb'", "printable characters")),
    ("[[channel]]", "[channel]", ("channel", "'[channel]'", "an array of tables: [[channel]]")),
    ("[[channel.rendition]]", "[channel.rendition]", ("channel[0].rendition", "[[channel.rendition]]")),
    ("[[channel]]", "[[channel", ("config", "bad.toml", "a readable TOML file")),
    ("[[channel]]", "database = 7\n[[channel]]", ("database", "7", "Expected `str")),
    ("[[channel]]", 'databse = "x"\n[[channel]]', ("databse", "'x'", "there is no such key")),
    ("[[channel]]", 'database = ""\n[[channel]]', ("database", "''", "a URL of the form sqlite:///")),
    (FRESH, "", ("channel", "it is missing")),
    (FRESH, FRESH + FRESH, ("channel[0].name", "'fresh'", "each channel once")),
    (FRESH, FRESH + FRESH[FRESH.index("[[channel.r") :], ("renditions", "90p", "each rendition once")),
]

OPEN = ("session", "open", "fresh", "--root", "{dir}/media", "--batch-size")

WORDS: list[tuple[tuple[str, ...], int, tuple[str, ...]]] = [
    ((*OPEN, "0"), 2, ("batch_size", "0", "1 to 10000")),
    ((*OPEN, "x"), 2, ("--batch-size", "'x'", "not a valid integer")),
    ((*OPEN, "5", "--wrap", "-1"), 2, ("wrap", "-1", "0 (names never repeat)")),
    ((*OPEN, "5", "--wrap", "14"), 4, ("wrap", "14", "R5")),
    ((*OPEN, "5", "--segment-seconds", "abc"), 2, ("segment_seconds", "'abc'", SECONDS)),
    ((*OPEN, "5", "--segment-seconds", "1e400000"), 2, ("segment_seconds", "'1E+400000'", SECONDS)),
    ((*OPEN, "5", "--segment-seconds", "nan"), 2, ("segment_seconds", "'NaN'", SECONDS)),
    ((*OPEN, "5", "--playlist-window", "-1"), 2, ("playlist_window", "-1", "at least batch_size, 5")),
    ((*OPEN, "5", "--availability", "sometimes"), 2, ("--availability", "'sometimes'", "rfc8216")),
    ((*OPEN, "5", "--rendition", "a/b"), 2, ("rendition", "'a/b'", LABEL)),
    ((*OPEN, "5", "--rendition", "a", "--rendition", "A"), 2, ("renditions", "'A'", "once, whatever its case")),
    ((*OPEN, "5", "--root", ""), 2, ("root", "''", "the path of a directory")),
    (("session", "open", "..", "--root", "{dir}/media", "--batch-size", "2"), 2, ("channel", "'..'", LABEL)),
    (("session", "open", "fresh", "--batch-size", "2"), 2, ("--root", "Missing option")),
    (("session", "open", "news", "--root", "{dir}/media", "--batch-size", "2"), 4, ("channel", "'news'", "not closed")),
    (("session", "close", "nosuch"), 1, ("session", "'nosuch'", "the name of a channel")),
    (("session", "close", "news", "--disposition", "burn"), 2, ("--disposition", "'burn'", "'keep', 'purge'")),
    (("session", "close", "news", "--reason", ""), 2, ("reason", "''", "a few words")),
    ((*OPEN, "5", "--wrap", str(2**63)), 2, ("--wrap", str(2**63), f"x<={2**63 - 1}")),
    ((*OPEN, "5", "--playlist-window", str(2**63)), 2, ("--playlist-window", str(2**63), f"x<={2**63 - 1}")),
    ((*OPEN[:-2], "~nobody-at-all/x", "--batch-size", "2"), 2, ("root", "~nobody-at-all", "is not known")),
    (("batch", "start", "news", "--source", ""), 2, ("source", "''", "a few words")),
    (("batch", "start", "news", "--source", " \t"), 2, ("source", "' \\t'", "a few words")),
    (("batch", "fail", "news", "--reason", "\n"), 2, ("reason", "'\\n'", "a few words")),
    (("batch", "start", "nosuch"), 1, ("session", "'nosuch'", "the name of a channel")),
    (("batch", "complete", "news"), 4, ("batch", "3", "no batch is being generated")),
    (("batch", "fail", "news", "--reason", "x"), 4, ("batch", "3", "no batch is being generated")),
    (("batch", "fail", "news"), 2, ("--reason", "Missing option")),
    (("history", "nosuch"), 1, ("session", "'nosuch'", "the name of a channel")),
    (("history", "news", "--at", "yesterday"), 2, ("at", "'yesterday'", "an ISO 8601 time")),
    (("events", "--after", "-1"), 2, ("--after", "-1", "0<=x<=")),
    (("events", "--after", "9" * 20), 2, ("--after", "9" * 20, f"x<={2**63 - 1}")),
    (("replay", "news", "--to", "0"), 2, ("--to", "0", "1<=x<=")),
    (("replay", "news", "--to", "9" * 20), 2, ("--to", "9" * 20, f"x<={2**63 - 1}")),
    (("session", "show", "\udcff"), 2, ("session", "text in UTF-8")),
    (("session", "list", "--channel", "\udcff"), 2, ("channel", LABEL)),
    ((*OPEN[:-2], "{dir}/\udcff", "--batch-size", "2"), 2, ("root", "text in UTF-8")),
    (("demo", "--dir", "{dir}/\udcff"), 2, ("dir", "text in UTF-8")),
    (("explain", "~nobody-at-all/x.ts"), 2, ("file", "~nobody-at-all", "is not known")),
    (("verify", "--level", "deep"), 2, ("--level", "'deep'", "'presence', 'size', 'identity'")),
    (("run", "{dir}/gone.toml"), 2, ("config", "gone.toml", "a readable TOML file (No such file or directory)")),
    (("run", "{dir}"), 2, ("config", "a readable TOML file (Is a directory)")),
    (("run", "{dir}/good.toml", "--batches", "0"), 2, ("--batches", "0", "x>=1")),
    (("demo", "--batches", "0"), 2, ("--batches", "0", "1<=x<=200")),
    (("demo", "--segment-seconds", "0", "--dir", "{dir}/new"), 2, ("segment_seconds", "'0'", SECONDS)),
    (("demo", "--segment-seconds", "3601", "--dir", "{dir}/new"), 2, ("segment_seconds", "3601", "at most an hour")),
    (("demo", "--dir", "{dir}"), 2, ("dir", "a directory that is new or empty")),
    (("nosuch",), 2, ("command", "'nosuch'", "No such command")),
    (("plan", "--nosuch"), 2, ("option", "--nosuch", "No such option")),
    (("explain",), 2, ("'FILE'", "Missing argument")),
    (("project", "now"), 2, ("now", "unexpected extra argument")),
]

ENVIRONMENTS: list[tuple[str, str, tuple[str, ...]]] = [
    ("TRAILKEEP_DATABASE_URL", "nonsense", ("database", "'nonsense'", "sqlite:////path/to/file")),
    ("TRAILKEEP_DATABASE_URL", "mysql://x/y", ("database", "mysql://x/y", "sqlite:////path/to/file")),
    ("TRAILKEEP_DATABASE_URL", "sqlite://", ("database", "'sqlite://'", "must outlive the process")),
    ("TRAILKEEP_DATABASE_URL", "sqlite:///{dir}", ("database", "{dir}", "unable to open")),
    ("TRAILKEEP_DATABASE_URL", "sqlite:///{dir}/good.toml", ("database", "good.toml", "not a database")),
    ("TRAILKEEP_DATABASE_URL", "sqlite:///{dir}/\udcff", ("database", "of printable characters")),
    ("TRAILKEEP_HOME", "~nobody-at-all/x", ("TRAILKEEP_HOME", "~nobody-at-all", "is not known")),
    ("TRAILKEEP_HOME", "{dir}/good.toml", ("database", "good.toml", "File exists")),
    ("TRAILKEEP_FFMPEG", "/no/ffmpeg", ("ffmpeg", "'/no/ffmpeg'", "an executable file")),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three batches of a channel; no case may change anything of it."""
    made = Store(tmp_path_factory.mktemp("store"))
    made.open("--wrap", "20")
    made.produce(3)
    (made.directory / "good.toml").write_text(FRESH)
    return made


def traces(store: Store) -> tuple[object, ...]:
    return sorted(map(str, store.directory.rglob("*"))), store.events()


def is_refused(store: Store, call: Callable[[], Result], code: int, said: tuple[str, ...]) -> None:
    before = traces(store)
    result = call()
    assert (result.exit_code, result.stdout) == (code, "")
    assert isinstance(result.exception, SystemExit)
    for part in said:
        assert part in result.stderr
    assert "Traceback" not in result.stderr
    assert traces(store) == before


@pytest.mark.parametrize(
    ("right", "wrong", "said"), CONFIGS, ids=[wrong[:40] or right[:20] for right, wrong, _ in CONFIGS]
)
def test_a_configuration_that_breaks_a_rule_is_refused(
    store: Store, right: str, wrong: str, said: tuple[str, ...]
) -> None:
    """R20."""
    config = store.directory / "bad.toml"
    assert right in FRESH
    config.write_text(FRESH.replace(right, wrong, 1))
    code = 4 if "R5" in said or "R20" in said else 2
    is_refused(store, lambda: store.invoke("run", str(config), "--batches", "1"), code, said)


@pytest.mark.parametrize(
    "term", ["batch_size = 0", "batch_size = 5\nkeep_previous = 0", "batch_size = 5\npattern = ''"]
)
def test_a_term_that_can_never_hold_is_told_as_that_also_beside_an_open_session(store: Store, term: str) -> None:
    """R20: as an error of the file, not as a difference between the two."""
    config = store.directory / "bad.toml"
    text = FRESH.replace('"fresh"', '"news"').replace("wrap = 20\n", "")
    config.write_text(text.replace("batch_size = 5", term))
    field, _, value = term.splitlines()[-1].partition(" = ")
    is_refused(store, lambda: store.invoke("run", str(config)), 2, ("channel news: ", field, value, "is not allowed"))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00"], ids=["no UTF-8", "a zero byte"])
def test_a_configuration_that_is_no_text_is_refused(store: Store, content: bytes) -> None:
    """R20."""
    config = store.directory / "bad.toml"
    config.write_bytes(content)
    is_refused(store, lambda: store.invoke("run", str(config)), 2, ("config", "bad.toml", "a readable TOML file"))


@pytest.mark.parametrize(("words", "code", "said"), WORDS, ids=[" ".join(words) for words, _, _ in WORDS])
def test_a_command_line_that_breaks_a_rule_is_refused(
    store: Store, words: tuple[str, ...], code: int, said: tuple[str, ...]
) -> None:
    """R20."""
    is_refused(store, lambda: store.invoke(*(word.format(dir=store.directory) for word in words)), code, said)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "gone.toml"),
        ("run", "bad.toml"),
        ("session", "open", "fresh", "--root", "media", "--batch-size", "0"),
        ("session", "open", "fresh", "--root", "media", "--batch-size", "5", "--wrap", "14"),
        ("session", "open", "a b", "--root", "media", "--batch-size", "5"),
        ("session", "open", "fresh", "--root", "me\ndia", "--batch-size", "5"),
        ("batch", "start", "fresh", "--source", ""),
        ("batch", "fail", "fresh", "--reason", ""),
        ("session", "close", "fresh", "--reason", ""),
        ("history", "fresh", "--at", "yesterday"),
        ("explain", ""),
        ("demo", "--segment-seconds", "3601", "--dir", "new"),
    ],
    ids=" ".join,
)
def test_what_is_refused_at_once_makes_no_database_and_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """R20: on a machine where Trailkeep was never used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAILKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TRAILKEEP_DATABASE_URL", raising=False)
    config = tmp_path / "bad.toml"
    config.write_text(FRESH.replace("batch_size = 5", "batch_size = 0"))
    result = CliRunner().invoke(main, words)
    assert result.exit_code in {2, 4}
    assert result.stderr.startswith(("Error: ", "Usage: "))
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.parametrize(
    "words",
    [
        "plan",
        "project",
        "verify",
        "session open news --root media --batch-size 2",
        "db upgrade",
        "db current",
        "doctor",
    ],
)
def test_an_empty_name_of_a_database_is_not_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """R20: a script's variable that was never set; but an empty environment variable is one that is not set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAILKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRAILKEEP_DATABASE_URL", f"sqlite:///{tmp_path}/log.db")
    result = CliRunner().invoke(main, ["--database", "", *words.split()])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "Error: database: '' is not allowed: it must be a URL of the form sqlite:////path/to/file or "
        "postgresql://user@host/database\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_empty_environment_variable_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAILKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRAILKEEP_DATABASE_URL", "")
    result = CliRunner().invoke(main, ["plan"])
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "home").iterdir() if path.suffix == ".db"] == ["trailkeep.db"]


@pytest.mark.parametrize(
    "words",
    [
        "session show news",
        "session close news",
        "batch start news",
        "batch complete news",
        "batch fail news --reason x",
        "events news",
        "history news",
        "replay news",
        "explain media/news/a/a_segment_000.ts",
        "purge --confirm 00",
        "root trust media --reason x",
        "repair lost news",
        "verify",
    ],
)
def test_what_is_about_something_that_is_recorded_makes_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """R20: where the path of the database was mistyped, say, or the database is lost."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["--database", f"sqlite:///{tmp_path}/typo.db", *words.split()])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: database: 'sqlite:///{tmp_path}/typo.db' is not known")
    assert list(tmp_path.iterdir()) == []


def test_no_channel_is_opened_before_all_of_them_are_known_to_fit(store: Store) -> None:
    """R20: nothing is half-done."""
    config = store.directory / "bad.toml"
    config.write_text(FRESH + FRESH.replace('"fresh"', '"news"'))
    is_refused(store, lambda: store.invoke("run", str(config)), 4, ("channel news: batch_size", "5", "R20"))


@pytest.mark.parametrize("words", ["events", "events --json", "verify --json", "plan"])
def test_an_answer_that_cannot_be_written_is_an_error_of_one_line(store: Store, words: str) -> None:
    """R20: and the exit code says so."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            store.command(*words.split()), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "Error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize(("name", "value", "said"), ENVIRONMENTS)
def test_an_environment_that_breaks_a_rule_is_refused(
    store: Store, name: str, value: str, said: tuple[str, ...]
) -> None:
    """R20."""
    before = traces(store)
    environment = {**os.environ, name: value.format(dir=store.directory)}
    database = ["--database", store.database] if name == "TRAILKEEP_FFMPEG" else []
    done = subprocess.run(
        [TRAILKEEP, *database, "run", str(store.directory / "good.toml")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {1, 2}
    for part in said:
        assert part.format(dir=store.directory) in done.stderr
    assert "Traceback" not in done.stderr
    assert traces(store) == before
