"""A proxy between a program and its Postgres, which cuts the connection exactly where a commit is at stake."""

import contextlib
import random
import socket
import threading
from enum import Enum
from types import TracebackType
from typing import Self

from sqlalchemy import make_url

PIECE = 1 << 16


class Cut(Enum):
    """Where a connection is cut, once it carries the statement."""

    BEFORE_THE_SERVER = "the server never gets the statement"
    WHILE_THE_SERVER_WORKS = "the server has the statement, and the client is gone"
    AFTER_THE_COMMIT = "the server has answered, and nobody hears it"


class TcpProxy:
    """Forwards connections to the server of ``url``; its own URL is ``url`` with another port, at an address."""

    def __init__(self, url: str, at: str = "127.0.0.1") -> None:
        target = make_url(url)
        self._target = (target.host or "127.0.0.1", target.port or 5432)
        self._listener = socket.create_server((at, 0))
        self.url = target.set(host=at, port=self._listener.getsockname()[1]).render_as_string(hide_password=False)
        self._lock = threading.Lock()
        self._links: list[_Link] = []
        self._statement: bytes | None = None
        self._cut = Cut.BEFORE_THE_SERVER
        self._stay_away = False
        self._away = False
        self._random: random.Random | None = None
        self.cuts = 0
        self.pieces = 0
        """What clients have sent so far, in pieces: a round trip is one, unless it is long."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._hang_up()

    def cut_at(self, statement: bytes, cut: Cut, *, stay_away: bool = False) -> None:
        """Cut the connection that carries the statement next; all others too and all to come, if it is to stay away."""
        self._statement, self._cut, self._stay_away = statement, cut, stay_away

    def cut_now_and_then(self, statement: bytes, seed: int) -> None:
        """Cut every third connection that carries the statement or so, at either place."""
        self._statement, self._random = statement, random.Random(seed)

    def go_away(self) -> None:
        """End every connection, and let none be made."""
        self._away = True
        self._hang_up()

    def come_back(self) -> None:
        """Let everything pass again."""
        self._statement, self._random, self._away = None, None, False

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._away:
                    client.close()
                    continue
                try:
                    link = _Link(client, socket.create_connection(self._target))
                except OSError:  # the server is away: so is the proxy, until it is back
                    client.close()
                    continue
                self._links.append(link)
                for way in (self._to_server, self._to_client):
                    threading.Thread(target=way, args=(link,), daemon=True).start()

    def _to_server(self, link: "_Link") -> None:
        with contextlib.suppress(OSError):
            while piece := link.client.recv(PIECE):
                self.pieces += 1
                cut = self._cut_of(piece, link)
                if cut is Cut.BEFORE_THE_SERVER:
                    break
                link.answer_is_lost |= cut is Cut.AFTER_THE_COMMIT
                link.server.sendall(piece)
                if cut is Cut.WHILE_THE_SERVER_WORKS:
                    _close(link.client)
                    return  # and the server is not told
        link.close()

    def _to_client(self, link: "_Link") -> None:
        with contextlib.suppress(OSError):
            while (piece := link.server.recv(PIECE)) and not link.answer_is_lost:
                link.client.sendall(piece)
        link.close()

    def _cut_of(self, piece: bytes, link: "_Link") -> Cut | None:
        """Where to cut the connection because of what it carries."""
        with self._lock:
            link.carried |= self._statement is not None and self._statement in piece
            if not link.carried or self._statement is None:
                return None
            if self._random is not None:
                if self._random.random() > 0.3:
                    return None
                self.cuts += 1
                return self._random.choice([Cut.BEFORE_THE_SERVER, Cut.AFTER_THE_COMMIT])
            self.cuts += 1
            self._statement = None
            self._away = self._stay_away
        if self._away:
            self._hang_up(but=link)
        return self._cut

    def _hang_up(self, but: "_Link | None" = None) -> None:
        for link in self._links:
            if link is not but:
                link.close()


class _Link:
    """One connection. A statement is named once and then prepared, and so not named again."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.carried = False
        self.answer_is_lost = False

    def close(self) -> None:
        _close(self.client)
        _close(self.server)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
