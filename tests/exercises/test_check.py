"""check: what it says of right, wrong, unfinished, hanging and hostile answers."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
import textwrap
import threading
import time
import types
from pathlib import Path

import pytest
from answers import assert_pending, assert_right, assert_wrong
from kernels import kernel

import labkit.course
from labkit.errors import LabkitError
from labkit.exercises.check import CheckFailed, NotChecked, UnknownExercise, check
from labkit.exercises.deadline import call_with_deadline
from labkit.exercises.exercise import Case, Exercise, find_exercise, is_question, known_ids


class Lesson(types.ModuleType):
    """A lesson's module in the making: each Exercise put into it is one of its EXERCISES."""

    @property
    def EXERCISES(self):
        return tuple(value for value in vars(self).values() if isinstance(value, Exercise))


def install(folder: Path, module: str) -> None:
    """Write what pip writes of a package that brings the exercises ZZ."""
    info = folder / "teacher-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: teacher\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[labkit.exercises]\nZZ = {module}\n")


@pytest.fixture
def lesson(monkeypatch, tmp_path):
    """A lesson ZZ of a package made on the spot; `lesson.X = Exercise(…)` adds to it."""
    module = Lesson("exercises_of_zz")
    install(tmp_path, module.__name__)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delenv("LABKIT_STRICT", raising=False)
    return module


@pytest.fixture
def double(lesson):
    """ZZ-1: `doble(number)`; with a short deadline, since some of its answers hang."""
    lesson.DOUBLE = exercise = Exercise("ZZ-1", writes="doble", deadline=0.3)

    @exercise.case("con 2", raised="¿qué sabes de los números?", late="¿cuánto hay que pensar?")
    def two(case: Case, doble):
        found = doble(2)
        case.expect(found == 4, f"con 2 devolvió {found}: ¿es el doble?")

    @exercise.case("con texto")
    def text(case: Case, doble):
        found = doble("ab")
        case.expect(found == "abab", f"con 'ab' devolvió {found!r}")

    return exercise


def no_thread_is_left():
    """Whether the checks' threads end, on a busy machine some time after the verdict."""
    end = time.monotonic() + 10
    while left := [thread for thread in threading.enumerate() if thread.name == "labkit-check"]:
        if time.monotonic() > end:
            return left
        left[0].join(0.1)
    return True


# What it says


def test_a_right_answer_is_ok_and_the_cases_are_counted(double):
    verdict = assert_right("ZZ-1", lambda x: x * 2)
    assert repr(verdict) == str(verdict) == "ZZ-1 ok · 2 casos"
    assert verdict.cases == 2


def test_one_case_is_counted_in_the_singular(lesson):
    lesson.ONE = Exercise("ZZ-2", writes="x")
    lesson.ONE.case("siempre")(lambda case, x: None)
    assert repr(check("ZZ-2", 1)) == "ZZ-2 ok · 1 caso"


def test_a_wrong_answer_falls_with_the_hint_of_the_first_case_that_saw_it(double):
    verdict = assert_wrong("ZZ-1", lambda x: x, hint_contains="con 2 devolvió 2")
    assert repr(verdict) == "ZZ-1 falla · con 2 devolvió 2: ¿es el doble?"


def test_an_exception_of_the_answer_is_named_with_its_message_and_its_case(double):
    def doble(x):
        return {4: 4}[x]

    verdict = assert_wrong("ZZ-1", doble, hint_contains="con 2, tu código lanzó KeyError (2)")
    assert verdict.hint.endswith(": ¿qué sabes de los números?")


def test_an_exception_that_cannot_be_printed_is_named(double):
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError

    def doble(x):
        raise Silent

    assert_wrong("ZZ-1", doble, hint_contains="tu código lanzó Silent:")


def test_a_long_message_is_shortened_to_one_line(double):
    def doble(x):
        raise ValueError("muchas\nlíneas " * 100)

    hint = assert_wrong("ZZ-1", doble, hint_contains="ValueError").hint
    assert len(hint) < 300
    assert "\n" not in hint


def test_an_answer_that_gives_something_unusable_is_not_said_to_raise(lesson):
    lesson.USE = exercise = Exercise("ZZ-3", writes="pares")
    source = "def use(case, pares):\n    return pares()[0]"
    scope: dict = {}
    place = Path(labkit.course.__file__).parent / "lessons" / "zz.py"
    exec(compile(source, str(place), "exec"), scope)  # a case that stands where cases stand
    exercise.case("sin nada")(scope["use"])
    assert_wrong("ZZ-3", lambda: 5, hint_contains="sin nada, lo que devolvió tu código no se pudo usar")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_an_answer_that_exits_is_wrong_and_the_kernel_lives(double, error):
    def doble(x):
        raise error

    assert_wrong("ZZ-1", doble, hint_contains=error.__name__)


def test_a_failure_counts_also_where_its_exception_gets_lost(lesson):
    lesson.CALLBACK = exercise = Exercise("ZZ-4", writes="llamar")

    @exercise.case("con una función que llama de vuelta")
    def back(case, llamar):
        llamar(lambda: case.fail("llamó dos veces"))

    def llamar(function):
        with contextlib.suppress(Exception):
            function()

    assert_wrong("ZZ-4", llamar, hint_contains="llamó dos veces")


def bare_stub(x): ...


def test_several_things_reach_the_case_in_their_order(lesson):
    lesson.BOTH = exercise = Exercise("ZZ-5", given=("registro",), writes=("tabla", "grafo"))
    seen = []
    exercise.case("con ambas")(lambda case, *things: seen.append(things))
    assert_right("ZZ-5", None, {"a": 1}, [2])  # what is given is nothing that the learner has to write
    assert seen == [(None, {"a": 1}, [2])]


@pytest.mark.parametrize(
    ("things", "names"),
    [
        ((0, ..., 1, 2), "uno"),
        ((0, 1, ..., None), "dos y tres"),
        ((0, ..., None, bare_stub), "uno, dos y tres"),
    ],
)
def test_of_several_things_those_that_are_missing_are_named(lesson, things, names):
    lesson.SEVERAL = Exercise("ZZ-6", given=("dado",), writes=("uno", "dos", "tres"))
    assert repr(check("ZZ-6", *things)) == f"ZZ-6 pendiente · escribe {names} y vuelve a ejecutar"


def test_without_an_answer_it_says_what_to_give(double):
    verdict = assert_wrong("ZZ-1", hint_contains="")
    assert repr(verdict) == 'ZZ-1 falla · faltan argumentos: labkit.check("ZZ-1", doble)'


@pytest.mark.parametrize(
    ("things", "problem"), [((1,), "faltan"), ((..., 1), "faltan"), ((1, 2, 3, 4), "sobran")]
)
def test_with_another_number_of_things_it_says_which_are_wanted(lesson, things, problem):
    lesson.SEVERAL = Exercise("ZZ-6", given=("dado",), writes=("uno", "dos"))
    assert_wrong("ZZ-6", *things, hint_contains=f'{problem} argumentos: labkit.check("ZZ-6", dado, uno, dos)')


def test_the_html_says_the_same_in_words_and_escapes_what_the_answer_said(double):
    def doble(x):
        raise ValueError("<script>")

    shown = check("ZZ-1", doble)._repr_html_()
    assert "ZZ-1 falla" in shown
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


def test_what_an_answer_prints_is_printed_once(double, capsys):
    def doble(x):
        print("pensando")
        return x * 2

    assert_right("ZZ-1", doble)
    assert capsys.readouterr().out == "pensando\n" * 2


# Not written yet


async def async_stub(): ...


def stub_with_docstring(x):
    """What it will do."""
    # TU CÓDIGO AQUÍ
    ...  # noqa: PIE790


def bare_pass(x):
    pass


class Registry:
    """A class with a method to be written."""

    def __init__(self):
        self.instances = {}

    def register(self, name):
        self.instances[name] = 1

    def renew(self, name):
        # TU CÓDIGO AQUÍ
        ...


@functools.wraps(stub_with_docstring)
def decorated(x):
    return stub_with_docstring(x)


@pytest.mark.parametrize(
    "thing",
    [
        None,
        ...,
        {"sana": ...},
        [1, ...],
        stub_with_docstring,
        bare_pass,
        async_stub,
        decorated,
        functools.partial(bare_pass, 1),
        Registry().renew,
    ],
)
def test_what_is_not_written_is_pending(double, thing):
    verdict = assert_pending("ZZ-1", thing)
    assert repr(verdict) == "ZZ-1 pendiente · escribe doble y vuelve a ejecutar"


def test_a_class_with_a_stub_is_pending_and_the_method_is_named(double):
    assert "escribe Registry.renew y" in assert_pending("ZZ-1", Registry).text


def test_an_object_of_a_class_written_in_the_notebook_is_pending_too(double, monkeypatch):
    monkeypatch.setattr(Registry, "__module__", "__main__")
    assert_pending("ZZ-1", Registry())


def returns_constant(x):
    return 5


def returns_a_constant_with_docstring(x):
    """Doc."""
    return "Doc."


def raises(x):
    raise NotImplementedError


@pytest.mark.parametrize(
    "thing", [returns_constant, returns_a_constant_with_docstring, raises, 0, "", [], lambda x: x, print]
)
def test_what_is_written_however_little_is_not_pending(double, thing):
    assert check("ZZ-1", thing).state == "falla"


def test_one_thing_of_several_is_pending(double):
    double.writes = ("doble", "triple")
    assert "escribe triple y" in assert_pending("ZZ-1", lambda x: 2 * x, None).text


# Answers that do not come back


def loops(x):
    while True:
        pass


def loops_and_swallows(x):
    while True:
        try:
            int("no")
        except:  # noqa: E722
            pass


def swallows_twice(x):
    while True:
        try:
            loops_and_swallows(x)
        except BaseException:
            pass


def retries_in_finally(x):
    try:
        while True:
            x += 1
    finally:
        while True:
            x += 1


@pytest.mark.parametrize("answer", [loops, loops_and_swallows, swallows_twice, retries_in_finally])
def test_an_answer_that_loops_is_told_so_and_its_thread_ends(double, answer):
    began = time.monotonic()
    verdict = assert_wrong("ZZ-1", answer, hint_contains="con 2, tu código no terminó en 0.3 s")
    assert verdict.hint.endswith("¿cuánto hay que pensar?")
    assert time.monotonic() - began < 3
    assert no_thread_is_left() is True


def test_an_answer_that_sleeps_is_told_so_and_the_next_check_works(double):
    woken = threading.Event()

    def doble(x):
        woken.wait(60)

    assert_wrong("ZZ-1", doble, hint_contains="no terminó en 0.3 s")
    assert_right("ZZ-1", lambda x: x * 2)
    woken.set()
    assert no_thread_is_left() is True


def test_a_lock_held_by_a_with_block_is_given_back_when_a_loop_is_stopped(double):
    lock = threading.Lock()

    def doble(x):
        with lock:
            while True:
                pass

    assert_wrong("ZZ-1", doble, hint_contains="no terminó")
    assert lock.acquire(timeout=1)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_of_the_user_passes_through_and_stops_the_answer(tmp_path):
    # In a process of its own: the interrupt must be the real one, and hit the main thread.
    program = """
        import _thread, sys, threading, time, types
        from labkit.exercises.check import check
        from labkit.exercises.exercise import Exercise
        sys.path.insert(0, sys.argv[1])
        module = sys.modules["zz"] = types.ModuleType("zz")
        exercise = Exercise("ZZ-1", writes="x", deadline=30)
        module.EXERCISES = [exercise]
        left = []
        @exercise.case("siempre")
        def always(case, x):
            case.cleanup(left.append, "limpio")
            x()
        def x():
            while True: pass
        threading.Timer(0.3, _thread.interrupt_main).start()
        try:
            check("ZZ-1", x)
        except KeyboardInterrupt:
            print("interrumpido", left, [t.name for t in threading.enumerate() if "check" in t.name])
    """
    install(tmp_path, "zz")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stdout == "interrumpido ['limpio'] []\n", done.stderr


# What a case took is given back


@pytest.mark.parametrize("answer", [lambda: 5, lambda: 1 / 0, lambda: loops(1), lambda: time.sleep(1.5)])
def test_what_a_case_took_is_given_back_however_it_ends(lesson, answer):
    lesson.TAKES = exercise = Exercise("ZZ-6", writes="x", deadline=0.3)
    events = []

    @contextlib.contextmanager
    def service():
        events.append("start")
        yield "url"
        events.append("stop")

    @exercise.case("siempre")
    def takes(case, x):
        case.cleanup(events.append, "last")
        assert case.enter(service()) == "url"
        x()

    check("ZZ-6", answer)
    assert events == ["start", "stop", "last"]


def test_what_is_taken_after_the_deadline_is_given_back_at_once(lesson):
    lesson.LATE = exercise = Exercise("ZZ-7", writes="x", deadline=0.2)
    go, events, over = threading.Event(), [], threading.Event()

    @contextlib.contextmanager
    def service():
        events.append("start")
        yield
        events.append("stop")

    @exercise.case("tarde")
    def late(case, x):
        try:
            go.wait(30)
        except SystemExit:
            pass
        try:
            case.enter(service())
        finally:
            over.set()

    check("ZZ-7", 1)
    go.set()
    assert over.wait(5)
    assert events in ([], ["start", "stop"])


def test_a_clean_up_that_fails_is_the_courses_fault(lesson):
    lesson.DIRTY = exercise = Exercise("ZZ-8", writes="x")
    exercise.case("siempre")(lambda case, x: case.cleanup(lambda: 1 / 0))
    assert_wrong("ZZ-8", 1, hint_contains="Es un error del curso, no tuyo")


# Strict, unknown and badly declared


@pytest.mark.parametrize("strict", [("LABKIT_STRICT", "1"), ("NBGRADER_EXECUTION", "autograde")])
@pytest.mark.parametrize("answer", [None, lambda x: x, loops])
def test_strict_anything_but_ok_raises(double, monkeypatch, answer, strict):
    monkeypatch.setenv(*strict)
    with pytest.raises(CheckFailed, match=r"ZZ-1 (falla|pendiente)") as caught:
        check("ZZ-1", answer)
    assert isinstance(caught.value, LabkitError)
    monkeypatch.delenv(strict[0])
    assert_right("ZZ-1", lambda x: x * 2)


def test_nbgrader_is_given_no_value_to_take_for_points(double, monkeypatch, capsys):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert check("ZZ-1", lambda x: x * 2) is None
    assert capsys.readouterr().out.startswith("ZZ-1 ok")


def test_a_right_answer_that_warns_writes_nothing_to_stderr_in_nbgraders_hands():
    """nbgrader gives no points to a cell that does."""
    answer = """
        import logging, sys, warnings
        import flask, labkit
        logging.basicConfig()
        aviso = logging.getLogger("mío")
        LIBROS = {"42": "Rayuela", "43": "Pedro Páramo"}
        def catalogo_de(name):
            aviso.warning("por el log")
            warnings.warn("como aviso")
            print("a mano", file=sys.stderr)
            app = flask.Flask(name)
            @app.get("/libros/<isbn>")
            def libro(isbn):
                if isbn in LIBROS:
                    return {"titulo": LIBROS[isbn], "instancia": name}
                return {"error": "no está"}, 404
            return app
    """
    with kernel(env={"NBGRADER_EXECUTION": "autograde"}) as running:
        running.ok(textwrap.dedent(answer))
        cell = running.ok("labkit.check('IN-1', catalogo_de)")
        assert "IN-1 ok" in cell.stdout
        assert cell.stderr == ""
        assert all(said in cell.stdout for said in ("por el log", "como aviso", "a mano"))
        assert running.ok("print('después', file=sys.stderr)").stderr == "después\n"


@pytest.mark.parametrize("given", ["ZZ-11", "zz-1", "ZZ1"])
def test_an_unknown_exercise_is_refused_and_the_nearest_is_named(double, given):
    with pytest.raises(UnknownExercise, match=f"ningún ejercicio '{given}'.*ZZ-1") as caught:
        check(given, loops)
    assert isinstance(caught.value, LabkitError)
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize("given", ["ZZ-2", "zz-2a", "ZZ-2A"])
def test_of_an_exercise_in_pieces_the_pieces_are_named(lesson, given):
    lesson.FIRST, lesson.SECOND = Exercise("ZZ-2a", writes="x"), Exercise("ZZ-2b", writes="y")
    with pytest.raises(UnknownExercise, match=r"¿Querías decir .*ZZ-2a"):
        check(given, 1)
    lesson.SECOND.case("siempre")(lambda case, y: None)
    assert_right("ZZ-2b", 1)


@pytest.mark.parametrize("things", [(), (1,), (..., 2)])
def test_a_question_is_said_to_be_one(double, lesson, things):
    lesson.QUESTIONS = ("ZZ-4",)
    with pytest.raises(NotChecked) as caught:
        check("ZZ-4", *things)
    assert str(caught.value) == (
        "ZZ-4 es una pregunta: contéstala en su celda. No tiene comprobación automática."
    )
    assert isinstance(caught.value, UnknownExercise)


def test_an_id_like_no_other_is_refused_and_all_are_named(double):
    with pytest.raises(UnknownExercise, match=r"Los ejercicios son: .*ZZ-1"):
        check("?", 1)


def test_arguments_the_wrong_way_round_are_refused(double):
    with pytest.raises(UnknownExercise, match="Escribe primero el nombre"):
        check(lambda x: x, "ZZ-1")


@pytest.mark.parametrize("bad", ["zz-1", "ZZ-0", "ZZ1", "", "ZZ-1A", "ZZ-1ab", "ZZ-a"])
def test_an_exercise_with_a_malformed_id_cannot_be_declared(bad):
    with pytest.raises(ValueError, match="two capitals"):
        Exercise(bad, writes="x")


@pytest.mark.parametrize("bad", [0, -1, float("nan")])
def test_an_exercise_without_a_deadline_cannot_be_declared(bad):
    with pytest.raises(ValueError, match="deadline"):
        Exercise("ZZ-1", writes="x", deadline=bad)


def test_a_teachers_package_adds_an_exercise_without_touching_labkit(tmp_path):
    """A real package, installed beside labkit, and a fresh process that asks for its exercise."""
    install(tmp_path, "teacher_exercises")
    (tmp_path / "teacher_exercises.py").write_text(
        textwrap.dedent("""
        from labkit.exercises.exercise import Exercise

        MINE = Exercise("ZZ-1", writes="doble")
        EXERCISES, QUESTIONS = (MINE,), ("ZZ-2",)

        @MINE.case("con 2")
        def two(case, doble):
            case.expect(doble(2) == 4, "¿es el doble?")
        """)
    )
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import labkit\n"
        "print(labkit.check('ZZ-1', lambda x: 2 * x), labkit.check('ZZ-1', lambda x: x), sep='; ')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.stdout.strip() == "ZZ-1 ok · 1 caso; ZZ-1 falla · ¿es el doble?", done.stderr


def test_two_exercises_of_one_id_are_refused(double, lesson):
    lesson.AGAIN = Exercise("ZZ-1", writes="x")
    with pytest.raises(ValueError, match="two exercises of one id: ZZ-1, ZZ-1"):
        check("ZZ-1", 1)


def test_every_exercise_of_the_course_has_cases_and_an_id_of_its_lesson():
    for exercise_id in known_ids():
        exercise = find_exercise(exercise_id)
        assert exercise is not None
        assert exercise.cases, exercise_id
        assert not is_question(exercise_id)


def test_the_deadline_lets_a_call_end_in_time():
    seen = []
    assert not call_with_deadline(lambda: seen.append(1), 5).late
    assert seen == [1]


def test_check_needs_neither_nbformat_nor_ipython():
    program = "import sys; sys.modules.update(dict.fromkeys(['nbformat', 'nbclient', 'IPython']));"
    program += "from labkit.exercises.check import check; print('ok')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.stdout == "ok\n", done.stderr


def test_an_answer_that_swallows_after_a_sleep_ends_too(double):
    def doble(x):
        while True:
            try:
                time.sleep(0.5)
            except:  # noqa: E722
                pass

    assert_wrong("ZZ-1", doble, hint_contains="no terminó")
    assert no_thread_is_left() is True


def test_fifty_answers_that_loop_leave_the_kernel_as_it_was(lesson):
    lesson.MANY = exercise = Exercise("ZZ-9", writes="x", deadline=0.01)
    exercise.case("siempre")(lambda case, x: x(1))
    for _ in range(50):
        assert_wrong("ZZ-9", loops_and_swallows, hint_contains="no terminó")
    assert no_thread_is_left() is True


def test_an_answer_that_waits_does_not_stop_who_is_traced_meanwhile():
    """In CPython 3.11 a traced call spins while an exception is pending for a thread that waits in C."""
    released = threading.Event()
    outcome = call_with_deadline(released.wait, 0.05)
    calls = []
    before = sys.gettrace()
    sys.settrace(lambda frame, event, arg: calls.append(event))
    try:
        (lambda: None)()
    finally:
        sys.settrace(before)
        released.set()
    assert outcome.late
    assert "call" in calls


def assert_a_traced_thread_runs():
    calls = []
    before = sys.gettrace()

    def traced():
        sys.settrace(lambda frame, event, arg: calls.append(event))
        try:
            (lambda: None)()
        finally:
            sys.settrace(before)

    thread = threading.Thread(target=traced, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert "call" in calls


@pytest.mark.parametrize(
    "answer", [lambda: 1 / 0, lambda: next(iter(int, 1)), lambda: [0 for _ in iter(int, 1)]]
)
def test_an_answer_that_failed_or_was_stopped_does_not_stop_who_is_traced_later(answer):
    """Nor after it: setting an exception, even none, leaves a note until some thread raises one."""
    call_with_deadline(answer, 0.05)
    assert_a_traced_thread_runs()


def test_an_answer_that_raises_after_its_deadline_does_not_stop_who_is_traced_later():
    """It raised by itself, between two tries to stop it."""
    release = threading.Event()

    def answer():
        release.wait()
        raise RuntimeError

    before = set(threading.enumerate())
    assert call_with_deadline(answer, 0.05).late
    time.sleep(0.1)  # the second try comes 0.2 s after the first, and the third 0.3 s after that
    release.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()
    assert_a_traced_thread_runs()
