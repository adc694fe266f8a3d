"""What msgspec says of a configuration that it cannot take, in the words of the file: channel, key, value and rule."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from typing import Any, get_type_hints

from domain.errors import Invalid, Refused


class Missing(Invalid):
    """A key that must be given and is not."""

    def __init__(self, field: str) -> None:
        super().__init__(field, None, "it must be given")
        self.args = (f"{field}: it is missing, and must be given",)


@contextmanager
def of_channel(name: str) -> Iterator[None]:
    """Let an error of one channel say which one it is."""
    try:
        yield
    except Invalid as error:
        raise Invalid(f"channel {name}: {error.field}", error.value, error.rule) from None
    except Refused as error:
        raise Refused(error.rule, f"channel {name}: {error.field}", error.value, error.reason) from None


def invalid(message: str, raw: dict[str, Any], kinds: type) -> Invalid:
    """The error for a message such as ``Expected `int`, got `str` - at `$.channel[0].wrap` ``.

    ``raw`` is the file as it was read; of ``kinds``, the struct of its tables, enumerations are looked up.
    """
    rule, _, path = message.rpartition(" - at `$") if " - at `$" in message else (message, "", "")
    path = path.rstrip("`").lstrip(".")
    if missing := re.search(r"missing required field `(.+?)`", rule):
        return Missing(f"{path}.{missing[1]}".lstrip("."))
    if unknown := re.search(r"unknown field `(.+)`", rule, re.DOTALL):
        table = _at(raw, path)
        value = table.get(unknown[1]) if isinstance(table, dict) else None
        return Invalid(f"{path}.{unknown[1]}".lstrip("."), _readable(value), "there is no such key")
    value, key = _at(raw, path), path.rpartition(".")[2]
    if rule.startswith("Expected `array`") and isinstance(value, dict):
        table = re.sub(r"\[\d+\]", "", path)
        return Invalid(path, f"[{table}]", f"an array of tables: [[{table}]]")
    if rule.startswith("Invalid enum value"):
        enumeration: type[StrEnum] = get_type_hints(kinds)[key]
        rule = "one of " + ", ".join(repr(one.value) for one in enumeration)
    return Invalid(path or "config", _readable(value), rule)


def _readable(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _at(raw: dict[str, Any], path: str) -> Any:
    value: Any = raw
    for key in re.findall(r"[^.\[\]]+", path):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value
