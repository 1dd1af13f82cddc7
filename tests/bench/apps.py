"""The application that everybody serves, in a module that imports nothing else.

`flask run` and other processes import this file to start; whatever stood here besides would be counted as
their time.
"""

from __future__ import annotations

from flask import Flask

ANSWER = "hola\n"


def flask_app() -> Flask:
    app = Flask("bench")
    app.add_url_rule("/", view_func=lambda: ANSWER)
    return app
