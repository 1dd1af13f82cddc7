"""doctor: every finding says what was found and what to do, and only what prevents the course is an error."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.course import doctor

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path):
    """A clone whose pyproject.toml asks for what the test writes into it."""

    def make(dependencies=(), course=(), python=">=3.11", constraints=None):
        (tmp_path / "pyproject.toml").write_text(
            f'[project]\nname = "x"\nrequires-python = "{python}"\n'
            f"dependencies = {json.dumps(dependencies)}\n"
            f"[project.optional-dependencies]\ncourse = {json.dumps(course)}\n"
        )
        if constraints is not None:
            (tmp_path / "constraints.txt").write_text(constraints)
        return tmp_path

    return make


def levels(findings):
    return [finding.level for finding in findings]


def test_a_python_that_is_too_old_is_an_error_that_says_what_is_wanted(clone):
    finding = doctor.python(clone(python=">=3.99"))
    assert finding.level == "error"
    assert ">=3.99" in finding.text
    assert finding.remedy


def test_this_python_is_fine():
    assert doctor.python(ROOT).level == "ok"


def test_the_projects_own_packages_are_installed():
    assert "error" not in levels(doctor.packages(ROOT))


def test_a_missing_package_and_one_out_of_range_are_errors(clone):
    place = clone(["no-such-package>=1", "flask"], ["requests<1"])
    missing, wrong = doctor.packages(place)
    assert (missing.level, wrong.level) == ("error", "error")
    assert "no-such-package>=1" in missing.text
    assert "requests" in wrong.text
    assert "requests<1" in wrong.text
    assert "pip install" in missing.remedy


def test_a_requirement_for_another_python_does_not_count(clone):
    assert levels(doctor.packages(clone(["no-such-package; python_version < '3'"]))) == ["ok"]


def test_versions_other_than_the_tested_ones_are_a_warning(clone):
    pins = [
        "# made by uv",
        "flask==0.1",
        "no-such-package==1",
        "werkzeug==0.1 ; python_version<'3'",
        "pip==0.1",
    ]
    place = clone(["flask"], constraints="\n".join(pins))
    fine, warning = doctor.packages(place)
    assert (fine.level, warning.level) == ("ok", "aviso")
    assert "flask" in warning.text
    assert "werkzeug" not in warning.text
    assert "pip" not in warning.text, "no environment is made with the pinned one"
    assert "-c constraints.txt" in warning.remedy


def kernelspec(folder, monkeypatch, argv):
    place = folder / "kernels" / "python3"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(folder))  # comes before every other place


def test_a_kernel_of_this_python_is_fine(tmp_path, monkeypatch):
    assert doctor.kernel().level == "ok"
    kernelspec(tmp_path, monkeypatch, [sys.executable, "-m", "ipykernel_launcher"])
    assert doctor.kernel().level == "ok"


def test_a_kernel_of_another_python_is_an_error(tmp_path, monkeypatch):
    other = tmp_path / "otro"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(other)], check=True, timeout=60)
    [python] = [*other.glob("bin/python"), *other.glob("Scripts/python.exe")]
    kernelspec(tmp_path, monkeypatch, [str(python), "-m", "ipykernel_launcher"])
    finding = doctor.kernel()
    assert finding.level == "error"
    assert str(other) in finding.text
    assert "ipykernel install" in finding.remedy


def test_a_kernel_that_does_not_start_is_an_error(tmp_path, monkeypatch):
    kernelspec(tmp_path, monkeypatch, [str(tmp_path / "gone" / "python")])
    finding = doctor.kernel()
    assert finding.level == "error"
    assert "gone" in finding.text


def test_a_taken_port_is_a_warning_that_names_who_has_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        [finding] = doctor.ports((port,))
    assert finding.level == "aviso"
    assert str(port) in finding.text
    assert finding.remedy
    assert levels(doctor.ports((port,))) == ["ok"]


def test_it_looks_at_the_ports_that_the_lessons_name():
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "notebooks").glob("*.ipynb"))
    named = {int(port) for port in re.findall(r"port=(\d+)", sources)} - {0}
    assert set(doctor.messages.PORT_USES) == {*named, 8888}


def test_a_proxy_before_the_own_services_is_an_error_without_its_password(monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://ana:secreto@proxy.example:3128")
    finding = doctor.loopback()
    assert finding.level == "error"
    assert "proxy.example" in finding.text
    assert "secreto" not in finding.text
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    assert doctor.loopback().level == "ok"


def test_no_browser_is_no_warning(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert doctor.chromium().level == "ok"


def test_the_exit_code_is_1_only_for_what_prevents_the_course(monkeypatch, capsys, tmp_path):
    def found(*findings):
        monkeypatch.setattr(doctor, "examine", lambda notebooks: iter(findings))
        return doctor.report(tmp_path), capsys.readouterr().out

    assert found(doctor.Finding("ok", "bien"))[0] == 0
    assert found(doctor.Finding("aviso", "raro", "míralo"))[0] == 0
    code, text = found(doctor.Finding("ok", "bien"), doctor.Finding("error", "mal", "arréglalo"))
    assert code == 1
    assert "✗ mal\n    → arréglalo\n" in text


def test_it_looks_at_everything_on_this_machine(tmp_path):
    findings = list(doctor.examine(tmp_path))
    assert {finding.level for finding in findings} <= {"ok", "aviso", "error"}
    assert all(finding.remedy for finding in findings if finding.level != "ok")
    assert any(str(tmp_path) in finding.text for finding in findings)
