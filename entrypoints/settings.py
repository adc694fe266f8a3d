"""What users say in the configuration file of `trailkeep run` and in options, checked before anything is touched."""

import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import msgspec

from application.generation import Terms
from application.pace import Pace
from application.producer import ProducerSettings
from domain.commands import OpenSession
from domain.decisions import decide
from domain.errors import Invalid
from domain.events import Availability, MediaRoot, Naming, Policy
from domain.segments import DEFAULT_PATTERN, DEFAULT_WRAP
from domain.session import Session
from entrypoints.places import media_root
from entrypoints.toml_errors import invalid, of_channel
from media.encoder_settings import RenditionSettings
from persistence.urls import parse

LONGEST_CONFIG = 2**20

NEWEST = 2**63 - 1
"""The greatest number that the database and an event can hold."""

Count = Annotated[int, msgspec.Meta(ge=-NEWEST - 1, le=NEWEST)]


def seconds(value: str) -> Decimal:
    """A number of seconds as it was typed.

    Raises:
        Invalid: it is not a number.

    """
    try:
        return Decimal(value)
    except InvalidOperation:
        raise Invalid("segment_seconds", value, "a number of seconds above 0, in whole milliseconds") from None


def milliseconds(field: str, seconds: Decimal) -> int:
    """Whole milliseconds of a number of seconds.

    Raises:
        Invalid: it is not a whole number of milliseconds above 0.

    """
    if not seconds.is_finite() or not 0 < seconds <= NEWEST or seconds * 1000 != int(seconds * 1000):
        raise Invalid(field, str(seconds), "a number of seconds above 0, in whole milliseconds")
    return int(seconds * 1000)


class SourceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``files`` to play in a loop; without any, a test picture with a running clock and a tone."""

    files: tuple[str, ...] = ()


class ChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[channel]]`` of the configuration; docs/reference/configuration.md describes every key."""

    name: str
    root: str
    batch_size: Count
    segment_seconds: int | Decimal = 2
    wrap: Count = DEFAULT_WRAP
    pattern: str = DEFAULT_PATTERN
    playlist_window: Count | None = None
    keep_previous: Count = 1
    availability: Availability = Availability.RFC8216
    pace: Pace = Pace.WALLCLOCK
    trigger_threshold: Count | None = None
    min_free_bytes: Count = 0
    max_failures: Count = 5
    source: SourceConfig = SourceConfig()
    rendition: tuple[RenditionSettings, ...]
    preset: str = "veryfast"
    frame_rate: Count = 25


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration file of ``trailkeep run``."""

    channel: tuple[ChannelConfig, ...]
    database: str | None = None


def load_config(path: Path) -> Config:
    """Read and check a configuration file; relative paths in it are relative to its directory.

    Raises:
        Invalid: there is no such file, it is not TOML, or a value of it breaks a rule.
        Refused: the names of a channel's segments would have to collide (R5).

    """
    try:
        raw = tomllib.loads(_text(path), parse_float=Decimal)
    except OSError as error:
        raise Invalid("config", str(path), f"a readable TOML file ({error.strerror})") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid("config", str(path), f"a readable TOML file ({error})") from None
    try:
        config = msgspec.convert(raw, Config, builtin_types=(Decimal,))
    except msgspec.ValidationError as error:
        raise invalid(str(error), raw, ChannelConfig) from None
    _check(config)
    for channel in config.channel:
        with of_channel(channel.name):
            check(terms_of(channel, path.parent.absolute()))
    return config


def _text(path: Path) -> str:
    """What the file says; it may be a pipe, but not one without an end."""
    with path.open("rb") as file:
        content = file.read(LONGEST_CONFIG + 1)
    if len(content) > LONGEST_CONFIG:
        raise Invalid("config", str(path), f"a TOML file of at most {LONGEST_CONFIG} bytes")
    return content.decode()


def terms_of(channel: ChannelConfig, directory: Path) -> Terms:
    """What the channel's session is opened with."""
    window = channel.playlist_window
    return Terms(
        channel=channel.name,
        root=media_root(channel.root, directory),
        batch_size=channel.batch_size,
        renditions=tuple(rendition.name for rendition in channel.rendition),
        pattern=channel.pattern,
        wrap=channel.wrap,
        segment_ms=milliseconds("segment_seconds", Decimal(channel.segment_seconds)),
        playlist_window=default_window(channel.batch_size, channel.keep_previous) if window is None else window,
        policy=Policy(keep_previous=channel.keep_previous, availability=channel.availability),
    )


def check(terms: Terms) -> None:
    """Return if a session can live by these terms; no database and no disk is needed to tell.

    Raises:
        Invalid: one of them can never hold.
        Refused: its names would have to collide (R5).

    """
    command = OpenSession(
        channel=terms.channel,
        ordinal=1,
        media_root=MediaRoot(path=terms.root, root_id=""),
        batch_size=terms.batch_size,
        renditions=terms.renditions,
        naming=Naming(pattern=terms.pattern, wrap=terms.wrap),
        segment_ms=terms.segment_ms,
        playlist_window=terms.playlist_window,
        policy=terms.policy,
    )
    decide(Session(""), command)


def default_window(batch_size: int, keep_previous: int = 1) -> int:
    """The playlist lists what is kept while nothing is being generated."""
    return batch_size * (keep_previous + 1)


def producer_settings(channel: ChannelConfig) -> ProducerSettings:
    """How the channel is produced."""
    return ProducerSettings(
        pace=channel.pace,
        trigger_threshold=_threshold(channel),
        min_free_bytes=channel.min_free_bytes,
        max_failures=channel.max_failures,
    )


def _threshold(channel: ChannelConfig) -> int:
    if channel.trigger_threshold is None:
        return max(1, channel.batch_size // 2)
    return channel.trigger_threshold


def _check(config: Config) -> None:
    if config.database is not None:
        parse(config.database)
    if not config.channel:
        raise Invalid("channel", [], "at least one [[channel]]")
    names = [channel.name for channel in config.channel]
    for index, channel in enumerate(config.channel):
        field = f"channel[{index}]"
        if names.count(channel.name) > 1:
            raise Invalid(f"{field}.name", channel.name, "each channel once")
        if channel.pace is Pace.WALLCLOCK and not 0 < _threshold(channel) < channel.batch_size:
            raise Invalid(
                f"{field}.trigger_threshold", _threshold(channel), f"above 0 and below batch_size, {channel.batch_size}"
            )
        if channel.min_free_bytes < 0:
            raise Invalid(f"{field}.min_free_bytes", channel.min_free_bytes, "0 or more bytes")
        if channel.max_failures < 1:
            raise Invalid(f"{field}.max_failures", channel.max_failures, "1 or more")
