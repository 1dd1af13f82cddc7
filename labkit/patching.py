"""Functions of other libraries, replaced for a while, in any company.

Others replace the same functions: labkit.capture, OpenTelemetry's own instrumentations in lesson 09, a
learner's experiment. Who came later may hold what we put there, so what cannot be taken out again is left
behind doing nothing, and the next time a new replacement is put on top.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Patch:
    """A replacement for `owner.name`, a class and its method.

    `around` is called in its place, with the original before the arguments.
    """

    def __init__(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        self._owner, self._name, self._around = owner, name, around
        self._original: Any = None
        self._live: Any = None

    def install(self) -> None:
        """Put it in place, around whatever is there now."""
        original, around = getattr(self._owner, self._name), self._around

        def replacement(*args: Any, **kwargs: Any) -> Any:
            if self._live is not replacement:
                return original(*args, **kwargs)
            return around(original, *args, **kwargs)

        replacement.__name__ = self._name
        replacement.__wrapped__ = original  # type: ignore[attr-defined]
        self._original, self._live = original, replacement
        setattr(self._owner, self._name, replacement)

    def remove(self) -> None:
        """Take it out; where somebody has replaced it meanwhile, have it do nothing."""
        if getattr(self._owner, self._name) is self._live:
            setattr(self._owner, self._name, self._original)
        self._live = self._original = None
