"""labkit/faults.py: what makes no sense is refused before anything is injected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labkit.errors import BadFault
from labkit.faults import Faults, GroupFaults


@pytest.mark.parametrize(
    ("inject", "names"),
    [
        (lambda f: f.error(probability=1.5), "probability=1.5"),
        (lambda f: f.error(probability=-0.1), "probability=-0.1"),
        (lambda f: f.error(probability=float("nan")), "probability=nan"),
        (lambda f: f.error(probability="0.3"), "probability='0.3'"),
        (lambda f: f.error(probability=True), "probability=True"),
        (lambda f: f.error(every=0), "every=0"),
        (lambda f: f.error(every=-10), "every=-10"),
        (lambda f: f.error(every=2.5), "every=2.5"),
        (lambda f: f.error(every=True), "every=True"),
        (lambda f: f.error(every=2, probability=0.5), "every=2 y probability=0.5"),
        (lambda f: f.error(probability=0.5, seed="x"), "seed='x'"),
        (lambda f: f.hang(seed=7), "seed=7"),
        (lambda f: f.delay(1, every=2, seed=7), "seed=7"),
        (lambda f: f.delay(-1), "seconds=-1"),
        (lambda f: f.delay(float("inf")), "seconds=inf"),
        (lambda f: f.delay(1e9), "seconds=1000000000.0"),
        (lambda f: f.delay("1"), "seconds='1'"),
        (lambda f: f.delay(1, jitter=-1), "jitter=-1"),
        (lambda f: f.delay(1, jitter=2), "jitter=2"),
        (lambda f: f.error(99), "status=99"),
        (lambda f: f.error(100), "status=100"),
        (lambda f: f.error(600), "status=600"),
        (lambda f: f.error("503"), "status='503'"),
        (lambda f: f.error(503, retry_after=-1), "retry_after=-1"),
        (lambda f: f.error(503, retry_after=1.5), "retry_after=1.5"),
        (lambda f: f.error(503, body=object), "body="),
        (lambda f: f.error(503, body={"x": object}), "body="),
        (lambda f: f.hang(path="stock"), "path='stock'"),
        (lambda f: f.hang(path="/stock?x=1"), "path='/stock?x=1'"),
        (lambda f: f.hang(path=7), "path=7"),
        (lambda f: f.drop(method=""), "method=''"),
        (lambda f: f.drop(method=["GET"]), "method=['GET']"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_and_nothing_is_injected(
    inject: Callable[[Any], object], names: str
) -> None:
    faults = Faults("x")
    group = GroupFaults([faults, Faults("y")])
    for injector in (faults, group):
        with pytest.raises(BadFault) as caught:
            inject(injector)
        assert names in str(caught.value)
        assert isinstance(caught.value, ValueError)
        assert len(group) == 0
