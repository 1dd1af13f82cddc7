"""The exercises of 09_distributed_tracing, in the order in which a learner meets them."""

from labkit.course.lessons.distributed_tracing import dt6, dt7, dt8, dt9, dt10, dt11, dt12
from labkit.exercises.exercise import Exercise

# Those that only a reader can judge.
QUESTIONS = ("DT-1", "DT-2", "DT-3", "DT-4", "DT-5")

EXERCISES: tuple[Exercise, ...] = (
    dt9.CHAIN,
    dt12.TRACEPARENT,
    dt6.RICH_LINES,
    dt7.FRAGILE,
    dt8.RETRIES,
    dt10.TIME_LIMITS,
    dt11.BOTTLENECK,
)
