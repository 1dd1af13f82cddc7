"""python -m labkit: lab, build and doctor, as a learner or an author calls them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import Any

import pytest
import requests
from nbformat.v4 import new_code_cell, new_notebook

from labkit.__main__ import NotFound, main, notebooks_folder
from labkit.course.edition import to_text


@pytest.fixture
def course(tmp_path, monkeypatch):
    masters = tmp_path / "notebooks" / "soluciones"
    masters.mkdir(parents=True)
    text = to_text(new_notebook(cells=[new_code_cell("1 + 1")]))
    (masters / "00_inicio.ipynb").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_notebooks_are_found_from_the_course_folder_and_from_below(course):
    for start in (course, course / "notebooks", course / "notebooks" / "soluciones"):
        assert notebooks_folder(start) == course / "notebooks"


def test_without_notebooks_it_says_where_it_looked(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("labkit.__main__.FIRST", "no_existe.ipynb")
    with pytest.raises(NotFound, match=str(tmp_path)):
        notebooks_folder(tmp_path)
    assert main(["build"]) == 1
    assert "No encuentro los cuadernos" in capsys.readouterr().err


def test_build_check_then_build_then_check(course, capsys, monkeypatch):
    monkeypatch.setattr(
        "labkit.course.build.execute", lambda *_, **__: None
    )  # no kernel: see test_course_build
    assert main(["build", "--check"]) == 1
    assert "python -m labkit build" in capsys.readouterr().err
    assert main(["build", "00_inicio"]) == 0
    assert "escrito" in capsys.readouterr().out
    assert main(["build", "--check"]) == 0
    assert (course / "notebooks" / "00_inicio.ipynb").exists()


def test_build_of_an_unknown_notebook_is_an_error(course, capsys):
    assert main(["build", "42"]) == 1
    assert "Hay: 00_inicio" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["bild"], ["build", "--chek"], ["doctor", "--port=1"]])
def test_a_wrong_command_line_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.fixture
def handed(course, monkeypatch):
    """What JupyterLab was started with."""
    seen = []
    monkeypatch.setattr("jupyterlab.labapp.main", seen.extend)
    (course / "notebooks" / "00_inicio.ipynb").touch()
    return seen


def test_lab_hands_the_first_notebook_and_all_further_arguments_to_jupyterlab(course, handed):
    rest = ["--no-browser", "--port=8899", "--ServerApp.token=", "--help"]
    assert main(["lab", *rest]) == 0
    assert handed[-len(rest) :] == rest
    assert str(course / "mi_curso") in handed
    assert "--LabApp.default_url=/lab/tree/00_inicio.ipynb" in handed
    assert [path.name for path in (course / "mi_curso").glob("[!.]*")] == ["00_inicio.ipynb"]


def test_lab_opens_the_folder_that_is_named_and_copies_nothing(course, handed):
    assert main(["lab", "notebooks/soluciones"]) == 0
    assert handed[-1] == "notebooks/soluciones"
    assert not (course / "mi_curso").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no root")
@pytest.mark.parametrize(("user", "allowed"), [(0, ["--allow-root"]), (1000, [])])
def test_lab_as_root_says_so_in_a_line_and_starts(handed, monkeypatch, capsys, user, allowed):
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert main(["lab"]) == 0
    assert [option for option in handed if option == "--allow-root"] == allowed
    assert ("Eres root" in capsys.readouterr().out) == (user == 0)


@pytest.mark.limit(180)
def test_lab_serves_jupyterlab_on_the_notebooks(course):
    """As the user one is, root included."""
    (course / "notebooks" / "00_inicio.ipynb").write_text(to_text(new_notebook()), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "labkit",
        "lab",
        "--no-browser",
        f"--port={port}",
        "--IdentityProvider.token=",
    ]
    with open(course / "lab.log", "w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            names: set[str] = set()
            settings: dict[str, Any] = {}
            end = time.monotonic() + 120  # a busy machine takes its time
            while not settings and process.poll() is None and time.monotonic() < end:
                try:
                    reply = requests.get(f"http://127.0.0.1:{port}/api/contents", timeout=20)
                    names = {item["name"] for item in reply.json().get("content", [])}
                    settings = requests.get(f"http://127.0.0.1:{port}/lab/api/settings", timeout=20).json()
                except requests.RequestException:
                    time.sleep(0.2)
            log.seek(0)
            shown = log.read()
        finally:
            process.terminate()
            process.wait(10)
    assert names == {"00_inicio.ipynb"}, shown  # the masters are out of sight
    defaults = {setting["id"]: setting["schema"].get("properties") for setting in settings["settings"]}
    assert defaults["@jupyterlab/translation-extension:plugin"]["locale"]["default"] == "es_ES"
    assert defaults["@jupyterlab/apputils-extension:notification"]["fetchNews"]["default"] == "false"
    assert "/lab/tree/00_inicio.ipynb" in shown
