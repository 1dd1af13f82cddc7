"""The edge as its clients and its services see it: real services, real sockets."""

import json
import threading

import pytest
import requests
from aiohttp import web
from support import PATIENCE, Raw, eventually, get
from werkzeug.security import generate_password_hash

import labkit
from labkit.patterns.discovery import Registry, registry_app
from labkit.patterns.edge import (
    Edge,
    Key,
    Route,
    Routes,
    Shedder,
    SlidingWindow,
    TokenBucket,
    Tokens,
    TrustedProxies,
    Users,
)
from labkit.patterns.proxy import Limits, Retries, Timeouts

TOKENS = Tokens([Key("k", b"k" * 64)], issuer="tienda", audience="libreria")
ANA = {"Authorization": f"Bearer {TOKENS.issue('ana', ['comprar'])}"}


class Echo:
    """A service that says what it was asked, and may be told to wait."""

    def __init__(self, name="eco"):
        self.name = name
        self.seen = []
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()

    def app(self):
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self.answer)
        return app

    async def answer(self, request):
        self.seen.append(request.raw_path)
        if "espera" in request.path:
            self.entered.release()
            while not self.go_on.is_set():
                await labkit_sleep()
        return web.json_response(
            {"name": self.name, "method": request.method, "target": request.raw_path,
             "headers": [list(each) for each in request.headers.items()],
             "body": (await request.read()).decode("latin-1")}
        )  # fmt: skip


async def labkit_sleep():
    import asyncio

    await asyncio.sleep(0.002)


@pytest.fixture
def start():
    running = []

    def start(app, name):
        service = labkit.serve(app, name=name)
        running.append(service)
        return service

    yield start
    for service in reversed(running):
        service.stop(grace=0)


@pytest.fixture
def echo(start):
    echo = Echo()
    echo.service = start(echo.app, "eco")
    echo.url = echo.service.url
    yield echo
    echo.go_on.set()


@pytest.fixture
def edge(start, echo, tmp_path):
    """A function that starts an edge before `echo`; `edge.log()` gives its log's entries."""

    def make(routes=None, **settings):
        made = Edge(
            [Route("/", to=echo.url, public=True)] if routes is None else routes,
            log=tmp_path / "acceso.jsonl",
            **settings,
        )
        made.service = start(made.app, "borde")
        made.url = made.service.url
        made.entries = lambda count: eventually(lambda: lines(made.log, count))
        return made

    return make


def lines(path, count):
    text = path.read_text()
    found = [json.loads(line) for line in text.splitlines()] if text.endswith("\n") else []
    return found if len(found) >= count else None


def headers_of(answer):
    return {name.lower(): value for name, value in answer.json()["headers"]}


# What goes through


def test_target_and_body_arrive_as_they_were_sent(edge, echo):
    borde = edge()
    answer = requests.post(borde.url + "/a%2Fb//c%3B?x=%20&y=a+b", data=b"\x00\xff", timeout=PATIENCE).json()
    assert (answer["target"], answer["body"]) == ("/a%2Fb//c%3B?x=%20&y=a+b", "\x00\xff")


def test_the_client_chooses_no_host_and_no_service(edge, echo, start):
    other = Echo("otro")
    other.service = start(other.app, "otro")
    borde = edge([Route("/catalogo", to=echo.url, public=True)])
    client = Raw(borde.service)
    client.send(f"GET {other.service.url}/catalogo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert b'"name": "eco"' in client.read_to_end()
    assert get(borde.url + "/" + other.service.url).status_code == 404
    assert other.seen == []


@pytest.mark.parametrize(
    "path", ["/catalogo/../pagos", "/catalogo/%2e%2e/pagos", "/catalogo%2f..%2fpagos", "/%00"]
)
def test_a_path_with_two_readings_never_reaches_a_service(edge, echo, path):
    borde = edge([Route("/catalogo", to=echo.url, public=True), Route("/pagos", to=echo.url, public=True)])
    client = Raw(borde.service)
    client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert client.read_to_end().startswith(b"HTTP/1.1 400")
    assert echo.seen == []


def test_no_route_and_no_method_have_a_status_each(edge, echo):
    borde = edge([Route("/catalogo", to=echo.url, public=True, methods=["GET", "HEAD"])])
    assert get(borde.url + "/otra").status_code == 404
    answer = requests.delete(borde.url + "/catalogo", timeout=PATIENCE)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert [entry["reason"] for entry in borde.entries(2)] == ["no_route", "method"]
    assert echo.seen == []


def test_the_service_sees_the_path_without_what_the_route_strips(edge, echo):
    borde = edge([Route("/v1", to=echo.url, public=True, strip=True)])
    assert get(borde.url + "/v1/a%2Fb?c=d").json()["target"] == "/a%2Fb?c=d"
    assert get(borde.url + "/v1?c=d").json()["target"] == "/?c=d"


def test_what_a_client_may_not_say_of_itself_is_taken_out(edge, echo):
    borde = edge([Route("/", to=echo.url)], tokens=TOKENS)
    lies = {
        "X-User": "root", "X_User": "root", "x-user-scopes": "admin", "X-User_Scopes": "admin",
        "X-Forwarded-For": "6.6.6.6", "X_Forwarded_For": "6.6.6.6", "Forwarded": "for=6.6.6.6",
        "X-Real-IP": "6.6.6.6", "X-Forwarded-Host": "malo", "X-Original-URL": "/admin",
        "X-Request-ID": "mio", "X-Otra": "se queda",
    }  # fmt: skip
    seen = requests.get(borde.url + "/", headers=ANA | lies, timeout=PATIENCE).json()["headers"]
    text = json.dumps(seen)
    for lie in ("root", "admin", "6.6.6.6", "malo", "mio", "X_"):
        assert lie not in text
    seen = {name.lower(): value for name, value in seen}
    assert (seen["x-user"], seen["x-user-scopes"], seen["x-otra"]) == ("ana", "comprar", "se queda")
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["forwarded"].startswith("for=127.0.0.1;host=")
    assert "authorization" not in seen
    assert seen["x-request-id"] == borde.entries(1)[0]["request_id"]


def test_the_word_of_a_trusted_proxy_is_handed_on(edge, echo):
    borde = edge(trusted=TrustedProxies("127.0.0.0/8"))
    said = {
        "X-Forwarded-For": "6.6.6.6, 203.0.113.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "t.es",
    }
    seen = headers_of(get(borde.url, headers=said))
    assert seen["x-forwarded-for"] == "203.0.113.7, 127.0.0.1"
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("https", "t.es")
    assert seen["forwarded"] == 'for=203.0.113.7;host="t.es";proto=https, for=127.0.0.1'
    assert borde.entries(1)[0]["client"] == "203.0.113.7"


def test_on_a_public_route_authorization_is_the_services_business(edge, echo):
    assert (
        headers_of(get(edge().url, headers={"Authorization": "Basic YTpi"}))["authorization"] == "Basic YTpi"
    )


# Who may pass


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "no_token"),
        ({"Authorization": "Basic YTpi"}, "no_token"),
        ({"Authorization": "Bearer"}, "token_malformed"),
        ({"Authorization": "Bearer a.b.c"}, "token_malformed"),
        ({"Authorization": ANA["Authorization"] + "x"}, "token_signature"),
        ({"X-User": "ana"}, "no_token"),
    ],
)
def test_without_a_right_token_nothing_reaches_the_service(edge, echo, headers, reason):
    borde = edge([Route("/", to=echo.url)], tokens=TOKENS)
    answer = get(borde.url, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert borde.entries(1)[0]["reason"] == reason
    assert echo.seen == []


def test_a_token_twice_is_a_token_too_many(edge, echo):
    borde = edge([Route("/", to=echo.url)], tokens=TOKENS)
    client = Raw(borde.service)
    line = f"Authorization: {ANA['Authorization']}\r\n"
    client.send(f"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{line}{line}\r\n".encode())
    assert client.read_to_end().startswith(b"HTTP/1.1 401")


def test_a_scope_that_is_missing_is_403_and_one_that_is_there_passes(edge, echo):
    borde = edge(
        [Route("/", to=echo.url, scope="comprar"), Route("/a", to=echo.url, scope="admin")], tokens=TOKENS
    )
    assert get(borde.url, headers=ANA).status_code == 200
    refused = get(borde.url + "/a", headers=ANA)
    assert refused.status_code == 403
    assert 'scope="admin"' in refused.headers["WWW-Authenticate"]


def users():
    return Users({"ana": generate_password_hash("clave de ana")}, {"ana": ["comprar"]})


def log_in(borde, **body):
    return requests.post(borde.url + "/token", json=body, timeout=PATIENCE)


def test_a_token_is_issued_for_a_password_and_opens_the_door(edge, echo):
    borde = edge([Route("/", to=echo.url, scope="comprar")], tokens=TOKENS, users=users())
    given = log_in(borde, username="ana", password="clave de ana")
    assert given.headers["Cache-Control"] == "no-store"
    assert (given.json()["token_type"], given.json()["expires_in"]) == ("Bearer", 900)
    answer = get(borde.url, headers={"Authorization": "Bearer " + given.json()["access_token"]})
    assert answer.status_code == 200
    assert [(each["path"], each["user"]) for each in borde.entries(2)] == [("/token", "ana"), ("/", "ana")]


def test_a_log_in_that_is_wrong_is_refused_each_in_its_way(edge, echo):
    borde = edge([], tokens=TOKENS, users=users(), login_limit=SlidingWindow(100))
    assert log_in(borde, username="ana", password="mala").status_code == 401
    assert log_in(borde, username="eva", password="clave de ana").status_code == 401
    for body in (
        {},
        {"username": "ana"},
        {"username": "ana", "password": 1},
        {"username": ["ana"], "password": []},
    ):
        assert log_in(borde, **body).status_code == 400
    assert requests.post(borde.url + "/token", data="x" * 5000, timeout=PATIENCE).status_code == 413
    assert requests.post(borde.url + "/token", data=b"[" * 4000, timeout=PATIENCE).status_code == 400
    assert requests.post(borde.url + "/token", data="{}", timeout=PATIENCE).status_code == 400
    assert get(borde.url + "/token").status_code == 405


def test_log_ins_are_limited_by_address(edge, echo):
    borde = edge([], tokens=TOKENS, users=users(), login_limit=SlidingWindow(3, per=60))
    found = [log_in(borde, username="ana", password=f"intento {number}").status_code for number in range(5)]
    assert found == [401, 401, 401, 429, 429]
    assert log_in(borde, username="ana", password="clave de ana").status_code == 429


def test_nothing_in_the_log_or_in_an_error_shows_a_secret(edge, echo, caplog):
    borde = edge([Route("/", to=echo.url)], tokens=TOKENS, users=users())
    token = log_in(borde, username="ana", password="clave de ana").json()["access_token"]
    bad = token[:-6]
    answers = [
        get(
            borde.url + f"/?token={token}",
            headers={"Authorization": f"Bearer {token}", "Cookie": "c=secreta"},
        ),
        get(borde.url, headers={"Authorization": f"Bearer {bad}"}),
        log_in(borde, username="ana", password="clave-secreta"),
    ]
    assert [each.status_code for each in answers] == [200, 401, 401]
    borde.entries(4)
    written = borde.log.read_text() + caplog.text + answers[1].text + answers[2].text
    for secret in (token.split(".")[2][:20], bad[-20:], "clave", "secreta"):
        assert secret not in written.replace("contraseña", "")
    assert "clave" not in repr(borde)
    assert "kkk" not in repr(borde)


# Limits


def test_who_asks_too_often_is_told_when_to_come_back(edge, echo):
    now = [0.0]
    borde = edge(limit=TokenBucket(2, per=10, burst=3, clock=lambda: now[0]))
    answers = [get(borde.url) for _ in range(5)]
    assert [each.status_code for each in answers] == [200] * 3 + [429] * 2
    assert [each.headers.get("Retry-After") for each in answers] == [None] * 3 + ["5", "5"]
    now[0] += 5.001
    assert [get(borde.url).status_code for _ in range(2)] == [200, 429]
    assert [each["reason"] for each in borde.entries(7)].count("rate_limit") == 3
    assert len(echo.seen) == 4


def test_a_user_is_one_client_wherever_from_and_an_address_another(edge, echo):
    borde = edge(
        [Route("/", to=echo.url), Route("/libre", to=echo.url, public=True)],
        tokens=TOKENS, limit=SlidingWindow(2, per=600),
    )  # fmt: skip
    assert [get(borde.url, headers=ANA).status_code for _ in range(3)] == [200, 200, 429]
    assert [get(borde.url + "/libre").status_code for _ in range(3)] == [200, 200, 429]
    luis = {"Authorization": f"Bearer {TOKENS.issue('luis')}"}
    assert get(borde.url, headers=luis).status_code == 200


def test_forged_tokens_are_counted_against_the_address_that_sends_them(edge, echo):
    borde = edge([Route("/", to=echo.url)], tokens=TOKENS, limit=SlidingWindow(3, per=600))
    forged = {"Authorization": "Bearer a.b.c"}
    assert [get(borde.url, headers=forged).status_code for _ in range(5)] == [401] * 3 + [429] * 2
    assert get(borde.url, headers=ANA).status_code == 200


def in_background(*calls):
    answers = [None] * len(calls)

    def run(place, call):
        answers[place] = call()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    return threads, answers


def test_what_is_too_much_is_shed_by_priority_at_once(edge, echo):
    shedder = Shedder(4, shares={"high": 1.0, "normal": 0.75, "low": 0.5})
    borde = edge(
        [Route(f"/{name}", to=echo.url, public=True, priority=name) for name in ("high", "normal", "low")],
        shedder=shedder,
    )
    threads, answers = in_background(*[lambda: get(borde.url + "/low/espera")] * 2)
    for _ in range(2):
        assert echo.entered.acquire(timeout=PATIENCE)
    found = get(borde.url + "/low/x")
    assert (found.status_code, found.headers["Retry-After"]) == (503, "1")
    assert get(borde.url + "/normal/x").status_code == 200
    more, others = in_background(*[lambda: get(borde.url + "/high/espera")] * 2)
    for _ in range(2):
        assert echo.entered.acquire(timeout=PATIENCE)
    assert get(borde.url + "/high/x").status_code == 503
    echo.go_on.set()
    for thread in threads + more:
        thread.join()
    assert [each.status_code for each in answers + others] == [200] * 4
    eventually(lambda: shedder.in_flight == 0)
    assert get(borde.url + "/low/x").status_code == 200


# Failures


def test_each_failure_has_its_status(edge, echo, start):
    gone = Echo()
    gone.service = start(gone.app, "ido")
    dead = gone.service.url
    gone.service.kill()
    borde = edge(
        [
            Route("/muerto", to=dead, public=True),
            Route("/lento", to=echo.url, public=True, timeout=0.2),
            Route("/nadie", service="nadie", public=True),
        ],
        registry=dead, retries=Retries(attempts=1),
    )  # fmt: skip
    found = [get(borde.url + path).status_code for path in ("/muerto", "/lento/espera", "/nadie")]
    assert found == [502, 504, 503]
    assert [entry["reason"] for entry in borde.entries(3)] == [
        "connection_refused", "http_response_timeout", "no_registry"
    ]  # fmt: skip


def test_a_dead_instance_is_passed_over_and_nobody_notices(edge, echo, start):
    other = Echo("otro")
    other.service = start(other.app, "otro")
    borde = edge([Route("/", to=[echo.url, other.service.url], public=True)])
    assert [get(borde.url).json()["name"] for _ in range(4)].count("eco") == 2
    other.service.kill()
    assert [get(borde.url).json()["name"] for _ in range(10)] == ["eco"] * 10
    assert [entry["attempts"] for entry in borde.entries(14)].count(2) == 1


def test_the_deadline_is_handed_on_and_a_client_can_only_shorten_it(edge, echo):
    borde = edge([Route("/", to=echo.url, public=True, timeout=7)])
    left = float(headers_of(get(borde.url))["x-request-timeout"])
    assert 5 < left <= 7
    left = float(headers_of(get(borde.url, headers={"X-Request-Timeout": "3"}))["x-request-timeout"])
    assert 1 < left <= 3
    left = float(headers_of(get(borde.url, headers={"X-Request-Timeout": "60"}))["x-request-timeout"])
    assert 5 < left <= 7
    assert get(borde.url, headers={"X-Request-Timeout": "nunca"}).status_code == 400


def test_a_client_that_leaves_gives_its_place_back_and_is_logged(edge, echo):
    borde = edge(shedder=Shedder(1))
    client = Raw(borde.service)
    client.ask("/espera")
    assert echo.entered.acquire(timeout=PATIENCE)
    assert borde.in_flight(echo.url) == 1
    client.socket.close()
    eventually(lambda: borde.shedder.in_flight == 0)
    assert borde.in_flight(echo.url) == 0
    entry = borde.entries(1)[0]
    assert (entry["status"], entry["reason"]) == (499, "client_left")


# Names, log, settings


def test_services_are_found_in_the_registry_by_their_names(edge, echo, start):
    registry = Registry()
    found = start(registry_app(registry), "registro")
    borde = edge([Route("/eco", service="eco", public=True)], registry=found.url)
    assert get(borde.url + "/eco").status_code == 503
    registry.register("eco", echo.url)
    assert eventually(lambda: get(borde.url + "/eco").status_code == 200)


def test_the_log_says_who_when_what_and_how_it_ended(edge, echo):
    borde = edge([Route("/p", to=echo.url)], tokens=TOKENS)
    requests.post(borde.url + "/p/1?clave=x", data="hola", headers=ANA, timeout=PATIENCE)
    entry = borde.entries(1)[0]
    assert entry["time"].endswith("+00:00")
    assert entry["ms"] > 0
    assert entry["sent"] > 100
    wanted = {"client": "127.0.0.1", "user": "ana", "method": "POST", "path": "/p/1", "status": 200,
              "reason": None, "route": "/p", "upstream": echo.url, "attempts": 1, "received": 4}  # fmt: skip
    assert {name: entry[name] for name in wanted} == wanted


def test_no_client_can_begin_a_line_of_the_log(edge, echo):
    borde = edge()
    get(borde.url + "/a%0A%7B%22status%22:200%7D")
    get(borde.url + "/a\u2028b")
    client = Raw(borde.service)
    client.send(b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: \xff\xfe\r\nConnection: close\r\n\r\n")
    client.read_to_end()
    assert len(borde.entries(3)) == 3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Edge([Route("/a", to="http://h:1")]), "tokens"),
        (lambda: Edge([Route("/a", service="a", public=True)]), "registry"),
        (lambda: Edge([], users=users()), "tokens"),
        (lambda: Edge([], tokens="secreta"), "Tokens"),
        (lambda: Edge([], limit=5), "TokenBucket"),
        (lambda: Edge([], login_limit=None), "SlidingWindow"),
        (lambda: Edge([], shedder=10), "Shedder"),
        (lambda: Edge([], timeouts=3), "Timeouts"),
        (lambda: Edge([], name="mal nombre"), "name"),
        (lambda: Edge([], token_path="token"), "token"),
        (lambda: Edge([], token_path=""), "El prefijo ''"),
        (lambda: Edge(["/a"]), "Route"),
        (lambda: Edge(3), "Route"),
        (lambda: Edge([], registry="no es una dirección"), "dirección"),
    ],
)
def test_an_edge_that_cannot_work_is_refused_in_a_sentence(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_limits_and_timeouts_are_those_of_the_proxy(edge, echo):
    borde = edge(limits=Limits(body=10), timeouts=Timeouts(head=5))
    assert requests.post(borde.url, data=b"x" * 11, timeout=PATIENCE).status_code == 413
    assert echo.seen == []


# Routes that change under load


def test_routes_are_replaced_a_hundred_times_under_load_and_no_request_is_lost(edge, start):
    late, lost, answered = [], [], [0]
    left = set()

    def instance(number):
        echo = Echo(f"eco-{number}")

        async def answer(request):
            if echo.name in left:
                late.append(echo.name)
            return web.Response(text=echo.name)

        echo.answer = answer
        return echo

    pool = [instance(number) for number in range(3)]
    for echo in pool:
        echo.service = start(echo.app, echo.name)
    routes = Routes([Route("/", to=pool[0].service.url, public=True)])
    borde = edge(routes)
    stop = threading.Event()

    def client():
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.get(borde.url, timeout=PATIENCE)
                answered[0] += 1
                if answer.status_code != 200:
                    lost.append(answer.status_code)

    clients = [threading.Thread(target=client) for _ in range(32)]
    for each in clients:
        each.start()
    for turn in range(100):
        old, new = pool[turn % 3], pool[(turn + 1) % 3]
        left.discard(new.name)
        routes.replace([Route("/", to=new.service.url, public=True)])
        assert borde.drain(old.service.url)
        left.add(old.name)
        seen = answered[0]
        eventually(lambda seen=seen: answered[0] > seen)
    stop.set()
    for each in clients:
        each.join()
    assert (lost, late, routes.version) == ([], [], 101)
    assert answered[0] >= 100
