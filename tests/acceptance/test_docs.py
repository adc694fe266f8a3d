"""The docs agree with the product: links lead somewhere, generated parts are fresh, references and examples hold."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import msgspec
import pytest

from domain.events import EVENT_TYPES, Envelope, Event
from entrypoints.cli import main
from entrypoints.settings import ChannelConfig, Config, SourceConfig, load_config
from media.encoder_settings import RenditionSettings
from persistence import codec
from tests.acceptance.command_line import Store

TOP = Path(__file__).parents[2]
REFERENCE = TOP / "docs" / "reference"
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")])
EVENTS = (REFERENCE / "events.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")


def generator(script: str = "generate") -> ModuleType:
    """A script of docs/, which are in no package."""
    spec = importlib.util.spec_from_file_location(f"{script}_docs", TOP / "docs" / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(group: click.Group, words: tuple[str, ...] = ("trailkeep",)) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


COMMANDS = dict(commands(main))


def code_blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


CONFIGURATIONS = {
    str(page.relative_to(TOP)): block
    for page in PAGES
    for block in code_blocks(page.read_text(encoding="utf-8"), "toml")
}


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one."""
    _, _, rest = text.partition(f"\n## {heading}\n")
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_every_module_that_is_named_is_there(page: Path) -> None:
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (TOP / path).exists()] == []


def test_the_generated_diagrams_are_fresh() -> None:
    generate = generator()
    for target in generate.TARGETS:
        text = target.read_text(encoding="utf-8")
        assert "<!-- generated: " in text
        assert generate.filled(text) == text, f"{target.name} is stale: run python docs/generate.py"


def test_the_picture_of_what_grows_is_that_of_its_figures() -> None:
    plot = generator("plot")
    figures = json.loads(plot.FIGURES.read_text(encoding="utf-8"))
    assert plot.drawn(figures) == plot.PICTURE.read_text(encoding="utf-8"), "run python docs/plot.py"


@pytest.mark.parametrize("words", COMMANDS)
def test_the_reference_names_every_command_and_its_options(words: str) -> None:
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    assert f"`{words}" in text
    described = re.search(rf"`{words}\b(.*?)`", text, re.DOTALL)
    assert described is not None
    options = [parameter.opts[0] for parameter in COMMANDS[words].params if isinstance(parameter, click.Option)]
    assert [option for option in options if option not in described[1]] == []


def test_the_reference_names_no_command_that_is_not_there() -> None:
    named = re.findall(r"^- `trailkeep ([^`]+?)`", (REFERENCE / "cli.md").read_text(encoding="utf-8"), re.MULTILINE)
    words = {re.split(r" (?=[^a-z])", command.replace("\n", " "))[0] for command in named}
    assert {f"trailkeep {command}" for command in words} == COMMANDS.keys()


@pytest.mark.parametrize(
    ("heading", "struct"),
    [
        ("Top level", Config),
        ("`[[channel]]`", ChannelConfig),
        ("`source`", SourceConfig),
        ("`[[channel.rendition]]`", RenditionSettings),
    ],
)
def test_the_reference_has_every_configuration_key_and_no_other(heading: str, struct: type[msgspec.Struct]) -> None:
    text = section((REFERENCE / "configuration.md").read_text(encoding="utf-8"), heading)
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(struct.__struct_fields__)


@pytest.mark.parametrize(("name", "event"), EVENT_TYPES.items())
def test_the_reference_has_every_field_of_every_event_in_order(name: str, event: type[Event]) -> None:
    text = section(EVENTS, name)
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(event.__struct_fields__)


def test_the_reference_has_every_field_of_the_envelope_in_order() -> None:
    text = section(EVENTS, "Envelope")
    in_line = [field for field in Envelope.__struct_fields__ if field != "event"]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [*in_line, "type", "data"]


def test_the_rules_are_all_there_in_order() -> None:
    """R1 to R20."""
    text = (REFERENCE / "rules.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (R\d+) \|", text, re.MULTILINE) == [f"R{number}" for number in range(1, 21)]


@pytest.mark.parametrize(("name", "event"), EVENT_TYPES.items())
def test_the_example_of_every_event_can_be_read_and_lacks_no_field(name: str, event: type[Event]) -> None:
    (example,) = code_blocks(section(EVENTS, name), "json")
    msgspec.json.decode(example, type=event)
    assert list(json.loads(example)) == list(event.__struct_fields__)


def test_the_example_of_a_line_can_be_read() -> None:
    (line,) = code_blocks(section(EVENTS, "Envelope"), "json")
    assert codec.decode(line.strip().encode(), position=1).version == json.loads(line)["version"]


@pytest.mark.parametrize("page", CONFIGURATIONS)
def test_every_configuration_that_is_shown_is_accepted(page: str, tmp_path: Path) -> None:
    path = tmp_path / "news.toml"
    path.write_text(CONFIGURATIONS[page], encoding="utf-8")
    assert load_config(path).channel


def test_the_script_of_the_docs_computes_the_root_that_verify_prints(tmp_path: Path) -> None:
    """RFC 9162 section 2.1, from nothing but the recorded lines."""
    store = Store(tmp_path)
    store.answer("session", "open", "news", "--root", str(store.root), "--batch-size", "5")
    for reason in ("source went away", "disk full"):
        store.answer("batch", "start", "news")
        store.answer("batch", "fail", "news", "--reason", reason)
    (script,) = code_blocks((TOP / "docs" / "explanation" / "evidence.md").read_text(encoding="utf-8"), "python")
    lines = store.invoke("events", "--json").stdout
    assert lines.count("\n") == 5
    computed = subprocess.run([sys.executable, "-c", script], input=lines, capture_output=True, text=True, check=True)
    assert computed.stdout.strip() == store.answer("verify")["log"]["root"]


def test_the_changelog_tells_of_this_version() -> None:
    version = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert re.search(rf"^## {re.escape(version)} - ", (TOP / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
