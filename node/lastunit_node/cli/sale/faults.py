"""Why a sale cannot be held to its end."""

from lastunit_client import CommandResult


class SaleFault(Exception):
    """Something that a correct cluster does not do, or not in time."""


class SenselessAnswer(SaleFault):
    """An answer that this caller cannot get from a correct cluster."""

    def __init__(self, call: str, result: CommandResult) -> None:
        super().__init__(f"{call} of {result.request_id} was answered {result.outcome.name}, {result.units}")
