"""Which route gets a path, what a bad route is told, and how a running table is replaced."""

import asyncio
import json
import sqlite3
import threading
from contextlib import suppress

import pytest
from support import eventually

from labkit.patterns.edge import (
    Route,
    RouteDatabase,
    RouteFile,
    Routes,
    RouteTable,
)
from labkit.patterns.edge.route_sources import follow, load
from labkit.patterns.proxy import ClientFault

HERE = "http://127.0.0.1:5001"
TABLE = RouteTable(Route(prefix, to=[HERE]) for prefix in ("/catalogo", "/pagos", "/pagos/admin", "/a+b"))


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/catalogo", "/catalogo"),
        ("/catalogo/", "/catalogo"),
        ("/catalogo/libros/42", "/catalogo"),
        ("/catalogos", None),
        ("/Catalogo", None),
        ("/", None),
        ("/pagos/1", "/pagos"),
        ("/pagos/admin", "/pagos/admin"),
        ("/pagos/administrar", "/pagos"),
        ("/pagos/%61dmin", "/pagos/admin"),
        ("/pagos%2Fadmin", "/pagos/admin"),
        ("/pagos%2fadmin/x", "/pagos/admin"),
        ("//pagos///admin", "/pagos/admin"),
        ("/pagos/%2561dmin", "/pagos"),  # decoded once, as the service does
        ("/%70agos", "/pagos"),
        ("/pagos/%zz", "/pagos"),
        ("/a+b/c", "/a+b"),
    ],
)
def test_the_longest_prefix_wins_however_the_path_is_written(path, prefix):
    route = TABLE.match(path)
    assert (route and route.prefix) == prefix


@pytest.mark.parametrize(
    "path",
    [
        "/catalogo/../pagos/admin",
        "/catalogo/%2e%2e/pagos",
        "/catalogo/.%2E/pagos",
        "/catalogo/..%2Fpagos",
        "/catalogo%2F..%2Fpagos",
        "/./pagos",
        "/catalogo/..;/pagos",
        "/catalogo/..;x=1/pagos",
        "/catalogo\\..\\pagos",
        "/catalogo/%5c",
        "/catalogo/%00",
        "/catalogo/%0d%0aHost:x",
        "/catalogo/\x7f",
    ],
)
def test_a_path_that_two_servers_could_read_in_two_ways_is_refused(path):
    with pytest.raises(ClientFault):
        TABLE.match(path)


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/v1/libros", "/"),
        ("/v1/libros/", "/"),
        ("/v1/libros/42", "/42"),
        ("/v1/libros/a%2Fb%20c", "/a%2Fb%20c"),
        ("/%761/libros/42", "/42"),
        ("//v1//libros/42//x", "/42//x"),
        ("/v1%2Flibros%2F42", "/42"),
        ("/v1/libros//42", "//42"),
    ],
)
def test_the_prefix_is_stripped_and_the_rest_stays_as_it_came(path, seen):
    route = Route("/v1/libros", to=[HERE], strip=True)
    assert RouteTable([route]).match(path) is route
    assert route.target(path) == seen


def test_a_path_is_not_touched_where_nothing_is_stripped():
    assert Route("/a", to=[HERE]).target("//a/%7Eb%2fc") == "//a/%7Eb%2fc"


def test_the_root_takes_what_nobody_else_takes():
    table = RouteTable([Route("/", to=[HERE], strip=True), Route("/pagos", to=[HERE])])
    assert table.match("/x/y").prefix == "/"
    assert table.match("/pagos/y").prefix == "/pagos"
    assert table.match("/x/y").target("/x/y") == "/x/y"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"prefix": "catalogo", "to": [HERE]}, "El prefijo"),
        ({"prefix": "/catalogo/", "to": [HERE]}, "El prefijo"),
        ({"prefix": "/a/../b", "to": [HERE]}, "El prefijo"),
        ({"prefix": "/%61", "to": [HERE]}, "El prefijo"),
        ({"prefix": "/a?b", "to": [HERE]}, "El prefijo"),
        ({"prefix": 3, "to": [HERE]}, "El prefijo"),
        ({"prefix": "/a"}, "necesita un destino"),
        ({"prefix": "/a", "to": []}, "necesita un destino"),
        ({"prefix": "/a", "to": [HERE], "service": "a"}, "necesita un destino"),
        ({"prefix": "/a", "service": ""}, "un texto"),
        ({"prefix": "/a", "to": ["127.0.0.1:5001"]}, "El destino"),
        ({"prefix": "/a", "to": [HERE + "/libros"]}, "El destino"),
        ({"prefix": "/a", "to": ["http://ana:clave@h:1"]}, "El destino"),
        ({"prefix": "/a", "to": ["file:///etc/passwd"]}, "El destino"),
        ({"prefix": "/a", "to": [3]}, "El destino"),
        ({"prefix": "/a", "to": [HERE], "methods": "GET"}, "Los métodos"),
        ({"prefix": "/a", "to": [HERE], "methods": ["get"]}, "Los métodos"),
        ({"prefix": "/a", "to": [HERE], "methods": []}, "Los métodos"),
        ({"prefix": "/a", "to": [HERE], "public": "no"}, "True o False"),
        ({"prefix": "/a", "to": [HERE], "public": True, "scope": "x"}, "pública"),
        ({"prefix": "/a", "to": [HERE], "timeout": 0}, "segundos"),
        ({"prefix": "/a", "to": [HERE], "timeout": float("nan")}, "segundos"),
        ({"prefix": "/a", "to": [HERE], "priority": "urgent"}, "prioridad"),
        ({"prefix": "/a", "to": [HERE], "publico": True}, "publico"),
        ({"to": [HERE]}, "prefix"),
        ("/a", "una lista de Route"),
    ],
)
def test_a_route_that_cannot_work_is_refused_in_a_sentence(given, says):
    with pytest.raises(ValueError, match=says):
        RouteTable.parse([given])


def test_a_table_with_a_prefix_twice_or_that_is_no_list_is_refused():
    with pytest.raises(ValueError, match="dos veces"):
        RouteTable([Route("/a", to=[HERE]), Route("/a", service="b")])
    with pytest.raises(ValueError, match="una lista"):
        RouteTable.parse({"/a": HERE})


def test_one_address_may_stand_alone_and_its_slash_at_the_end_is_no_path():
    assert Route("/a", to=HERE + "/").to == (HERE,)


def test_a_table_in_use_is_replaced_whole_and_a_bad_one_leaves_it():
    routes = Routes([Route("/a", to=[HERE])])
    before = routes.table
    with pytest.raises(ValueError, match="dos veces"):
        routes.replace([Route("/b", to=[HERE]), Route("/b", to=[HERE])])
    assert (routes.table, routes.version) == (before, 1)
    assert routes.replace([Route("/b", to=[HERE])]) == 2
    assert before.match("/a")
    assert not routes.table.match("/a")


# Sources


@pytest.fixture(params=[RouteFile, RouteDatabase])
def source(request, tmp_path):
    made = request.param(tmp_path / "rutas")
    made.write([{"prefix": "/a", "to": [HERE]}])
    return made


@pytest.fixture
def followed(source):
    """The routes that a running loop keeps as the source has them."""
    routes = Routes(load(source))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    task = asyncio.run_coroutine_threadsafe(follow(source, routes), loop)
    yield routes
    task.cancel()
    with suppress(BaseException):
        task.result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    assert not thread.is_alive()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def prefixes(routes):
    return [route.prefix for route in routes.table.routes]


def test_what_is_written_is_what_is_read(source):
    given = [
        {"prefix": "/a", "to": [HERE], "methods": ["GET"], "priority": "low"},
        {"prefix": "/n", "service": "peña"},
    ]
    source.write(given)
    assert load(source).routes == RouteTable.parse(given).routes


def test_what_cannot_be_used_is_not_written(source):
    before = source.read()
    for bad in ([{"prefix": "a", "to": [HERE]}], [{"prefix": "/a", "to": object()}], [{}]):
        with pytest.raises(ValueError, match="se acepta"):
            source.write(bad)
    assert source.read() == before
    assert [path.name for path in source.path.parent.iterdir()] == ["rutas"]


def test_a_running_table_follows_its_source(source, followed):
    for prefix in ("/b", "/c", "/d"):
        source.write([{"prefix": prefix, "to": [HERE]}])
        eventually(lambda prefix=prefix: prefixes(followed) == [prefix])


def test_a_mistake_leaves_the_table_in_use_and_is_told(source, followed, caplog):
    spoil(source, '{"prefix": ')
    eventually(lambda: followed.error)
    assert "JSON" in followed.error
    spoil(source, '{"prefix": "a", "to": ["x"]}')
    eventually(lambda: "prefijo" in followed.error)
    assert prefixes(followed) == ["/a"]
    assert "sigue en uso" in caplog.text
    source.write([{"prefix": "/b", "to": [HERE]}])
    eventually(lambda: prefixes(followed) == ["/b"] and followed.error is None)


def spoil(source, row):
    if isinstance(source, RouteFile):
        source.path.write_text(f"[{row}]")
    else:
        with sqlite3.connect(source.path) as database:
            database.execute("UPDATE routes SET route = ?", [row])
        database.close()


def test_a_file_that_is_gone_for_a_while_changes_nothing(tmp_path):
    source = RouteFile(tmp_path / "rutas")
    source.write([{"prefix": "/a", "to": [HERE]}])
    routes = Routes(load(source))

    async def main():
        task = asyncio.create_task(follow(source, routes))
        source.path.unlink()
        while routes.error is None:
            await asyncio.sleep(0.005)
        assert prefixes(routes) == ["/a"]
        source.path.write_text(json.dumps([{"prefix": "/b", "to": [HERE]}]))
        while prefixes(routes) != ["/b"]:
            await asyncio.sleep(0.005)
        task.cancel()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_database_that_somebody_writes_is_not_waited_for_and_read_at_the_next_look(tmp_path):
    source = RouteDatabase(tmp_path / "rutas", every=0.01)
    source.write([{"prefix": "/a", "to": [HERE]}])
    routes = Routes(load(source))

    async def main():
        writer = sqlite3.connect(source.path, isolation_level=None)
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("DELETE FROM routes")
        task = asyncio.create_task(follow(source, routes))
        while routes.error is None:
            await asyncio.sleep(0.005)
        assert prefixes(routes) == ["/a"]
        writer.execute("COMMIT")
        while prefixes(routes):
            await asyncio.sleep(0.005)
        writer.close()
        task.cancel()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_folder_that_is_gone_for_a_while_does_not_end_the_watch(tmp_path):
    folder = tmp_path / "config"
    folder.mkdir()
    source = RouteFile(folder / "rutas", every=0.05)
    source.write([{"prefix": "/a", "to": [HERE]}])
    routes = Routes(load(source))

    async def main():
        source.path.unlink()
        folder.rmdir()
        task = asyncio.create_task(follow(source, routes))
        while routes.error is None:
            await asyncio.sleep(0.005)
        folder.mkdir()
        source.write([{"prefix": "/b", "to": [HERE]}])
        while prefixes(routes) != ["/b"]:
            await asyncio.sleep(0.005)
        task.cancel()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_source_refuses_a_pace_that_is_none(tmp_path):
    for kind in (RouteFile, RouteDatabase):
        with pytest.raises(ValueError, match="every"):
            kind(tmp_path / "rutas", every=0)
