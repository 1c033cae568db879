"""Why a node must stop. Everything else that can go wrong with a command is a result, not an exception."""


class InvariantError(Exception):
    """A promise of the state is broken: the node stops and serves nothing. The message names the log index."""


class StateDamaged(Exception):
    """The database holds something that the state machine never wrote. The node must not serve it."""


class StateFormatError(Exception):
    """The file is no state database of ours, or has a format that this software does not read."""


class StateIdentityError(Exception):
    """The state database belongs to another cluster or another node."""


class Exhausted(Exception):
    """The commands of an entry have gone through as many ranges of units as they may: this one is for another entry."""
