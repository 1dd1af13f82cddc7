"""Hold a check against answers: wrong ones must be told wrong by their own hint, right ones must pass.

    assert_wrong("SD-4b", without_timeout, hint_contains="en pausa")
    assert_right("SD-4b", with_threads)

A check that takes several things gets them in the same order.
"""

from __future__ import annotations

import re

from labkit.exercises.check import Verdict, check


def assert_right(exercise_id: str, *answer: object) -> Verdict:
    verdict = check(exercise_id, *answer)
    assert verdict.state == "ok", verdict.text
    return verdict


def assert_wrong(exercise_id: str, *answer: object, hint_contains: str) -> Verdict:
    verdict = check(exercise_id, *answer)
    assert verdict.state == "falla", verdict.text
    assert hint_contains in verdict.hint, verdict.hint
    assert not re.search(r"\b_[A-Za-z]|well_instance", verdict.hint), "names of the cases' own"
    return verdict


def assert_pending(exercise_id: str, *answer: object) -> Verdict:
    verdict = check(exercise_id, *answer)
    assert verdict.state == "pendiente", verdict.text
    return verdict
