"""The HTTP cache tests (cache-tests.fyi, npm's http-cache-tests) against the sidecar's cache.

They were written to compare caches: what a cache must do, what a good one does, and what is only asked. The
results of ten products come with them and are counted here by the same rule, which is theirs: a test whose
precondition fails does not count as passed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import PATIENCE, eventually, free_port, get

import labkit
from labkit.patterns.proxy import Retries
from labkit.patterns.sidecar import CacheSettings, sidecar

VERSION = "0.4.5"
AT_LEAST = 141

# What fails, and why; anything else is a fault of ours.
_OWN_502 = "the service hangs up and our own 502 has no Server-Request-Count, so it counts as «from cache»"
_BAD_LENGTH = "the test's own answer names a Content-Length that is not its body's: no valid HTTP, so a 502"
_COOKIE = "an answer with Set-Cookie is not kept unless it says public: allowed by 7.3, and safer"
EXPECTED = {
    "stale-close-must-revalidate": _OWN_502,
    "stale-close-proxy-revalidate": _OWN_502,
    "stale-close-no-cache": _OWN_502,
    "stale-close-s-maxage=2": _OWN_502,
    "headers-store-Content-Length": _BAD_LENGTH,
    "304-etag-update-response-Content-Length": _BAD_LENGTH,
    "headers-store-Set-Cookie": _COOKIE,
    "304-etag-update-response-Set-Cookie": _COOKIE,
    "304-etag-update-response-ETag": "RFC 9111, 4.3.4: a 304 with another strong ETag updates nothing stored",
    "age-parse-prefix": "two values in Age make an answer too old here; the test wants the first one used",
}

_DESCRIBE = """
import suites from './tests/index.mjs'
const tests = suites.flatMap(suite => suite.tests).filter(test => !test.browser_only)
const told = ({ id, kind, depends_on }) => ({ id, kind: kind || 'required', needs: depends_on || [] })
console.log(JSON.stringify(tests.map(told)))
"""

pytestmark = [pytest.mark.soak, pytest.mark.limit(300)]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed by npm; skipped without it, unless CI requires it."""
    folder = tmp_path_factory.mktemp("http-cache-tests")
    npm = shutil.which("npm")
    if npm is None:
        assert not os.environ.get("CI"), "npm is required in CI"
        pytest.skip("no npm")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", f"http-cache-tests@{VERSION}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        assert not os.environ.get("CI"), done.stderr
        pytest.skip("npm could not install http-cache-tests")
    return folder / "node_modules" / "http-cache-tests"


def node(folder: Path, *words: str, **settings: str) -> Any:
    environment = os.environ | {f"npm_config_{name}": value for name, value in settings.items()}
    environment["npm_package_config_id"] = ""
    done = subprocess.run(
        ["node", "--no-warnings", *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def passed(tests: dict[str, Any], results: dict[str, Any]) -> set[str]:
    """The required tests that pass, each together with what it depends on."""

    def passes(test: str) -> bool:
        return results.get(test) is True and all(map(passes, tests[test]["needs"]))

    return {test for test in tests if tests[test]["kind"] == "required" and passes(test)}


def test_the_cache_passes_what_is_required_and_more_than_any_product(suite: Path, tmp_path: Path) -> None:
    port = str(free_port())
    described = node(suite, "--input-type=module", "-e", _DESCRIBE)
    tests = {test["id"]: test for test in described}
    service = subprocess.Popen(
        ["node", "server/server.mjs"],
        cwd=suite,
        env=os.environ
        | {
            "npm_config_port": port,
            "npm_config_protocol": "http",
            "npm_config_pidfile": str(tmp_path / "pid"),
        },
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}/"))
        # One attempt: these tests count requests, and take a retry for a fault of the cache.
        settings: dict[str, Any] = {"retries": Retries(attempts=1), "log": lambda line: None}
        app = sidecar(f"http://127.0.0.1:{port}", cache=CacheSettings(), **settings)
        with labkit.serve(app, name="sidecar") as before:
            results = node(suite, "cli.mjs", base=before.url)
    finally:
        service.kill()
        service.wait(PATIENCE)

    required = {test for test in tests if tests[test]["kind"] == "required"}
    ours = passed(tests, results)
    products = {
        path.stem: len(passed(tests, json.loads(path.read_text("utf-8"))))
        for path in sorted((suite / "results").glob("*.json"))
    }
    print(f"{len(ours)} of {len(required)} required; published: {products}")
    assert {test: results.get(test) for test in required - ours if test not in EXPECTED} == {}
    assert len(ours) >= AT_LEAST
    assert len(ours) > max(products.values())


def answers(url: str) -> bool:
    try:
        return get(url).status_code < 500
    except OSError:
        return False
