"""%%service NAME: the cell's text runs as a script, in a process of its own, and serves there.

    %%service inventario --port 5001 almacén.csv
    import os, sys
    from flask import Flask
    app = Flask(__name__)
    ...
    app.run()          # or nothing: an `app`, or a function that makes it, is served all the same

What belongs to the magic (`--port N`, `--replicas N`) may stand anywhere before a `--`; everything else is
the script's, as it is: here `sys.argv == ["inventario", "almacén.csv"]`. The port is in `PORT`, too.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit.errors import BadArgument, LabkitError
from labkit.kernel import messages
from labkit.roster import serve
from labkit.servers import Program

if TYPE_CHECKING:
    from labkit.service import Group, Service

_NAME = "service"
_OPTIONS = ("--port", "--replicas")


@dataclass(frozen=True)
class Line:
    """The words behind `%%service`."""

    name: str
    port: int | None
    replicas: int | None
    arguments: tuple[str, ...]


def parse(line: str) -> Line:
    """Take a line apart. Raises BadArgument, in one sentence."""
    try:
        words = shlex.split(line)
    except ValueError:
        raise BadArgument(messages.SERVICE_BAD_QUOTES.format(line=line)) from None
    name: str | None = None
    numbers: dict[str, int] = {}
    arguments: list[str] = []
    while words:
        word = words.pop(0)
        option, is_given, value = word.partition("=")
        if word == "--" and name is not None:
            arguments += words
            break
        if option in _OPTIONS:
            if not is_given:
                if not words:
                    raise BadArgument(messages.SERVICE_NEEDS_NUMBER.format(option=option))
                value = words.pop(0)
            if not value.isdecimal():
                raise BadArgument(messages.SERVICE_BAD_NUMBER.format(option=option, given=value))
            numbers[option] = int(value)
        elif name is None:
            if word.startswith("-"):
                raise BadArgument(messages.SERVICE_NEEDS_NAME)
            name = word
        else:
            arguments.append(word)
    if name is None:
        raise BadArgument(messages.SERVICE_NEEDS_NAME)
    return Line(name, numbers.get("--port"), numbers.get("--replicas"), tuple(arguments))


def service(line: str, cell: str) -> Service | Group:
    """Run the cell as a script that serves, in a process of its own.

    %%service NAME [--port N] [--replicas N] [arguments of the script…]

    Returns the service, or the group of `--replicas`; running the cell again replaces it. What the script
    raises before it serves is raised here.
    """
    try:
        return _serve(parse(line), cell)
    except LabkitError as error:
        error.says_all = True  # of the cell there is one line, the magic's, with all its text
        raise


def _serve(given: Line, cell: str) -> Service | Group:
    if not cell.strip():
        raise BadArgument(messages.SERVICE_EMPTY)
    # A script that names a port of its own gets it, unless somebody else has said which.
    own_port = not given.port and given.replicas is None
    program = Program(text=cell, arguments=given.arguments, own_port=own_port)
    served: Service | Group = serve(
        program, name=given.name, port=given.port or 0, replicas=given.replicas, isolation="process"
    )
    return served


class Registration:
    """The magic in a shell, until `undo`."""

    def __init__(self, ip: Any) -> None:
        self._magics = ip.magics_manager.magics["cell"]
        self._before = self._magics.get(_NAME)
        ip.register_magic_function(service, "cell", _NAME)

    def undo(self) -> None:
        """Give back what had the name before, unless somebody else has taken it since."""
        if self._magics.get(_NAME) is service:
            del self._magics[_NAME]
            if self._before is not None:
                self._magics[_NAME] = self._before
