"""What a heap of spans says: the tree, who has lost its parent, who calls whom, where the time goes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from labkit.patterns.tracing.tracer import Span


def tree(spans: Iterable[Span]) -> str:
    """Return the spans as a tree, a line each and without times, siblings in the order of their beginning.

    A span whose parent is not among them stands at the left, after a question mark.
    """
    spans = sorted(spans, key=lambda span: span.start)
    known = {span.context.span_id for span in spans}
    children: dict[str | None, list[Span]] = defaultdict(list)
    for span in spans:
        children[span.parent_id if span.parent_id in known else None].append(span)
    lines: list[str] = []

    def draw(span: Span, first: str, others: str) -> None:
        failed = " ✗" if span.status == "error" else ""
        lines.append(f"{first}{span.service} {span.kind} {span.name}{failed}")
        below = children[span.context.span_id]
        for child in below:
            last = child is below[-1]
            draw(child, others + ("└─ " if last else "├─ "), others + ("   " if last else "│  "))

    for root in children[None]:
        draw(root, "" if root.parent_id is None else "? ", "")
    return "\n".join(lines)


def orphans(spans: Iterable[Span]) -> list[Span]:
    """Return the spans that name a parent which is not among them: lost, not sampled, or not yet here."""
    spans = list(spans)
    known = {(span.context.trace_id, span.context.span_id) for span in spans}
    return [
        span
        for span in spans
        if span.parent_id is not None and (span.context.trace_id, span.parent_id) not in known
    ]


def service_map(spans: Iterable[Span]) -> list[tuple[str, str, int, int]]:
    """Return (caller, callee, calls, failures) for each pair of services, by the spans alone."""
    spans = list(spans)
    by_id = {span.context.span_id: span for span in spans}
    calls: Counter[tuple[str, str]] = Counter()
    failures: Counter[tuple[str, str]] = Counter()
    for span in spans:
        parent = by_id.get(span.parent_id or "")
        if parent is not None and span.kind in ("server", "consumer"):
            calls[parent.service, span.service] += 1
            failures[parent.service, span.service] += span.status == "error"
    return [
        (caller, callee, calls[caller, callee], failures[caller, callee]) for caller, callee in sorted(calls)
    ]


def self_time(span: Span, spans: Iterable[Span]) -> float:
    """Return the seconds of a span in which none of its children ran: its own part of the time.

    Children that ran at the same time count once.
    """
    own = span.context.span_id
    within = sorted((child.start, child.end_time or child.start) for child in spans if child.parent_id == own)
    end = span.end_time if span.end_time is not None else span.start
    return (end - span.start - _covered(within, span.start, end)) / 1e9


def _covered(pieces: Sequence[tuple[int, int]], start: int, end: int) -> int:
    covered, until = 0, start
    for begins, ends in pieces:
        begins, ends = max(begins, until), min(ends, end)
        covered += max(0, ends - begins)
        until = max(until, ends)
    return covered
