"""Whose word counts (docs/raft-rules.md, rule 9): a node that lost its disk must not be taken for what it was.

A wiped node has forgotten votes and acknowledgements that others rely on. So each disk has a random id, its instance,
and the log says which instance of a node counts: Admit, proposed by the leader and committed without the newcomer. A
node that has not applied the Admit of its own instance neither votes nor stands, and what it acknowledges counts
nowhere.

Every message that is counted carries its sender's claim: its instance, and where in the log that was admitted as far as
its own state says; 0 for a founding disk that nobody has admitted yet; -1 for one that does not count. A claim is
accepted unless the receiver knows of a later admission, be it of the same disk: one that was put back and is to be
admitted again does not count before it knows. So nobody has to be told who counts, and neither an old disk nor one that
was wrongly made as a founder is counted by those who know better.

A node never votes in the term in which it learns of its admission: its former disk may have voted in it. To abstain it
votes for itself, durably, before the admission is noted; both are in the journal, so that no loss of the state's
latest transactions takes an admission back.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from lastunit_node.replica.messages import COUNTED, Message
from lastunit_node.replica.syncobj import FOLLOWER
from lastunit_node.statemachine.codec import DecodedEntry, decode_entry, encode_entry
from lastunit_node.statemachine.commands import Admit, Entry
from lastunit_node.statemachine.membership import row_after
from lastunit_node.statemachine.tables import AdmittedRow

if TYPE_CHECKING:
    from lastunit_node.replica.syncobj import RaftHooks

_log = structlog.get_logger()

NOT_ADMITTED: Final = -1
UNCONTESTED: Final = 0  # a founding disk, and no Admit of its node is known
_READ_ENTRIES: Final = 64  # entries read from the journal at a time

AdmittedDisk = Callable[[str], AdmittedRow | None]


class Claim(NamedTuple):
    """What a node says of its disk. admitted: a log index, UNCONTESTED, or NOT_ADMITTED."""

    instance: str
    admitted: int

    @classmethod
    def of(cls, message: Message) -> "Claim":
        """The claim that a message carries."""
        return cls(message["instance"], message["admitted"])

    def holds_against(self, row: AdmittedRow | None) -> bool:
        """Whether a node whose log has this row believes it.

        A founding disk may know nothing yet of the first Admit of its node. Of a later one it has to: the disk that was
        admitted meanwhile may have voted.
        """
        if self.admitted == NOT_ADMITTED:
            return False
        if row is None or row.idx < self.admitted:
            return True
        knows = row.idx == self.admitted or (self.admitted == UNCONTESTED and row.replaces == 0)
        return knows and row.instance == self.instance


def admission_entry(admit: Admit) -> bytes:
    """The bytes of an entry that admits a disk: always alone, so that it is known by its first bytes."""
    return encode_entry(Entry(0, 0, (admit,)))


_PREFIX: Final = admission_entry(Admit("n", "i", 0))[:7]  # up to the number of the command's type


class Admission:
    """What one node claims of itself, and which claims of others it accepts.

    admitted: the disk of a node that counts, as far as this node has applied the log.
    """

    def __init__(self, raft: "RaftHooks", name: str, admitted: AdmittedDisk) -> None:
        self._raft = raft
        self._name = name
        self._admitted = admitted
        self._own_row: AdmittedRow | None = None
        self._claim = Claim("", NOT_ADMITTED)
        self._log_rows: dict[str, AdmittedRow] = {}  # that this log holds beyond what was applied,
        self._read_to = (0, 0)  # up to this index, of this term

    # What this node claims.

    def start(self) -> None:
        """Once the journal is at hand; the state may be a copy, and know more of this disk than the journal does."""
        self._own_row = self._admitted(self._name)
        self._learn()

    def learn(self) -> None:
        """After entries were applied."""
        row = self._admitted(self._name)
        if row is not self._own_row:
            self._own_row = row
            self._learn()

    def _learn(self) -> None:
        row, journal = self._own_row, self._raft.journal
        if row is not None and row.instance == journal.instance and row.idx > journal.owner.admitted:
            self._abstain(row.term)
            journal.note_admission(row.idx)
            _log.info("this node's disk is admitted: it votes and counts from the next term on", index=row.idx)
        self._claim = Claim(journal.instance, self._index_of_admission())
        if not self.is_admitted and self._raft.role != FOLLOWER:
            _log.warning("another disk of this node was admitted: this one does not lead", index=row.idx if row else 0)
            self._raft.become_follower(None)
            self._raft.postpone_election()

    def _index_of_admission(self) -> int:
        row, owner = self._own_row, self._raft.journal.owner
        if row is not None and row.idx >= owner.admitted:
            return row.idx if row.instance == owner.instance else NOT_ADMITTED
        if owner.admitted:
            return owner.admitted
        return UNCONTESTED if owner.founding else NOT_ADMITTED

    def _abstain(self, term_of_admission: int) -> None:
        """Vote for nobody else in this term: the disk before this one may have voted."""
        raft = self._raft
        if raft.term < term_of_admission or raft.voted_for is None:
            raft.set_term(max(raft.term, term_of_admission), self._name)

    @property
    def is_admitted(self) -> bool:
        """Whether this node votes and counts, and stands unless its log says otherwise."""
        return self._claim.admitted != NOT_ADMITTED

    @property
    def may_stand(self) -> bool:
        """Whether this node stands, and so may count itself for what it would add to its log."""
        return self.is_admitted and self._claim.holds_against(self._row_in_log(self._name))

    def stamp(self, message: dict[str, Any]) -> dict[str, Any]:
        """The message, with this node's claim if it is one that is counted."""
        if message["type"] not in COUNTED:
            return message
        return {**message, "instance": self._claim.instance, "admitted": self._claim.admitted}

    # What others claim.

    def row(self, node: str) -> AdmittedRow | None:
        """The disk of a node that counts, as far as this node has applied the log."""
        return self._admitted(node)

    def accepts(self, node: str, claim: Claim) -> bool:
        """Whether a node's word counts here."""
        if self._raft.role == FOLLOWER:
            return claim.holds_against(self._admitted(node))
        return claim.holds_against(self._row_in_log(node))

    def may_vote_for(self, node: str, message: Message) -> bool:
        """Whether this node has a vote, and this candidate may have it.

        A founding disk with an empty log votes for its like only: should it be one that was wrongly made as a founder
        in the place of a lost one, the candidates that know of the lost one stand admitted, and do without it.
        """
        is_blank = self._claim.admitted == UNCONTESTED and self._raft.journal.last_index == 0
        if not self.is_admitted or (is_blank and message["admitted"] != UNCONTESTED):
            return False
        return Claim.of(message).holds_against(self._row_in_log(node))

    def _row_in_log(self, node: str) -> AdmittedRow | None:
        """As the own log has it, applied or not.

        Who votes, and who counts votes or acknowledgements, must know all that its log says of the other: a lost disk
        that was put back may still be the one that counts in what was applied here so far, and the disk after it counts
        without what follows its Admit in the log.
        """
        self._read_on()
        return self._log_rows.get(node) or self._admitted(node)

    def _read_on(self) -> None:
        """Read what came since the last time: logs that have one entry of a term in common are alike up to there."""
        journal, (index, term) = self._raft.journal, self._read_to
        if (journal.last_index, journal.last_term) == (index, term) and self._raft.last_applied <= index:
            return
        if not self._raft.last_applied <= index <= journal.last_index or journal.term_at(index) != term:
            self._log_rows, index = {}, self._raft.last_applied
        for data, at, of_term in self._entries_after(index):
            entry = decode_entry(data) if data.startswith(_PREFIX) else None
            for command in entry.commands if isinstance(entry, DecodedEntry) else ():
                if isinstance(command, Admit):
                    self._note(command, at, of_term)
        self._read_to = journal.last_index, journal.last_term

    def _note(self, command: Admit, index: int, term: int) -> None:
        before = self._log_rows.get(command.node) or self._admitted(command.node)
        row = row_after(before, command, index, term)
        if row is not None:
            self._log_rows[command.node] = row

    def _entries_after(self, index: int) -> Iterator[tuple[bytes, int, int]]:
        first = index + 1
        while entries := self._raft.journal.entries(first, first + _READ_ENTRIES):
            yield from entries
            first += len(entries)
