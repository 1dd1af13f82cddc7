"""labkit/pytest_plugin.py: the fixture `labkit`, in runs of pytest that know nothing of this project's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import flask
import pytest
from support import free_port, refused

import labkit
from labkit.roster import ROSTER

pytest_plugins = ["pytester"]

# The whole of a test module but its tests.
HEAD = """
import os
from pathlib import Path

import flask
import pytest
import requests

app = flask.Flask("stock")

@app.get("/")
def stock():
    print("asked for the stock")
    return "3"

@app.get("/boom")
def boom():
    raise ZeroDivisionError("no stock")
"""


def run(pytester: pytest.Pytester, tests: str, *options: str) -> pytest.RunResult:
    """Run tests in a process of their own, with this plugin and no other: some take seconds to load."""
    pytester.makepyfile(HEAD + tests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        return pytester.runpytest_subprocess("-q", "-p", "labkit.pytest_plugin", *options)


def test_serves_faults_and_loads(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_shop(labkit):
    service = labkit.serve(app)
    assert requests.get(service.url, timeout=5).text == "3"
    with service.faults.error(503, every=2):
        assert labkit.load(service, requests=4, concurrency=1).counts == {"200": 2, "503": 2}
    assert labkit.load(service, requests=4).ok == 4
    assert labkit.services["stock"] is service
""",
    )
    result.assert_outcomes(passed=1)


def test_every_service_is_stopped_at_the_end_of_its_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
urls = []

def test_passes(labkit):
    urls.append(labkit.serve(app).url)
    urls.extend(labkit.serve(lambda name: flask.Flask(name), name="shop", replicas=2).urls)

def test_fails(labkit):
    urls.append(labkit.serve(app).url)
    assert False

def test_afterwards():
    assert len(set(urls)) >= 3
    for url in urls:
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)
""",
    )
    result.assert_outcomes(passed=2, failed=1)


def test_a_handler_that_hangs_does_not_hold_up_the_end(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import threading

def test_hangs(labkit):
    entered = threading.Event()
    stuck = threading.Event()
    slow = flask.Flask("slow")
    slow.add_url_rule("/", "slow", lambda: (entered.set(), stuck.wait(), "")[-1])
    service = labkit.serve(slow, grace=3600)
    threading.Thread(target=lambda: requests.get(service.url), daemon=True).start()
    assert entered.wait(10)
""",
        "-p",
        "no:threadexception",
    )
    result.assert_outcomes(passed=1)


def test_the_report_of_a_failure_shows_the_journals(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_passes(labkit):
    requests.get(labkit.serve(app, name="quiet").url, timeout=5)

def test_fails(labkit):
    service = labkit.serve(app)
    requests.get(service.url, timeout=5)
    assert requests.get(service.url + "/boom", timeout=5).status_code == 200
""",
        "-rP",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*labkit: stock · corriendo · 2 peticiones · 1 error*",
            "*asked for the stock*",
            "*GET /boom*500*",
            "*ZeroDivisionError: no stock*",
        ]
    )
    result.stdout.no_fnmatch_line("*labkit: quiet*")


def test_the_report_shows_them_where_another_fixture_fails(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.fixture
def shop(labkit):
    service = labkit.serve(app, name="shop")
    requests.get(service.url, timeout=5)
    raise RuntimeError("no shop")

def test_errs(shop):
    pass
""",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*labkit: shop*", "*asked for the stock*"])


def test_two_tests_at_once(pytester: pytest.Pytester) -> None:
    """Each holds its service until the other has one of the same name."""
    result = run(
        pytester,
        """
from labkit import eventually

@pytest.mark.parametrize("own, other", [("a", "b"), ("b", "a")])
def test_shop(labkit, own, other):
    service = labkit.serve(app, name="shop")
    Path(own).write_text(service.url)
    eventually(Path(other).exists, timeout=30)
    url = eventually(Path(other).read_text, timeout=30)
    assert url != service.url
    assert requests.get(service.url, timeout=5).text == "3"
    Path(own + ".done").touch()
    eventually(Path(other + ".done").exists, timeout=30)
    assert len(service.journal.requests) == 1
    if own == "a":
        assert False, "its journal passes from the worker to the report"
""",
        "-p",
        "xdist",
        "-n",
        "2",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*labkit: shop · corriendo · 1 petición*", "*asked for the stock*"])


def test_a_name_that_the_process_serves_already_is_free(pytester: pytest.Pytester) -> None:
    """In the same process: the run's test has a `stock` of its own beside this one."""
    with labkit.serve(flask.Flask("stock"), name="stock", port=free_port()) as own:
        before = list(ROSTER)
        pytester.makepyfile(
            HEAD
            + """
def test_stock(labkit):
    assert list(labkit.services) == []
    assert requests.get(labkit.serve(app, name="stock").url, timeout=5).text == "3"
"""
        )
        pytester.runpytest_inprocess("-q").assert_outcomes(passed=1)
        assert own.running
        assert list(ROSTER) == before
        port = own.port
    assert refused(port)


def test_is_found_by_its_entry_point_and_may_be_left_out(pytester: pytest.Pytester) -> None:
    """It loads nothing as long as no test asks for it."""
    pytester.makepyfile(
        """
        import sys

        def test_nothing():
            assert not {"labkit.roster", "flask", "aiohttp"} & set(sys.modules)

        def test_shop(labkit):
            pass
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)
    without = pytester.runpytest_subprocess("-q", "-p", "no:labkit")
    without.assert_outcomes(passed=1, errors=1)
    without.stdout.fnmatch_lines(["*fixture 'labkit' not found*"])


def test_labkit_needs_no_pytest(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["pytest"] = sys.modules["_pytest"] = None
import flask, labkit
for name in labkit.__all__:
    getattr(labkit, name)
with labkit.serve(flask.Flask("stock")) as service:
    assert service.running
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
