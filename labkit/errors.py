"""labkit's exceptions. Every error names what was given, what is accepted and what to do next.

Each class also derives from the built-in error that fits, so that `except OSError` or
`except ValueError` in code that knows nothing of labkit keeps working.
"""

from __future__ import annotations

import errno

from labkit import messages
from labkit.traces import brief_traceback


class LabkitError(Exception):
    """Base of all errors that labkit itself raises."""

    says_all = False  # True where the line of the cell where it was raised tells nothing more

    def _render_traceback_(self) -> list[str]:
        """Show the reader's own lines and the message in a cell, and not labkit's insides."""
        if self.says_all:
            return [f"{type(self).__name__}: {self}"]
        return brief_traceback(self).split("\n")


class PortInUse(LabkitError, OSError):
    """Binding a port failed because somebody listens there already.

    `port` is the port asked for; `owner` says who holds it, or is None where the system does not tell.
    """

    def __init__(self, host: str, port: int, owner: str | None = None) -> None:
        self.host, self.port, self.owner = host, port, owner
        text = messages.PORT_IN_USE.format(port=port, owner=owner or messages.UNKNOWN_OWNER)
        super().__init__(errno.EADDRINUSE, text)

    def __str__(self) -> str:
        return str(self.strerror)


class PortForbidden(LabkitError, PermissionError):
    """The system does not let this user bind that port (usually one below 1024)."""

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(errno.EACCES, messages.PORT_FORBIDDEN.format(port=port))

    def __str__(self) -> str:
        return str(self.strerror)


class BadPort(LabkitError, ValueError):
    """A port that is no whole number from 0 to 65535."""

    def __init__(self, port: object) -> None:
        self.port = port
        super().__init__(messages.BAD_PORT.format(port=port))


class BadHost(LabkitError, ValueError):
    """A host that is no address of this machine."""

    def __init__(self, host: object) -> None:
        self.host = host
        super().__init__(messages.BAD_HOST.format(host=host))


class CannotWrite(LabkitError, OSError):
    """A file that a journal should be written to cannot be opened."""

    def __init__(self, path: object, error: OSError) -> None:
        self.path = path
        text = messages.CANNOT_WRITE.format(path=str(path), reason=reason(error))
        super().__init__(error.errno, text)

    def __str__(self) -> str:
        return str(self.strerror)


class BadArgument(LabkitError, ValueError):
    """An argument whose value is not accepted; the text says what is."""


class WrongType(LabkitError, TypeError):
    """An argument of a type that is not accepted; the text says which are."""


class BadFault(LabkitError, ValueError):
    """A fault that makes no sense: a probability of 2, a negative delay, a status of 700."""


class NotAnApp(LabkitError, TypeError):
    """The object given to `serve` is nothing that labkit can serve."""


class KindMismatch(LabkitError, ValueError):
    """The name belongs to a service of another kind (Flask against aiohttp)."""


class MissingPackage(LabkitError, ImportError):
    """What was asked for needs a package that is not installed."""


class NameInUse(LabkitError, ValueError):
    """The name belongs to one instance of a group, which is served as a whole."""


class StartupFailed(LabkitError, RuntimeError):
    """A service in a process of its own could not start; the text holds what that process raised.

    `exit_code`: how the process ended, where it ended before it served anything.
    """

    says_all = True

    def __init__(self, text: str, exit_code: int | None = None) -> None:
        self.exit_code = exit_code
        super().__init__(text)


class NoSuchService(LabkitError, KeyError):
    """No service has that name; the text says which there are."""

    __str__ = Exception.__str__  # KeyError's own puts the sentence between quotes


class NotRestartable(LabkitError, RuntimeError):
    """An aiohttp application was used once; only a factory can make it anew."""


class WrongState(LabkitError, RuntimeError):
    """The service is not in a state in which that can be asked of it."""


def reason(error: OSError) -> str:
    """Return why a file cannot be written, in a few words."""
    return messages.FILE_REASONS.get(errno.errorcode.get(error.errno or 0, ""), error.strerror or str(error))
