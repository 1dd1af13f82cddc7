"""Upcasting: an event of last year, read in today's shape.

What is recorded stays as it was written. A function for each step brings the data from one schema version to
the next; an event of version 1 goes through all of them, so each is written once and never touched again.

    upcasters = Upcasters()

    @upcasters.step("Vendido", 1)              # from version 1 to 2
    def with_currency(data):
        return {**data, "moneda": "EUR"}
"""

from collections.abc import Callable
from typing import Any

from labkit.patterns._given import InvalidInput, valid_count
from labkit.patterns.event_sourcing import messages
from labkit.patterns.event_sourcing.errors import UnknownSchema
from labkit.patterns.event_sourcing.event import valid_text

Data = dict[str, Any]
Step = Callable[[Data], Data]


class Upcasters:
    """Steps from each schema version of an event type to the next."""

    def __init__(self) -> None:
        """Begin with no steps: every event is read as it was written."""
        self._steps: dict[str, dict[int, Step]] = {}

    def step(self, type: str, from_version: int) -> Callable[[Step], Step]:
        """Register, as a decorator, the function that takes data of a version and returns the next one's.

        Raises InvalidInput when that step is there already.
        """
        steps = self._steps.setdefault(valid_text("type", type), {})
        valid_count("from_version", from_version)

        def register(function: Step) -> Step:
            if from_version in steps:
                raise InvalidInput(messages.BAD_UPCASTER.format(type=type, version=from_version))
            steps[from_version] = function
            return function

        return register

    def upcast(self, type: str, version: int, data: Data) -> tuple[int, Data]:
        """Return the schema version and the data that today's code reads.

        Raises UnknownSchema for a version newer than this code, or one that no step leads on from. Skipping
        such an event, or guessing, would make a wrong view without a word.
        """
        steps = self._steps.get(type)
        if not steps:
            return version, data
        newest = max(steps) + 1
        if version > newest:
            raise UnknownSchema(messages.UNKNOWN_SCHEMA.format(type=type, version=version, known=newest))
        for number in range(version, newest):
            if number not in steps:
                raise UnknownSchema(messages.UPCASTER_GAP.format(type=type, version=number))
            data = steps[number](data)
            if not isinstance(data, dict):
                raise InvalidInput(messages.BAD_UPCAST.format(type=type, version=number, given=data))
        return newest, data
