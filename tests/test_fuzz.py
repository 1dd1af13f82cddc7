"""Whatever is given to a public name: it works, or one of labkit's own sentences refuses it at the door."""

from __future__ import annotations

import asyncio
import inspect
import linecache
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest

import labkit
from labkit import plots
from labkit.errors import LabkitError
from labkit.lens.samples import Samples

JUNK = [
    None, -1, 0, 5, 1e10, 1e300, math.inf, math.nan, True, 10**12, "", "x", "\ud800", b"x", [], {}, (), [[]],
    [None], {1: 2}, {"x": None}, object(), int, lambda: None,
]  # fmt: skip


def refused_well(error: BaseException) -> bool:
    """True for what labkit raises itself: an error class of its own, or a `raise` line of its own."""
    if isinstance(error, LabkitError):
        return "\n" not in str(error)
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    assert last is not None
    code = last.tb_frame.f_code
    line = linecache.getline(code.co_filename, last.tb_lineno).strip()
    own = "labkit" in code.co_filename and line.startswith("raise")
    return isinstance(error, TimeoutError) or (own and isinstance(error, TypeError | ValueError))


def names(thing: Any, junk: Any) -> Iterator[dict[str, Any]]:
    """Each argument of a function in turn as junk."""
    for name, parameter in inspect.signature(thing).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            yield {name: junk}


def app() -> flask.Flask:
    return flask.Flask("fuzz")


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    with labkit.serve(app(), name="fuzz") as running:
        yield running


GOOD: dict[str, Callable[[Any], dict[str, Any]]] = {
    "serve": lambda service: {"app": app, "name": "fuzz-2"},
    "load": lambda service: {"target": service, "requests": 1},
    "eventually": lambda service: {"condition": lambda: True},
    "ManualClock": lambda service: {},
    "Journal": lambda service: {},
    "stop_all": lambda service: {},
    "compare": lambda service: {},
    "run": lambda service: {"coroutine": asyncio.sleep(0)},
}


@pytest.mark.parametrize("junk", JUNK, ids=[f"{number}" for number in range(len(JUNK))])
@pytest.mark.parametrize("name", GOOD)
def test_a_public_function_works_or_says_in_a_sentence_what_it_takes(
    name: str, junk: Any, service: Any
) -> None:
    function = getattr(labkit, name)
    for bad in names(function, junk):
        if name == "serve" and bad.get("host") == "":
            continue
        good = GOOD[name](service)
        if bad.keys() >= {"coroutine"}:
            good.pop("coroutine").close()
        try:
            outcome = function(**{**good, **bad})
        except Exception as error:
            assert refused_well(error), f"{name}({bad}): {error!r}"  # noqa: PT017
        else:
            stop = getattr(outcome, "stop", None)
            if stop is not None:
                stop(0)
    if name == "stop_all":
        service.start()


METHODS: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "stop": lambda service: service.stop,
    "delay": lambda service: service.faults.delay,
    "error": lambda service: service.faults.error,
    "write_to": lambda service: service.journal.write_to,
    "text": lambda service: service.journal.text,
    "advance": lambda service: labkit.ManualClock().advance,
}


@pytest.mark.parametrize("junk", JUNK, ids=[f"{number}" for number in range(len(JUNK))])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_works_or_says_in_a_sentence_what_it_takes(
    name: str, junk: Any, service: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    method = METHODS[name](service)
    for bad in names(method, junk):
        arguments = {"seconds": 1, **bad} if name == "delay" else bad
        positional = [junk] if name == "advance" else []
        try:
            method(*positional, **({} if positional else arguments))
        except Exception as error:
            assert refused_well(error), f"{name}({bad}): {error!r}"  # noqa: PT017
    service.journal.write_to(None)
    service.faults.clear()
    service.start()


@pytest.mark.parametrize("junk", JUNK, ids=[f"{number}" for number in range(len(JUNK))])
@pytest.mark.parametrize("name", [name for name in plots.__all__ if name[0].islower() and name != "slider"])
def test_a_figure_is_drawn_or_says_in_a_sentence_what_it_takes(name: str, junk: Any) -> None:
    function = getattr(plots, name)
    given = [junk] if name != "levels" else [junk, {"a": junk}, {"a": [(0, 1)]}]
    for first in given:
        try:
            function(first, **({"ylabel": "x"} if name in ("levels", "history") else {}))
        except Exception as error:
            assert refused_well(error), f"plots.{name}({first!r}): {error!r}"  # noqa: PT017


def test_nothing_is_left_of_all_that() -> None:
    assert not [thread for thread in threading.enumerate() if thread.name == "labkit-fuzz-2"]
    assert Samples([], 0.0).latencies == []
