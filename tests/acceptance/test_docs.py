"""The docs agree with the product: links lead somewhere, generated parts are fresh, the references are complete."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import msgspec
import pytest

from domain.events import EVENT_TYPES, Envelope, Event
from entrypoints.cli import main
from entrypoints.settings import ChannelConfig, Config, SourceConfig
from media.encoder_settings import RenditionSettings

TOP = Path(__file__).parents[2]
REFERENCE = TOP / "docs" / "reference"
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")
UNLINKED = "docs/reference/mutation.md"


def generator() -> ModuleType:
    """docs/generate.py, which is a script and not in a package."""
    spec = importlib.util.spec_from_file_location("generate_docs", TOP / "docs" / "generate.py")
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


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one."""
    _, _, rest = text.partition(f"\n## {heading}\n")
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    assert UNLINKED not in [(page.parent / link).resolve().relative_to(TOP.resolve()).as_posix() for link in links], (
        "the list of survivors is not part of what a reader is led to"
    )


def test_the_generated_diagrams_are_fresh() -> None:
    generate = generator()
    for target in generate.TARGETS:
        text = target.read_text(encoding="utf-8")
        assert "<!-- generated: " in text
        assert generate.filled(text) == text, f"{target.name} is stale: run python docs/generate.py"


@pytest.mark.parametrize("words", COMMANDS)
def test_the_reference_names_every_command_and_its_options(words: str) -> None:
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    assert f"`{words}" in text
    described = re.search(rf"`{words}\b(.*?)`", text, re.DOTALL)
    assert described is not None
    options = [parameter.opts[0] for parameter in COMMANDS[words].params if isinstance(parameter, click.Option)]
    assert [option for option in options if option not in described[1]] == []


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
    text = section((REFERENCE / "events.md").read_text(encoding="utf-8"), name)
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(event.__struct_fields__)


def test_the_reference_has_every_field_of_the_envelope_in_order() -> None:
    text = section((REFERENCE / "events.md").read_text(encoding="utf-8"), "Envelope")
    in_line = [field for field in Envelope.__struct_fields__ if field != "event"]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [*in_line, "type", "data"]


def test_the_rules_are_all_there_in_order() -> None:
    """R1 to R20."""
    text = (REFERENCE / "rules.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (R\d+) \|", text, re.MULTILINE) == [f"R{number}" for number in range(1, 21)]
