"""labkit/journal_file.py: whole lines or none, and no file ever holds up or breaks a service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flask
import pytest
from support import (
    KINDS,
    PATIENCE,
    Raw,
    Stage,
    build,
    eventually,
    get,
    no_file_is_written,
    open_files,
)

import labkit
from labkit import journal_file
from labkit.entries import FAULTS
from labkit.errors import BadArgument, CannotWrite, WrongType
from labkit.journal import Journal
from labkit.journal_file import JournalFile

needs_dev_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has the disk that is full")
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Leave no file's thread to the tests that follow."""
    yield
    no_file_is_written()


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Every line, whole."""
    text = path.read_bytes().decode()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def write_to(journal: Journal, path: Path | str) -> JournalFile:
    file = journal.write_to(path)
    assert file is not None
    return file


def test_what_is_held_and_what_comes_is_written_a_json_object_a_line(tmp_path: Path) -> None:
    journal = Journal(name="pagos")
    journal.write("antes: ñ\n")
    file = write_to(journal, tmp_path / "pagos.log")
    request = journal.begin("GET", "/libros/ñ")
    journal.answer(request, 200)
    journal.done(request, 0.25)
    try:
        raise ZeroDivisionError("división\nentre cero")
    except ZeroDivisionError as error:
        journal.error(error)
    assert file.flush()
    first, second, third = lines_of(tmp_path / "pagos.log")
    assert (first["service"], first["kind"], first["text"]) == ("pagos", "print", "antes: ñ")
    assert {name: value for name, value in second.items() if name != "time"} == {
        "service": "pagos",
        "kind": "request",
        "method": "GET",
        "path": "/libros/ñ",
        "status": 200,
        "seconds": 0.25,
    }
    assert third["kind"] == "error"
    assert third["text"].endswith("ZeroDivisionError: división\nentre cero")
    assert third["detail"].startswith("Traceback")
    assert (file.error, file.lost) == (None, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_requests_of_a_service_are_written_when_they_have_ended(
    kind: str, stage: Stage, tmp_path: Path
) -> None:
    path = tmp_path / "tienda.log"
    with labkit.serve(build(kind, stage), name="tienda") as service:
        file = write_to(service.journal, path)
        with Raw(service) as raw:
            raw.ask("/wait")
            stage.wait_entered()
            get(service.url)
            get(f"{service.url}/boom")
            eventually(lambda: len([line for line in lines_of(path) if line["kind"] == "request"]) == 2)
            assert file.flush()
            assert [line["path"] for line in lines_of(path) if line["kind"] == "request"] == ["/", "/boom"]
            stage.release.set()
            raw.read_until(b"done")
        eventually(lambda: any(line.get("path") == "/wait" for line in lines_of(path)))
    lines = lines_of(path)
    assert {line["service"] for line in lines} == {"tienda"}
    assert all(line["seconds"] >= 0 for line in lines if line["kind"] == "request")
    assert Counter(line["status"] for line in lines if line["kind"] == "request") == {200: 2, 500: 1}


def test_the_cell_run_again_adds_to_the_file_and_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    for number in range(3):
        service = labkit.serve(flask.Flask("x"), name="x")
        file = write_to(service.journal, path)
        assert write_to(service.journal, str(path)) is file
        get(f"{service.url}/{number}")
        eventually(lambda: file.flush() and len(lines_of(path)) == number + 1)  # noqa: B023
    service.stop()
    assert [line["path"] for line in lines_of(path)] == ["/0", "/1", "/2"]


def test_none_ends_it_and_another_path_moves_it(tmp_path: Path) -> None:
    journal = Journal(name="x")
    first = write_to(journal, tmp_path / "a.log")
    journal.note("uno")
    assert first.flush()
    second = write_to(journal, tmp_path / "b.log")
    journal.note("dos")
    assert second.flush()
    assert journal.write_to(None) is None
    journal.note("tres")
    assert second.flush()
    assert [line["text"] for line in lines_of(tmp_path / "a.log")] == ["uno"]
    assert [line["text"] for line in lines_of(tmp_path / "b.log")] == ["uno", "dos"]


def test_two_services_eight_threads_one_file_and_every_line_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "clase.log"
    journals = [Journal(name="a"), Journal(name="b")]
    file, _ = [write_to(journal, path) for journal in journals]

    def work(number: int) -> None:
        for turn in range(250):
            journals[number % 2].write(f"{number} {turn} {'x' * (turn * 37 % 900)}\n")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert file.flush(PATIENCE)
    lines = lines_of(path)
    assert Counter(line["service"] for line in lines) == {"a": 1000, "b": 1000}
    for number in range(8):
        mine = [line["text"].split()[1] for line in lines if line["text"].startswith(f"{number} ")]
        assert mine == [str(turn) for turn in range(250)]


def test_two_kernels_one_file_and_every_line_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "clase.log"
    code = """
import sys
from labkit.journal import Journal
journal = Journal(name=sys.argv[2])
file = journal.write_to(sys.argv[1])
for turn in range(2000):
    journal.write(f"{turn} {'x' * (turn % 300)}\\n")
assert file.flush(20)
"""
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [process.wait(PATIENCE) for process in processes] == [0, 0]
    assert Counter(line["service"] for line in lines_of(path)) == {"a": 2000, "b": 2000}


@pytest.mark.parametrize(
    ("path", "words"),
    [("no/hay/pagos.log", "la carpeta no existe"), (".", "es una carpeta")],
    ids=["no folder", "a folder"],
)
@posix
def test_a_path_that_cannot_be_opened_is_told_in_the_cell(
    path: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    journal = Journal(name="x")
    with pytest.raises(CannotWrite) as caught:
        journal.write_to(path)
    assert str(caught.value) == f"No se puede escribir el diario en «{path}»: {words}. Elige otro archivo."
    assert isinstance(caught.value, OSError)
    journal.note("sigue")
    assert journal.lines == ["sigue"]


# the disk


@needs_dev_full
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_said_once_counted_and_breaks_nothing(kind: str, stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.symlink_to("/dev/full")
    file = JournalFile(str(path), "x.log")
    with labkit.serve(build(kind, stage), name="tienda") as service:
        service.journal._file = file
        file.attach(service.journal)
        assert [get(service.url).status_code for _ in range(20)] == [200] * 20
        eventually(lambda: file.lost >= 20)
        assert not file.flush()
        said = [line for line in service.journal.lines if "x.log" in line]
        assert said == [
            "no se puede escribir el diario en x.log: no queda espacio en el disco. "
            "El servicio sigue; lo que no se pueda escribir se pierde."
        ]
        assert repr(file).startswith(
            "el diario se escribe en x.log · no queda espacio en el disco · entradas"
        )
        path.unlink()  # and now there is space
        service.journal.note("otra vez")
        assert eventually(file.flush)
        assert "otra vez" in [line["text"] for line in lines_of(path) if line["kind"] == "log"]
        assert any("vuelve a escribirse" in line for line in service.journal.lines)
        service.journal.write_to(None)


@posix
def test_after_a_write_that_was_cut_off_comes_a_whole_line(tmp_path: Path) -> None:
    """RLIMIT_FSIZE cuts off a write in the middle, as a disk that fills does."""
    path = tmp_path / "x.log"
    code = """
import resource, signal, sys
from labkit.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
journal = Journal(name="x")
file = journal.write_to(sys.argv[1])
for number in range(100):
    journal.note(f"{number} {'x' * number}")
assert not file.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.note("fin")
file.flush()
assert file.flush() and file.lost
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=PATIENCE)
    *_, half, before, last = path.read_bytes().splitlines()
    assert (b"fin" in before) or (b"fin" in last), (half, before, last)
    assert json.loads(last)


def test_a_file_that_hangs_holds_up_no_service_and_no_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "WAITING", 50)
    back = threading.Event()
    monkeypatch.setattr(journal_file, "as_line", lambda service, entry: back.wait(PATIENCE) and "{}")
    with labkit.serve(flask.Flask("tienda"), name="tienda") as service:
        file = write_to(service.journal, tmp_path / "x.log")
        for number in range(100):
            service.journal.note(str(number))
        assert get(service.url).status_code == 404
        assert "99" in service.journal.text()
        assert 49 <= file.lost <= 51  # the bound holds meanwhile
        assert not file.flush(timeout=0.01)
        back.set()
        assert file.flush(PATIENCE)


@pytest.mark.parametrize("content", ["mi receta\n", '{"precio": 3}\n', "[1, 2]\n", "\x00\xff"])
@pytest.mark.parametrize("name", ["notas.txt", "notas.txt.1"])
def test_a_file_of_the_users_own_is_neither_written_to_nor_rotated_away(
    name: str, content: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="latin-1")
    journal = Journal(name="x")
    with pytest.raises(BadArgument, match="no es un diario de labkit"):
        journal.write_to(tmp_path / "notas.txt")
    journal.note("sigue")
    assert path.read_text("latin-1") == content


@pytest.mark.parametrize("path", [5, object(), ["x.log"]], ids=["number", "object", "list"])
def test_what_is_no_path_is_refused_in_a_sentence(path: Any) -> None:
    with pytest.raises(WrongType, match="usa la ruta de un archivo"):
        Journal(name="x").write_to(path)


def test_a_file_that_is_deleted_or_moved_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    journal = Journal(name="x")
    file = write_to(journal, path)
    for number in range(3):
        journal.note(str(number))
        assert file.flush()
        path.rename(tmp_path / f"{number}.log")
    assert [lines_of(tmp_path / f"{number}.log")[0]["text"] for number in range(3)] == ["0", "1", "2"]


def test_a_file_that_has_grown_is_kept_once_and_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "LIMIT", 10_000)
    path = tmp_path / "x.log"
    journal = Journal(name="x")
    file = write_to(journal, path)
    for number in range(600):
        journal.note(f"{number} {'x' * 100}")
        if number % 20 == 0:
            assert file.flush()
    assert file.flush()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.log", "x.log.1"]
    kept = [int(line["text"].split()[0]) for p in (tmp_path / "x.log.1", path) for line in lines_of(p)]
    assert kept == list(range(kept[0], 600))
    assert 10_000 < sum(p.stat().st_size for p in tmp_path.iterdir()) <= 20_000


def test_after_half_a_line_of_a_kernel_that_was_killed_comes_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b'{"time": "", "service": "x", "kind": "log"}\n{"text": "do')
    journal = Journal(name="x")
    file = write_to(journal, path)
    journal.note("tres")
    assert file.flush()
    assert path.read_bytes().splitlines()[1] == b'{"text": "do'
    assert json.loads(path.read_bytes().splitlines()[2])["text"] == "tres"


# its life


def test_its_thread_and_descriptors_end_with_the_last_journal(tmp_path: Path) -> None:
    threads, files = threading.active_count(), open_files()
    for number in range(5):
        journal = Journal(name="x")
        journal.write_to(tmp_path / f"{number}.log")
        journal.note("hola")
        journal.write_to(None)
    eventually(lambda: threading.active_count() <= threads)
    eventually(lambda: open_files() <= files)
    assert not journal_file._files


def test_the_words_of_the_last_moment_are_written_when_the_interpreter_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    code = """
import sys, threading, requests, labkit
from aiohttp import web
entered = threading.Event()
async def never(request):
    entered.set()
    await __import__("asyncio").Event().wait()
async def adios(app):
    print("adiós")
app = web.Application()
app.router.add_get("/", never)
app.on_cleanup.append(adios)
service = labkit.serve(app, name="x")
service.journal.write_to(sys.argv[1])
threading.Thread(target=lambda: requests.get(service.url), daemon=True).start()
entered.wait(20)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(path)],
        timeout=PATIENCE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    texts = [line.get("text") or f"{line['path']} {line['status']}" for line in lines_of(path)]
    assert "adiós" in texts
    assert "/ None" in texts  # what lasted is told as it was


def test_bytes_that_are_no_text_and_faults_are_json_too(tmp_path: Path) -> None:
    journal = Journal(name="x")
    file = write_to(journal, tmp_path / "x.log")
    noted = journal.begin("GET", "/\udcff")
    noted[FAULTS] = ("retraso", "error")
    journal.done(noted, 0.0)
    assert file.flush()
    (line,) = lines_of(tmp_path / "x.log")
    assert (line["path"], line["status"], line["faults"]) == ("/\udcff", None, ["retraso", "error"])


def test_pandas_reads_it(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    with labkit.serve(flask.Flask("x"), name="x") as service:
        file = write_to(service.journal, tmp_path / "x.log")
        service.journal.note("hola")
        get(service.url)
        eventually(lambda: file.flush() and len(lines_of(tmp_path / "x.log")) == 2)
    table = pandas.read_json(tmp_path / "x.log", lines=True)
    assert list(table["kind"]) == ["log", "request"]
    assert table["status"].iloc[1] == 404
    assert pandas.to_datetime(table["time"]).is_monotonic_increasing
