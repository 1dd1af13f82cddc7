"""Change every small thing of each master's answer, and see that its check refuses it: `make mutants`.

    python tests/mutants.py              # every exercise that has a file in tests/lessons
    python tests/mutants.py CB-7 SD-6    # these

A comparison, a number, a bool, a lock or another `with`, an `except`, an `and`, a statement left out, a value
not returned, a keyword left out: made from the answer's syntax tree, one at a time. A change that means the
same as the answer stands in its exercise's test file, `Master(…, same={…})`, with a word why. It ends with 1
when any other is accepted. Each exercise runs in a process of its own, since mutants leave threads behind.
"""

from __future__ import annotations

import ast
import concurrent.futures
import copy
import importlib.util
import io
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS)]

from answers import Master  # noqa: E402

from labkit.exercises.pace import QUICK  # noqa: E402

SECONDS = 900  # that one exercise's mutants may take
_COMPARISONS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_SUMS: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult}


def variants(node: ast.AST) -> Iterator[ast.AST | list[ast.stmt]]:
    """Yield what stands instead of a node in each mutant: another, or the statements that are left of one."""
    match node:
        case ast.Compare():
            for number, operator in enumerate(node.ops):
                other = copy.deepcopy(node)
                other.ops[number] = _COMPARISONS[type(operator)]()
                yield other
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(node.value + 1)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.BinOp() | ast.AugAssign() if type(node.op) in _SUMS:
            other = copy.deepcopy(node)
            other.op = _SUMS[type(node.op)]()
            yield other
        case ast.Call(keywords=[_, *_]):
            for number in range(len(node.keywords)):
                other = copy.deepcopy(node)
                del other.keywords[number]
                yield other
        case ast.Return() if node.value is not None and not _is_none(node.value):
            yield ast.Return(ast.Constant(None))
        case ast.ExceptHandler() if node.type is not None:
            other = copy.deepcopy(node)
            other.type = ast.Name("ZeroDivisionError", ast.Load())
            yield other
    match node:
        case ast.With() | ast.AsyncWith():
            yield node.body
        case ast.If():
            yield node.orelse or [ast.Pass()]
        case ast.Try(finalbody=[_, *_]):
            yield [*node.body, *node.finalbody] if not node.handlers else [_without_finally(node)]
        case ast.Assign() | ast.AugAssign() | ast.Raise() | ast.Delete() | ast.Expr():
            # Neither a docstring nor the `name = ...` that a stub keeps.
            if not (isinstance(node, ast.Expr | ast.Assign) and isinstance(node.value, ast.Constant)):
                yield [ast.Pass()]


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _without_finally(node: ast.Try) -> ast.stmt:
    other = copy.deepcopy(node)
    other.finalbody = []
    return other


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Yield each mutant of an answer: what was changed (numbered where it is twice), and the source."""
    tree = ast.parse(source)
    before = ast.unparse(tree)
    seen: dict[str, int] = {}
    places = [
        (parent, field, number)
        for parent in ast.walk(tree)
        for field, value in ast.iter_fields(parent)
        for number in (range(len(value)) if isinstance(value, list) else [None])
    ]
    for parent, field, number in places:
        held = getattr(parent, field)
        node = held if number is None else held[number]
        if not isinstance(node, ast.AST) or isinstance(parent, ast.JoinedStr | ast.FormattedValue):
            continue
        for other in variants(node):
            instead = other if isinstance(other, list) else [other]
            if number is None:
                setattr(parent, field, other)
            else:
                held[number : number + 1] = instead
            text = ast.unparse(ast.fix_missing_locations(tree))
            if number is None:
                setattr(parent, field, node)
            else:
                held[number : number + len(instead)] = [node]
            name = _change(before, text)
            seen[name] = seen.get(name, 0) + 1
            yield (name if seen[name] == 1 else f"{name} ({seen[name]})"), text


def _change(before: str, after: str) -> str:
    """Return the first line that differs, as it was and as it is."""
    pairs = itertools.zip_longest(before.splitlines(), after.splitlines(), fillvalue="")
    return next((f"{old.strip()} → {new.strip()}" for old, new in pairs if old != new), "")


def masters() -> dict[str, tuple[Path, Master]]:
    """Return the Master of each exercise that has a test file, by id."""
    found = {}
    for path in sorted((TESTS / "lessons").rglob("test_??[0-9]*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for value in vars(module).values():
            if isinstance(value, Master):
                found[value.exercise.id] = (path, value)
    return found


def report(master: Master) -> dict[str, Any]:
    """Judge every mutant of a master's answer; tell those accepted, and what is listed and was refused."""
    accepted, made = [], 0
    quiet = io.StringIO()
    with redirect_stdout(quiet), redirect_stderr(quiet):
        for name, source in mutants(master.source):
            made += 1
            try:
                state = master.verdict(source, QUICK).state
            except BaseException as error:  # the mutant does not even define what is checked
                state = type(error).__name__
            if state == "ok":
                accepted.append(name)
    survivors = [name for name in accepted if name not in master.same]
    return {"made": made, "same": len(accepted) - len(survivors), "survivors": survivors,
            "stale": [name for name in master.same if name not in accepted]}  # fmt: skip


def _run(exercise_id: str) -> tuple[str, dict[str, Any], float]:
    began = time.monotonic()
    command = [sys.executable, __file__, "--report", exercise_id]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        result = json.loads(done.stdout.strip().splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, json.JSONDecodeError) as error:
        result = {"made": 0, "same": 0, "survivors": [f"no report: {type(error).__name__}"], "stale": []}
    return exercise_id, result, time.monotonic() - began


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--report"]:
        out = os.dup(1)  # what mutants print goes elsewhere
        text = json.dumps(report(masters()[arguments[1]][1]))
        os.write(out, f"\n{text}\n".encode())
        os._exit(0)  # their threads need not end
    known = masters()
    chosen = arguments or list(known)
    total = refused = bad = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for exercise_id, result, seconds in pool.map(_run, chosen):
            out_of = result["made"] - result["same"]
            total, refused = total + out_of, refused + out_of - len(result["survivors"])
            print(f"{exercise_id:<7} {out_of - len(result['survivors']):>4} / {out_of:<4} "
                  f"same {result['same']:<3} {seconds:6.1f} s", flush=True)  # fmt: skip
            for kind in ("survivors", "stale"):
                for name in result[kind]:
                    bad += 1
                    print(f"        {kind.removesuffix('s')}: {name}", flush=True)
    print(f"refused {refused} of {total} made, {len(chosen)} exercises")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
