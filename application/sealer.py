"""The sealer: extends the Merkle tree over the log, so that one root hash stands for the whole history."""

from application.ports import EventLog, Seal, Seals
from domain import merkle
from domain.errors import LogDamaged

PAGE = 5000


class Sealer:
    """A projector whose checkpoint is the size of the tree."""

    def __init__(self, log: EventLog, seals: Seals) -> None:
        self._log, self._seals = log, seals

    def catch_up(self) -> Seal:
        """Seal every event that is recorded by now, and return the seal.

        Raises:
            LogDamaged: an event is missing, or the seal does not agree with itself.

        """
        seal = self._seals.load()
        while lines := self._log.read_lines(after=seal.size, limit=PAGE):
            if lines[-1].position != seal.size + len(lines):
                raise LogDamaged(seal.size + 1, "from here on an event is missing; it is not sealed")
            size, frontier = merkle.extend(seal.size, seal.frontier, (line.leaf_hash for line in lines))
            seal = Seal(size=size, frontier=frontier)
            self._seals.save(seal, merkle.root(frontier))
            if len(lines) < PAGE:
                break
        return seal
