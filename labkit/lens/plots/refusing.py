"""Bad input refused in one sentence, whatever Matplotlib or Python say of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from labkit.errors import LabkitError, WrongType
from labkit.lens import load_messages as messages

P = ParamSpec("P")
T = TypeVar("T")


def refusing(draw: Callable[P, T]) -> Callable[P, T]:
    """Raise WrongType, which names the figure and the help on it, for what cannot be drawn."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return draw(*args, **kwargs)
        except (LabkitError, ModuleNotFoundError):
            raise
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise WrongType(messages.CANNOT_DRAW.format(figure=draw.__name__, reason=reason)) from error

    return drawn
