"""labkit/journal_file.py: whole lines or none, and no file ever holds up or breaks a service."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time
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
    new_stage,
    no_file_is_written,
    open_files,
)

import labkit
from labkit import journal_file
from labkit.errors import CannotWrite
from labkit.journal import Journal
from labkit.journal_file import JournalFile

needs_dev_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has the disk that is full")
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


@pytest.fixture
def stage() -> Iterator[Stage]:
    with new_stage() as stage:
        yield stage


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Try again sooner than a class would need it, and leave no file's thread to the tests that follow."""
    monkeypatch.setattr(journal_file, "RETRY", 0.02)
    monkeypatch.setattr(journal_file, "_IDLE", 0.1)
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
    request.duration = 0.25
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
    assert file.written == 3
    assert (file.failures, file.lost) == (0, 0)


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
            assert file.flush()  # waits for no request that lasts
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
def test_a_full_disk_is_said_once_counted_and_breaks_nothing(kind: str, stage: Stage) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        file = write_to(service.journal, "/dev/full")
        assert [get(service.url).status_code for _ in range(20)] == [200] * 20
        eventually(lambda: file.failures >= 3)
        assert not file.flush()
        said = [line for line in service.journal.lines if "/dev/full" in line]
        assert said == [
            "no se puede escribir el diario en /dev/full: no queda espacio en el disco. "
            "El servicio sigue, y se reintenta cada segundo."
        ]
        assert repr(file) == "el diario se escribe en /dev/full · no queda espacio en el disco"
        assert file.written == file.lost == 0
        late = Journal(name="tarde")  # who comes later is told too
        write_to(late, "/dev/full")
        late.note("algo")
        eventually(lambda: [line for line in late.lines if "no queda espacio" in line])
        service.journal.write_to(None)


@needs_dev_full
def test_what_waits_for_a_full_disk_is_bounded_and_what_is_lost_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "WAITING", 100)
    path = tmp_path / "x.log"
    path.symlink_to("/dev/full")
    file = JournalFile(str(path), "x.log")
    journal = Journal(name="x")
    file.take("x", journal.begin("GET", "/never ends"))
    for number in range(1, 251):
        journal.note(str(number))
        file.take("x", list(journal)[-1])
    eventually(lambda: file.failures > 1 and file.lost == 151)
    assert len(file._waiting) == 100
    path.unlink()  # and now there is space
    assert file.flush(PATIENCE)
    lines = lines_of(path)
    assert lines[0]["text"] == "entradas perdidas mientras no se podía escribir: 151"
    assert [line["text"] for line in lines[1:]] == [str(number) for number in range(151, 251)]
    assert file.lost == 151
    assert file.written == 101
    assert file.error is None


@posix
def test_a_file_at_the_systems_limit_has_whole_lines_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    """RLIMIT_FSIZE cuts off a write in the middle, as a disk that fills does."""
    path = tmp_path / "x.log"
    code = """
import resource, sys, time
from labkit import journal_file
from labkit.journal import Journal
journal_file.RETRY = 0.02
path = sys.argv[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
journal = Journal(name="x")
file = journal.write_to(path)
def whole():
    data = open(path, "rb").read()
    assert data.endswith(b"\\n"), data[-100:]
    return data.count(b"\\n")
for round in range(3):
    for number in range(100):
        journal.note(f"{round} {number} {'x' * number}")
    while file.error is None:
        time.sleep(0.005)
    before = file.failures
    while file.failures < before + 3:
        time.sleep(0.005)
    assert whole() == file.written
    assert sum("no se puede escribir" in line for line in journal.lines) == round + 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    while not file.flush() or file.error:
        time.sleep(0.005)
    while sum("vuelve a escribirse" in line for line in journal.lines) < round + 1:
        time.sleep(0.005)
    assert file.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.written * 150, resource.RLIM_INFINITY))
assert file.lost == 0
assert whole() == file.written == len(journal) == 306
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=PATIENCE)
    numbers = [line["text"].split()[:2] for line in lines_of(path) if line["text"].endswith(("x", " "))]
    assert numbers == [[str(round), str(number)] for round in range(3) for number in range(100)]


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """Needs the right to mount: where it is missing, the two tests above stand for it."""
    disk = tmp_path / "disco"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    try:
        refused = subprocess.run(mount, capture_output=True).returncode
    except OSError:
        refused = 1
    if refused:
        pytest.skip("no right to mount a small disk here")
    try:
        path = disk / "tienda.log"
        with labkit.serve(flask.Flask("tienda"), name="tienda") as service:
            file = write_to(service.journal, path)
            for number in range(250):
                service.journal.note(f"{number} {'x' * 300}")
            eventually(lambda: file.failures > 2)
            assert get(service.url).status_code == 404
            assert len(lines_of(path)) == file.written > 50
            whole = path.read_bytes()
            path.unlink()  # somebody makes room; the file is begun anew
            eventually(lambda: (file.flush() and file.failures and file.error is None) or file.failures > 500)
            first = [int(line["text"].split()[0]) for line in map(json.loads, whole.splitlines())]
            assert first == list(range(len(first)))
            assert lines_of(path)[0]["text"].split()[0] == str(len(first))
            service.journal.write_to(None)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@posix
def test_a_file_that_hangs_holds_up_no_service_and_no_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that nobody reads stands for a network's disk that went away."""
    monkeypatch.setattr(journal_file, "WAITING", 50)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with labkit.serve(flask.Flask("tienda"), name="tienda") as service:
        file = write_to(service.journal, path)
        service.journal.note("x" * 1_000_000)
        eventually(lambda: not file._arrived)  # the thread is on it
        for number in range(100):
            service.journal.note(str(number))
        assert get(service.url).status_code == 404
        assert "x" * 100 in service.journal.text()
        assert len(file._arrived) == 50  # the bound holds meanwhile
        began = time.monotonic()
        assert not file.flush(timeout=0.1)
        assert time.monotonic() - began < 10
        service.journal.write_to(None)

    def read() -> bool:
        try:
            os.read(reader, 100_000)
        except BlockingIOError:
            pass
        return file.flush(0)

    eventually(read)
    os.close(reader)


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
    assert 10_000 < sum(p.stat().st_size for p in tmp_path.iterdir()) < 30_000


def test_after_half_a_line_of_a_kernel_that_was_killed_comes_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b'{"text": "uno"}\n{"text": "do')
    journal = Journal(name="x")
    file = write_to(journal, path)
    journal.note("tres")
    assert file.flush()
    assert path.read_bytes().splitlines()[1] == b'{"text": "do'
    assert json.loads(path.read_bytes().splitlines()[2])["text"] == "tres"


# its life


@pytest.mark.parametrize("kind", ["flask", "aiohttp"])
def test_its_thread_and_descriptors_end_by_themselves(kind: str, stage: Stage, tmp_path: Path) -> None:
    threads, files = threading.active_count(), open_files()
    for number in range(5):
        with labkit.serve(build(kind, stage), name="x") as service:
            service.journal.write_to(tmp_path / f"{number}.log")
            get(service.url)
    eventually(lambda: threading.active_count() <= threads)
    eventually(lambda: open_files() <= files)
    del service
    gc.collect()
    # The roster keeps the last of each name to show it, and with it its journal.
    eventually(lambda: len([path for path in journal_file._files if str(tmp_path) in path]) == 1)


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


@needs_dev_full
def test_a_full_disk_does_not_hold_up_the_end_of_the_interpreter() -> None:
    code = """
from labkit.journal import Journal
journal = Journal(name="x")
journal.write_to("/dev/full")
journal.note("x")
"""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], timeout=PATIENCE, check=True)
    assert time.monotonic() - began < 10


def test_bytes_that_are_no_text_and_faults_are_json_too(tmp_path: Path) -> None:
    journal = Journal(name="x")
    file = write_to(journal, tmp_path / "x.log")
    request = journal.begin("GET", "/\udcff")
    request.faults = ("retraso", "error")
    request.duration = 0.0
    assert file.flush()
    (line,) = lines_of(tmp_path / "x.log")
    assert (line["path"], line["status"], line["faults"]) == ("/\udcff", None, ["retraso", "error"])


def test_pandas_reads_it(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    with labkit.serve(flask.Flask("x"), name="x") as service:
        file = write_to(service.journal, tmp_path / "x.log")
        service.journal.note("hola")
        get(service.url)
        eventually(lambda: file.flush() and file.written == 2)
    table = pandas.read_json(tmp_path / "x.log", lines=True)
    assert list(table["kind"]) == ["log", "request"]
    assert table["status"].iloc[1] == 404
    assert pandas.to_datetime(table["time"]).is_monotonic_increasing


def test_a_request_that_never_ends_is_written_as_it_is_when_no_journal_writes_there_any_longer(
    tmp_path: Path,
) -> None:
    journal = Journal(name="pagos")
    file = write_to(journal, tmp_path / "pagos.log")
    journal.begin("GET", "/cuelga")
    journal.note("dos")
    assert file.flush()
    assert [line.get("path") for line in lines_of(tmp_path / "pagos.log")] == [None]
    journal.write_to(None)
    eventually(lambda: len(lines_of(tmp_path / "pagos.log")) == 2)
    assert lines_of(tmp_path / "pagos.log")[1]["seconds"] is None
    eventually(lambda: file._thread is None)
