"""labkit/journal.py: bounded, complete, the same on every run."""

from __future__ import annotations

import gc
import logging
import queue
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from labkit.entries import Line, Request
from labkit.journal import Journal
from labkit.traces import brief_traceback


def record(message: str, *args: object, exc_info: object = None) -> logging.LogRecord:
    return logging.LogRecord("tienda", logging.WARNING, __file__, 1, message, args, exc_info)  # type: ignore[arg-type]


def test_a_request_stands_in_the_journal_from_its_arrival_on() -> None:
    journal = Journal()
    request = journal.begin("GET", "/stock/7")
    assert journal.lines == ["GET /stock/7 → …"]
    journal.answer(request, 200)
    assert journal.lines == ["GET /stock/7 → 200"]
    assert journal.requests == [Request(["GET", "/stock/7", 200, 0.0, None, ()])]
    assert journal.requests != [Request(["GET", "/stock/7", 404, 0.0, None, ()])]
    assert journal.counts == {"requests": 1, "errors": 0, "dropped": 0}


def test_who_holds_a_request_sees_how_it_goes_on() -> None:
    journal = Journal()
    noted = journal.begin("GET", "/stock/7")
    (held,) = journal.requests
    assert (held.status, held.duration) == (None, None)
    journal.answer(noted, 201)
    journal.done(noted, 0.25)
    assert (held.status, held.duration) == (201, 0.25)
    assert repr(held) == f"Request('GET', '/stock/7', 201, {held.started!r}, 0.25, ())"


def test_backwards_it_is_read_without_a_copy_and_while_it_is_cleared() -> None:
    journal = Journal()
    for number in range(3):
        journal.note(str(number))
    newest = reversed(journal)
    assert str(next(newest)) == "2"
    journal.clear()
    assert list(newest) == []


def test_only_answers_from_500_on_are_errors_and_each_counts_once() -> None:
    journal = Journal()
    for status in (200, 404, 499, 500, 503):
        journal.answer(journal.begin("GET", "/"), status)
    assert journal.counts["errors"] == 2
    corrected = journal.begin("GET", "/")
    journal.answer(corrected, 200)
    journal.answer(corrected, 500)  # an error page after a start that came to nothing
    journal.answer(corrected, 500)
    assert journal.counts["errors"] == 3


def test_ten_thousand_entries_and_then_the_oldest_are_dropped_and_counted() -> None:
    journal = Journal()
    for number in range(10_250):
        journal.write(f"{number}\n")
    assert len(journal) == 10_000
    assert journal.lines[0] == "250"
    assert journal.lines[-1] == "10249"
    assert journal.counts["dropped"] == journal.dropped == 250
    assert journal.text(last=1).splitlines() == ["(… 10249 entradas más antiguas)", "10249"]


def test_requests_are_counted_although_they_were_dropped() -> None:
    journal = Journal(limit=3)
    for _ in range(5):
        journal.answer(journal.begin("GET", "/"), 500)
    assert journal.counts == {"requests": 5, "errors": 5, "dropped": 2}
    assert len(journal.requests) == 3


def test_pieces_printed_without_an_end_become_one_line() -> None:
    journal = Journal()
    journal.write("a")
    journal.write("b")
    assert journal.lines == []
    journal.write("c\nd\n\ne")
    assert journal.lines == ["abc", "d", ""]
    journal.flush()
    assert journal.lines == ["abc", "d", "", "e"]
    journal.flush()
    assert len(journal) == 4


def test_pieces_of_two_threads_do_not_mix() -> None:
    journal = Journal()
    barrier = threading.Barrier(2, timeout=20)

    def speak(letter: str) -> None:
        for _ in range(50):
            barrier.wait()
            journal.write(letter)
            barrier.wait()
            journal.write(letter + "\n")

    threads = [threading.Thread(target=speak, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(journal.lines) == ["aa"] * 50 + ["bb"] * 50


def test_eight_threads_at_once_lose_nothing() -> None:
    journal = Journal(limit=100_000)
    barrier = threading.Barrier(8, timeout=20)
    reading = threading.Event()

    def work() -> None:
        barrier.wait()
        for number in range(500):
            journal.answer(journal.begin("GET", f"/{number}"), 500)
            journal.write(f"{number}\n")
            journal.log(record("%d", number))

    def read() -> None:
        while not reading.is_set():
            journal.lines, journal.text(), list(journal), repr(journal)

    reader = threading.Thread(target=read)
    reader.start()
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reading.set()
    reader.join()
    assert len(journal) == 8 * 500 * 3
    assert journal.counts == {"requests": 4000, "errors": 4000, "dropped": 0}


def test_a_log_record_is_its_level_its_logger_and_its_message() -> None:
    journal = Journal()
    journal.log(record("quedan %d", 3))
    assert journal.lines == ["WARNING tienda: quedan 3"]


def test_a_log_record_whose_arguments_do_not_fit_is_kept_and_harms_nobody() -> None:
    journal = Journal()
    journal.log(record("quedan %d", "tres"))
    (line,) = journal.lines
    assert "quedan %d" in line
    assert "tres" in line


def test_a_traceback_names_functions_and_lines_and_no_path_time_or_address() -> None:
    journal = Journal()

    def reparte() -> float:
        return 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        reparte()
    journal.error(caught.value)
    assert brief_traceback(caught.value) == journal.lines[0]
    (entry,) = journal
    assert isinstance(entry, Line)
    assert "  en reparte, línea " in entry.text
    assert "return 1 / 0" in entry.text
    assert entry.text.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert __file__ not in entry.text
    assert not re.search(r"0x[0-9a-f]+", entry.text)
    assert __file__ in entry.detail  # whole, for who asks


def test_an_exception_without_frames_and_one_from_a_library_show_too() -> None:
    journal = Journal()
    journal.error(ValueError("sin marcos"))
    assert journal.lines == ["ValueError: sin marcos"]
    error = queue.Queue().get_nowait  # its frames are all the library's
    with ThreadPoolExecutor(1) as pool:
        caught = pool.submit(error).exception()
    journal.log(record("no se pudo", exc_info=(type(caught), caught, caught.__traceback__)))
    assert (
        journal.lines[1].startswith("no se pudo\n  en get_nowait, línea ")
        or "  en get, línea " in journal.lines[1]
    )
    assert journal.lines[1].endswith("\nEmpty")


def test_text_of_an_empty_journal_and_of_a_cleared_one() -> None:
    journal = Journal(limit=2)
    assert repr(journal) == "(diario vacío)"
    for _ in range(5):
        journal.answer(journal.begin("GET", "/"), 500)
    journal.clear()
    assert journal.text() == "(diario vacío)"
    assert journal.counts == {"requests": 0, "errors": 0, "dropped": 0}


def test_a_finalizer_that_speaks_while_the_journal_is_held_does_not_hang_it() -> None:
    """The garbage collector runs finalizers anywhere; aiohttp's "Unclosed client session" is one."""
    journal = Journal()
    journal.note("uno")

    class Speaks:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            journal.note("adiós")

    def collect() -> None:
        for early in range(12):  # the collection is set off by one of the next containers that are made
            for read in (journal._snapshot, lambda: journal.begin("GET", "/")):
                gc.collect(0)
                gc.disable()
                while gc.get_count()[0] <= gc.get_threshold()[0] - early:
                    Speaks()
                gc.enable()
                read()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(20)
    gc.enable()
    assert not thread.is_alive()
    assert "adiós" in journal.lines


@pytest.mark.parametrize("limit", [10_000, 7])
def test_twenty_threads_that_write_more_than_it_holds_while_others_read(limit: int) -> None:
    journal = Journal(limit=limit)
    barrier = threading.Barrier(20, timeout=20)
    over = threading.Event()
    wrong: list[str] = []

    def work(thread: int) -> None:
        barrier.wait()
        for number in range(300):
            journal.answer(journal.begin("GET", f"/{thread}/{number}"), 500 if number % 3 == 0 else 200)
            journal.write(f"{thread} {number}\n")
            journal.log(record("%d", number))

    def read() -> None:
        seen = 0
        while not over.is_set():
            text, dropped = journal.text(last=5), journal.dropped
            if len(list(journal)) > limit or len(journal.lines) > limit or dropped < seen:
                wrong.append(text)
            seen = dropped
            head, *shown = text.splitlines()
            if len(journal) == limit and not head.startswith("(… ") and len(shown) >= 5:
                wrong.append(text)

    readers = [threading.Thread(target=read) for _ in range(3)]
    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in [*readers, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    for thread in readers:
        thread.join()
    assert wrong == []
    assert len(journal) == limit
    assert journal.counts == {"requests": 6000, "errors": 2000, "dropped": 18_000 - limit}
    assert repr(journal).splitlines()[0] == f"(… {18_000 - min(30, limit)} entradas más antiguas)"
    for thread_number in range(20):  # of each thread the newest, in its order
        mine = [line.split()[1] for line in journal.lines if line.startswith(f"{thread_number} ")]
        assert mine == sorted(mine, key=int)
