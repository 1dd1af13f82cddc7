"""The exercises of 08_reactive, in the order in which a learner meets them."""

from labkit.course.lessons.reactive import rx3, rx4, rx5, rx6, rx7a, rx7b

# Those that only a reader can judge.
QUESTIONS = ("RX-1", "RX-2")

EXERCISES = (rx3.PAGE, rx4.RETRY, rx5.PIPE, rx6.BUY, rx7a.SENDER, rx7b.LIVE)
