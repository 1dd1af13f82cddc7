"""The pytest fixture `labkit`: services for one test, stopped at its end.

    def test_the_shop_survives_its_stock(labkit):
        stock = labkit.serve(stock_app, name="stock")
        shop = labkit.serve(make_shop(stock.url))
        with stock.faults.error(503, every=2):
            assert labkit.load(shop, requests=20).ok == 20

pytest finds it by its entry point; `-p no:labkit` does without. Each test has a roster of its own, so
that names are free whatever else the process serves, a notebook's services included; ports are free ones
unless the test names one, so that tests may run side by side (pytest-xdist). The report of a test that fails
shows the journals of its services.

Every run of pytest on a machine that has labkit imports this: nothing is loaded until a test asks for it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from labkit.lens.result import Result
    from labkit.roster import Roster


class Bench:
    """Serving and loading for one test: the value of the fixture `labkit`.

    `services`: what the test has served, by name.
    """

    def __init__(self, services: Roster) -> None:
        self.services = services

    def serve(self, app: Any, **options: Any) -> Any:
        """Serve an application until the test ends; arguments and errors of `labkit.serve`."""
        return self.services.serve(app, **options)

    def load(self, target: Any, **options: Any) -> Result:
        """Send bounded load to a service; arguments and errors of `labkit.load`."""
        from labkit.lens.load import load

        return load(target, **options)


_BENCH = pytest.StashKey[Bench]()


@pytest.fixture
def labkit(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Serve applications for this test (`labkit.serve(app)`); they are stopped when it ends."""
    from labkit.roster import Roster

    bench = request.node.stash[_BENCH] = Bench(Roster())
    try:
        yield bench
    finally:
        bench.services.stop_all(grace=0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failed test's report what its services served, printed, logged and raised."""
    report = yield
    bench = item.stash.get(_BENCH, None)
    if bench is not None and report.failed:
        for service in bench.services:
            report.sections.append((f"labkit: {service!r}", repr(service.journal)))
    return report
