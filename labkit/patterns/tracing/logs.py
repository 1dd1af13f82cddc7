"""The bridge from a log to its trace: each record says in which span it was written."""

import logging

from labkit.patterns.tracing.tracer import current_span


def add_trace_ids(record: logging.LogRecord) -> bool:
    """Write `trace_id`, `span_id` and `service` into a log record; a filter that lets everything pass.

    `handler.addFilter(add_trace_ids)`, then `%(trace_id)s` in the format. Outside a span they are "-".
    """
    span = current_span()
    record.trace_id = span.context.trace_id if span else "-"
    record.span_id = span.context.span_id if span else "-"
    record.service = span.service if span else "-"
    return True
