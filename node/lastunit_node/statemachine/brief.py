"""The most frequent commands in few parts: what decoding an entry makes of them, and what the front end reads.

A Reserve or PlaceOrder of one line, and a Confirm that names no lines, are most of what a log holds. As commands they
are two or three tuples with names, and to make those was a third of applying an order; these here are one object. Each
says the same as the command that full() gives, and apply answers both alike.
"""

from typing import Final

from lastunit_node.statemachine.commands import Command, Confirm, FencingToken, Line, PlaceOrder, Reserve

AT_ONCE: Final = -1  # hold_ticks of what is sold at once


class OneLine:
    """A Reserve of one line, or a PlaceOrder, whose hold_ticks are AT_ONCE."""

    __slots__ = ("hold_ticks", "quantity", "reservation_id", "sku")

    def __init__(self, reservation_id: str, sku: str, quantity: int, hold_ticks: int) -> None:
        self.reservation_id = reservation_id
        self.sku = sku
        self.quantity = quantity
        self.hold_ticks = hold_ticks

    def full(self) -> Reserve | PlaceOrder:
        """The command."""
        lines = (Line(self.sku, self.quantity),)
        if self.hold_ticks == AT_ONCE:
            return PlaceOrder(self.reservation_id, lines)
        return Reserve(self.reservation_id, lines, self.hold_ticks)


class ConfirmAll:
    """A Confirm of everything that is held, by the three parts of its token."""

    __slots__ = ("index", "position", "reservation_id", "term")

    def __init__(self, reservation_id: str, term: int, index: int, position: int) -> None:
        self.reservation_id = reservation_id
        self.term = term
        self.index = index
        self.position = position

    def has_token(self, term: int, index: int, position: int) -> bool:
        """Whether this is its token."""
        return self.position == position and self.index == index and self.term == term

    def full(self) -> Confirm:
        """The command."""
        return Confirm(self.reservation_id, FencingToken(self.term, self.index, self.position), ())


Brief = OneLine | ConfirmAll


def full(command: Command | Brief) -> Command:
    """The command that this is, or says."""
    return command.full() if isinstance(command, OneLine | ConfirmAll) else command
