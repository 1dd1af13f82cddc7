"""What is read from a heap of spans: tree, orphans, map of the services, own time."""

import pytest

from labkit.patterns.tracing import Tracer, orphans, self_time, service_map, tree


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Story:
    """Spans of services by hand, and a clock that is wound between them."""

    def __init__(self):
        self.spans, self.clock = [], Clock()

    def span(self, service, name, kind="internal", **kwargs):
        tracer = Tracer(service, self.spans.append, clock=self.clock, wall=lambda: 0.0)
        return tracer.span(name, kind=kind, **kwargs)

    def wait(self, seconds):
        self.clock.now += seconds


@pytest.fixture
def story():
    """tienda asks pedidos, which asks inventario for 1 s and pagos, which fails, for 2 s."""
    story = Story()
    with story.span("tienda", "GET", "client"):
        story.wait(0.5)
        with story.span("pedidos", "GET /pedidos", "server"):
            for service, seconds, failed in (("inventario", 1, False), ("pagos", 2, True)):
                story.wait(0.25)
                with story.span("pedidos", "GET", "client"), story.span(service, "GET /x", "server") as below:
                    story.wait(seconds)
                    if failed:
                        below.fail("503")
    return story


def test_the_tree_shows_who_caused_whom(story):
    assert tree(story.spans).splitlines() == [
        "tienda client GET",
        "└─ pedidos server GET /pedidos",
        "   ├─ pedidos client GET",
        "   │  └─ inventario server GET /x",
        "   └─ pedidos client GET",
        "      └─ pagos server GET /x ✗",
    ]


def test_a_span_whose_parent_is_missing_is_an_orphan_and_marked(story):
    lost = [span for span in story.spans if span.name != "GET /pedidos"]
    assert {span.service for span in orphans(lost)} == {"pedidos"}
    assert [line for line in tree(lost).splitlines() if line.startswith("?")] == ["? pedidos client GET"] * 2
    assert orphans(story.spans) == []


def test_an_id_of_another_trace_is_no_parent(story):
    [root] = [span for span in story.spans if span.parent_id is None]
    stranger = story.span("otro", "x", parent=root.context._replace(trace_id="f" * 32))
    stranger.end()
    assert orphans(story.spans) == [stranger]


def test_several_traces_are_several_trees():
    story = Story()
    for name in ("a", "b"):
        with story.span("x", name):
            story.wait(1)
    assert tree(story.spans) == "x internal a\nx internal b"
    assert tree([]) == ""


def test_the_map_says_who_calls_whom_how_often_and_how_often_in_vain(story):
    assert service_map(story.spans) == [
        ("pedidos", "inventario", 1, 0),
        ("pedidos", "pagos", 1, 1),
        ("tienda", "pedidos", 1, 0),
    ]


def test_own_time_is_what_no_child_explains(story):
    own = {(span.service, span.kind): self_time(span, story.spans) for span in story.spans}
    assert own["tienda", "client"] == 0.5
    assert own["pedidos", "server"] == 0.5
    assert own["pagos", "server"] == 2


def test_children_at_the_same_time_count_once_and_those_that_outlive_it_to_its_end():
    story = Story()
    parent = story.span("a", "padre")
    story.wait(1)
    one, two = (story.span("a", "hijo", parent=parent) for _ in range(2))
    story.wait(2)
    one.end()
    story.wait(1)
    parent.end()
    story.wait(5)
    two.end()
    assert self_time(parent, story.spans) == 1
    assert self_time(two, story.spans) == 8
