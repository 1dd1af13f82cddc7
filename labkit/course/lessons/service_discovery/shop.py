"""The scene of SD-6: a registry, instances, and the learner's client, which knows the registry alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import requests

from labkit.course.lessons.service_discovery.street import Street, asked
from labkit.exercises.wording import kind
from labkit.service import Service


class Shop(Street):
    """A registry, instances, and the learner's client, which knows the registry alone."""

    def open(self, *instances: Service) -> Shop:
        """Make the client of a registry that lists these; `urls` may be changed, None is a registry that errs."""
        self.instances, self.urls = instances, [each.url for each in instances]
        self.fails, self.delay = False, 0.0
        self.listing = self.registry(self._listed)
        self.client = self.answer(self.listing.url)
        return self

    def _listed(self) -> list[str] | None:
        time.sleep(self.delay)
        return None if self.fails else self.urls

    def three(self) -> Shop:
        return self.open(*(self.instance(f"envios-{n}") for n in (1, 2, 3)))

    def ask(self, situation: str, path: str = "/stock/42", status: int = 200) -> requests.Response:
        """Ask for a path; the case fails unless the answer of an instance comes back."""
        answer = self.client.pedir(path)
        self.expect(answer is not None, "pedir no devolvió nada: ¿falta el return?")
        found = getattr(answer, "status_code", None)
        self.expect(found is not None, f"{situation}, pedir devolvió {kind(answer)}: se pide la respuesta de requests")
        self.expect(found == status, f"{situation}, la respuesta es {found} y una instancia contestaba {status}")
        return answer  # type: ignore[no-any-return]

    def expect_nobody(self, situation: str) -> None:
        """Fail unless ConnectionError is raised, Python's or that of requests."""
        try:
            answer = self.client.pedir("/stock/1")
        except (ConnectionError, requests.ConnectionError):
            return
        except Exception as error:
            name = type(error).__name__
            self.fail(f"{situation}, pedir lanzó {name}: se pide ConnectionError, que quien llama sabe tratar")
        self.fail(f"{situation}, pedir devolvió {kind(answer)}: se pide ConnectionError")

    def new_calls(self, calls: Callable[[], object]) -> list[int]:
        """Return how many requests reached each instance meanwhile."""
        before = asked(*self.instances)
        calls()
        return [after - old for after, old in zip(asked(*self.instances), before, strict=True)]
