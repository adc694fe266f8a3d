"""R1 to R11 and R13 to R20 over generated histories of a channel, against an oracle of their own.

Each class generates histories of its own; what they have in common is in `ChannelMachine`.
"""

from typing import Any, ClassVar

import pytest

from tests.property.channel_machine import ChannelMachine

pytestmark = [
    pytest.mark.rule(*(f"R{number}" for number in range(1, 21) if number != 12)),
    pytest.mark.timeout(1800),  # a history that fails is made short before it is shown
]


class AnyHistory(ChannelMachine):
    """Whatever may happen."""


class LargeBatches(ChannelMachine):
    """R17 to R19: there is something left when something is lost."""

    always: ClassVar[dict[str, Any]] = {"batch_size": 2, "window": 4, "renditions": ("v", "a")}
    most_sessions = 2


class OneLongSession(ChannelMachine):
    """No session is closed."""

    most_sessions = 1


class OneLongSessionWithAPlaylist(ChannelMachine):
    """R8, R13: what leaves a playlist stays for a while."""

    always: ClassVar[dict[str, Any]] = {"waits": True, "window": 3, "batch_size": 1}
    most_sessions = 1


class PlayersWait(ChannelMachine):
    """R13: every segment stays as long as RFC 8216 section 6.2.2 wants."""

    always: ClassVar[dict[str, Any]] = {"waits": True}


class NamesRunShort(ChannelMachine):
    """R5: names repeat as soon as they may."""

    always: ClassVar[dict[str, Any]] = {"spare": 0}


class NamesRunShortInOneSession(ChannelMachine):
    """R5: and there is one session alone."""

    always: ClassVar[dict[str, Any]] = {"spare": 0}
    most_sessions = 1


class RenditionsComeAndGo(ChannelMachine):
    """R8, R19: many short sessions."""

    always: ClassVar[dict[str, Any]] = {"batch_size": 1}
    most_sessions = 8


class TestAnyHistory(AnyHistory.TestCase):  # type: ignore[misc]
    pass


class TestLargeBatches(LargeBatches.TestCase):  # type: ignore[misc]
    pass


class TestOneLongSession(OneLongSession.TestCase):  # type: ignore[misc]
    pass


class TestOneLongSessionWithAPlaylist(OneLongSessionWithAPlaylist.TestCase):  # type: ignore[misc]
    pass


class TestPlayersWait(PlayersWait.TestCase):  # type: ignore[misc]
    pass


class TestNamesRunShort(NamesRunShort.TestCase):  # type: ignore[misc]
    pass


class TestNamesRunShortInOneSession(NamesRunShortInOneSession.TestCase):  # type: ignore[misc]
    pass


class TestRenditionsComeAndGo(RenditionsComeAndGo.TestCase):  # type: ignore[misc]
    pass
