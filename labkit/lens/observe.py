"""`observe`: what happens inside a `with` block, across all services of the kernel, as a tree of calls.

>>> with labkit.observe() as viaje:
...     requests.get(edge.url + "/pedidos/7")
>>> viaje
cliente
└─ GET pedidos /pedidos/7 → 200
   ├─ GET inventario-2 /stock/7 → 200
   └─ POST pagos /cobros → 503

OpenTelemetry is loaded by the first block, and nothing is in its way before and after one.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict
from types import ModuleType
from typing import TYPE_CHECKING, Any

from labkit.errors import MissingPackage
from labkit.lens import messages
from labkit.lens.assembly import calls_below, calls_of
from labkit.lens.plots import Drawing
from labkit.lens.tree import Call, as_text

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from pandas import DataFrame

    from labkit.lens.telemetry import CallSpan, Trace


def observe() -> Journey:
    """Observe the calls that are made inside a `with` block, and those that they cause, at every hop.

    Seen are calls with `requests` and `aiohttp`, made by the block, by threads, pools and tasks that it
    starts, and by the services that answer it, Flask and aiohttp alike, also those that ran before. Calls of
    other threads and of other blocks are not: a call belongs to the block whose context it comes from. Blocks
    may be nested; the outer one sees the inner one's calls too.

    Raises MissingPackage (an ImportError), when the block is entered, where OpenTelemetry is missing.
    """
    return Journey()


class Journey:
    """The calls of a block. Made by `labkit.observe()`; shows as a tree and as pictures of it.

    `root`: who made the first calls: `cliente`, or the service in whose handler the block stands.
    """

    def __init__(self) -> None:
        self.root = messages.CLIENT
        self._block: AbstractContextManager[tuple[Trace, CallSpan, str]] | None = None
        self._trace: Trace | None = None  # while the block lasts
        self._span: CallSpan | None = None
        self._calls: list[Call] = []
        self._spans: list[ReadableSpan] = []
        self._dropped = 0

    def __enter__(self) -> Journey:
        if self._block is not None:
            raise RuntimeError(messages.OBSERVED_ONCE)
        try:
            from labkit.lens import telemetry
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "opentelemetry":
                raise
            raise MissingPackage(messages.NEEDS_OPENTELEMETRY) from error
        self._block = telemetry.block()
        self._trace, self._span, self.root = self._block.__enter__()
        self._dropped = -self._trace.dropped
        return self

    def __exit__(self, *exc_info: Any) -> None:
        from labkit.lens import telemetry

        assert self._block is not None
        self._block.__exit__(None, None, None)
        trace, span = self._trace, self._span
        assert trace is not None
        assert span is not None
        spans = calls_below(span, list(trace.calls.values()))
        telemetry.settle(spans)
        self._calls = calls_of(span, spans)
        self._spans = telemetry.ended_spans(trace, spans)
        self._dropped += trace.dropped
        self._trace = self._span = None
        if not trace.open:
            trace.calls.clear()  # a thread that goes on may hold the trace for long

    # as data

    @property
    def calls(self) -> list[Call]:
        """The calls, parents before children; inside the block, those made so far."""
        if self._trace is not None and self._span is not None:
            return calls_of(self._span, calls_below(self._span, list(self._trace.calls.values())))
        return list(self._calls)

    @property
    def spans(self) -> list[ReadableSpan]:
        """OpenTelemetry's spans, when the block has ended: two for a call, one at each end."""
        return list(self._spans)

    def frame(self) -> DataFrame:
        """Return the calls as a pandas table, a row a call. Raises MissingPackage without pandas."""
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise MissingPackage(messages.NEEDS_PANDAS) from error
        columns = list(Call.__dataclass_fields__)
        table = pandas.DataFrame([asdict(call) for call in self.calls], columns=columns)
        table = table.astype({"parent": "Int64", "status": "Int64"})  # whole numbers, some missing
        return table.set_index("index")

    # as text and pictures

    @property
    def text(self) -> str:
        """The tree, without times."""
        text = as_text(self.root, self.calls)
        if self._trace is None and self._dropped:
            from labkit.lens import telemetry

            text += "\n" + messages.DROPPED.format(count=self._dropped, limit=telemetry.LIMIT)
        return text

    def waterfall(self) -> Drawing:
        """Draw the calls as bars along time."""
        diagrams = _diagrams()
        return Drawing(diagrams.waterfall(self.calls), self.text)

    def sequence(self) -> Drawing:
        """Draw the calls as arrows between services, time downwards."""
        diagrams = _diagrams()
        return Drawing(diagrams.sequence(self.root, self.calls), self.text)

    def __repr__(self) -> str:
        return self.text

    def _repr_png_(self) -> bytes | None:
        calls = self.calls
        if not calls:
            return None
        try:
            diagrams = _diagrams()
        except MissingPackage:  # the text is all there is
            return None
        return Drawing(diagrams.both(self.root, calls), self.text)._repr_png_()


def _diagrams() -> ModuleType:
    try:
        from labkit.lens import diagrams
    except ModuleNotFoundError as error:
        raise MissingPackage(messages.NEEDS_MATPLOTLIB) from error
    return diagrams
