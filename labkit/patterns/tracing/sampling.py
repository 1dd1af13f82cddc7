"""Which traces are recorded: a decision for the whole trace, made once, where it begins.

A service that decided for itself would leave holes: the edge records one tenth, pagos another tenth, and
hardly any trace is whole. So the decision travels, in the last bit of `traceparent`, and `parent_based`
follows it. A sampler is a function of the trace id and the parent (None: the trace begins here).
"""

from collections.abc import Callable

from labkit.patterns._given import valid_fraction, valid_function
from labkit.patterns.tracing.w3c import SpanContext

Sampler = Callable[[str, SpanContext | None], bool]


def always_on(trace_id: str, parent: SpanContext | None) -> bool:
    """Record everything."""
    return True


def always_off(trace_id: str, parent: SpanContext | None) -> bool:
    """Record nothing. Contexts travel all the same."""
    return False


def ratio(rate: float) -> Sampler:
    """Return a sampler that records this part of all traces, 0 to 1, chosen by the trace id.

    The id decides and no dice: two services with the same rate choose the same traces without a word, and
    the traces of a smaller rate are among those of a larger one. The bits are those of OpenTelemetry's
    TraceIdRatioBased in Python: the last eight bytes.
    """
    bound = round(valid_fraction("rate", rate, zero=True) * 2**64)

    def by_trace_id(trace_id: str, parent: SpanContext | None) -> bool:
        return int(trace_id[16:], 16) < bound

    return by_trace_id


def parent_based(root: Sampler = always_on) -> Sampler:
    """Return a sampler that does as the parent did, and asks `root` where a trace begins (§3.2.2.5.1)."""
    valid_function("root", root)

    def as_the_parent(trace_id: str, parent: SpanContext | None) -> bool:
        return root(trace_id, None) if parent is None else parent.sampled

    return as_the_parent
