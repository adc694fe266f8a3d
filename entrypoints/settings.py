"""What users say: the environment and the configuration file of `trailkeep run`, checked before anything is touched."""

import os
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from application.generation import Terms
from application.producer import Pace, ProducerSettings
from domain.errors import Invalid, NotFound
from domain.events import Availability, Policy
from domain.segments import DEFAULT_PATTERN, DEFAULT_WRAP
from media.encoder_settings import RenditionSettings

DATABASE_FILE = "trailkeep.db"


def home(environment: Mapping[str, str] = os.environ) -> Path:
    """Trailkeep's data directory: TRAILKEEP_HOME, or the user's data directory (XDG Base Directory)."""
    if given := environment.get("TRAILKEEP_HOME"):
        return Path(given).expanduser().absolute()
    base = environment.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser().absolute() / "trailkeep"


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
    if not seconds.is_finite() or seconds <= 0 or seconds * 1000 != int(seconds * 1000):
        raise Invalid(field, str(seconds), "a number of seconds above 0, in whole milliseconds")
    return int(seconds * 1000)


def media_root(given: str, directory: Path) -> str:
    """The real path of a media root; a relative one is relative to ``directory``.

    Raises:
        Invalid: it is empty, which would silently mean ``directory`` itself.

    """
    if not given:
        raise Invalid("root", given, "the path of a directory")
    return str((directory / Path(given).expanduser()).resolve())


class SourceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``files`` to play in a loop; without any, a test picture with a running clock and a tone."""

    files: tuple[str, ...] = ()


class ChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[channel]]`` of the configuration; docs/reference/configuration.md describes every key."""

    name: str
    root: str
    batch_size: int
    segment_seconds: int | Decimal = 2
    wrap: int = DEFAULT_WRAP
    pattern: str = DEFAULT_PATTERN
    playlist_window: int | None = None
    keep_previous: int = 1
    availability: Availability = Availability.RFC8216
    pace: Pace = Pace.WALLCLOCK
    trigger_threshold: int | None = None
    min_free_bytes: int = 0
    max_failures: int = 5
    source: SourceConfig = SourceConfig()
    rendition: tuple[RenditionSettings, ...]
    preset: str = "veryfast"
    frame_rate: int = 25


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration file of ``trailkeep run``."""

    channel: tuple[ChannelConfig, ...]
    database: str | None = None


def load_config(path: Path) -> Config:
    """Read and check a configuration file; relative paths in it are relative to its directory.

    Raises:
        NotFound: there is no such file.
        Invalid: it is not TOML, or a value of it breaks a rule.

    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        raise NotFound("config", str(path), "a readable TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid("config", str(path), f"a readable TOML file ({error})") from None
    try:
        config = msgspec.convert(raw, Config, builtin_types=(Decimal,))
    except msgspec.ValidationError as error:
        raise _invalid(str(error), raw) from None
    _check(config)
    return config


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


def _invalid(message: str, raw: dict[str, Any]) -> Invalid:
    """A msgspec message (``Expected `int`, got `str` - at `$.channel[0].wrap` ``) as field, value and rule."""
    rule, _, path = message.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    if (unknown := re.search(r"unknown field `(.+?)`", rule)) or (
        unknown := re.search(r"missing required field `(.+?)`", rule)
    ):
        path = f"{path}.{unknown[1]}".lstrip(".")
    value: Any = raw
    for key in re.findall(r"[^.\[\]]+", path):
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, TypeError, ValueError):
            value = None
    return Invalid(path or "config", value, rule)
