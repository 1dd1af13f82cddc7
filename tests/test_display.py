"""labkit/display.py: how a service shows."""

from __future__ import annotations

import re

import pytest
from support import KINDS, Stage, build, get

import labkit

every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_one_clean_line_without_port_or_time(kind: str, stage: Stage) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        assert repr(service) == "tienda · corriendo · 0 peticiones · 0 errores"
        get(service.url)
        assert repr(service) == "tienda · corriendo · 1 petición · 0 errores"
        get(service.url + "/boom")
        assert repr(service) == "tienda · corriendo · 2 peticiones · 1 error"
        service.pause()
        assert repr(service).startswith("tienda · en pausa · ")
        assert str(service.port) not in repr(service)
        assert repr(service) == str(service)


@every_kind
def test_the_table_has_state_link_requests_errors_and_the_last_log_lines(kind: str, stage: Stage) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        get(service.url + "/say")
        get(service.url + "/boom")
        html = service._repr_html_()
        assert f'href="{service.url}/"' in html
        for text in ("tienda", "corriendo", ">2<", ">1<", "ZeroDivisionError: boom"):
            assert text in html
        visible = re.sub(r"<[^>]*>", "", html)
        assert str(service.port) not in visible  # in the link's target alone
        assert not re.search(r"\d\d:\d\d", visible)
    html = service._repr_html_()
    assert "href" not in html  # a link to nobody helps nobody
    assert "detenido" in html


@pytest.mark.parametrize("prefix", ["/user/ana/", "/user/ana", "/"])
def test_on_jupyterhub_the_link_goes_through_the_proxy_and_calls_do_not(
    prefix: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", prefix)
    with labkit.serve(build("flask", stage), name="tienda") as service:
        assert f'href="{prefix.rstrip("/")}/proxy/{service.port}/"' in service._repr_html_()
        assert service.url == f"http://127.0.0.1:{service.port}"
        assert get(service.url).text == "hola"


def test_what_a_service_says_cannot_write_html_into_the_page(stage: Stage) -> None:
    with labkit.serve(build("flask", stage), name="<i>x</i>") as service:
        service.journal.write("<script>alert(1)</script>\n")
        html = service._repr_html_()
        assert "<script>" not in html
        assert "&lt;script&gt;" in html
        assert "<i>x</i>" not in html
        assert "<i>x</i>" not in labkit.services()._repr_html_()


def test_groups_and_the_roster_show_as_tables_of_instances(stage: Stage) -> None:
    with labkit.serve(lambda name: build("flask", stage, name), name="frutas", replicas=3) as group:
        group[1].kill()
        for html in (group._repr_html_(), labkit.services()._repr_html_()):
            for name in ("frutas-1", "frutas-2", "frutas-3", "muerto", "corriendo"):
                assert name in html
        assert group._repr_html_().count("<tr>") == 4
        assert len(repr(group).splitlines()) == 3


def test_each_state_differs_in_word_and_sign_and_not_in_colour_alone(stage: Stage) -> None:
    service = labkit.serve(build("flask", stage), name="tienda")
    shown = []
    for change in (lambda: None, service.pause, service.resume, service.stop, service.start, service.kill):
        change()
        shown.append(re.sub(r"<[^>]*>", " ", service._repr_html_()))
    for sign, index in (("●", 0), ("‖", 1), ("●", 2), ("○", 3), ("●", 4), ("✕", 5)):
        assert sign in shown[index]


def test_a_long_journal_shows_its_last_lines(stage: Stage) -> None:
    with labkit.serve(build("flask", stage), name="tienda") as service:
        for number in range(100):
            service.journal.write(f"línea {number}\n")
        html = service._repr_html_()
        assert "línea 99" in html
        assert "línea 50" not in html
        assert len(repr(service.journal).splitlines()) < 50
