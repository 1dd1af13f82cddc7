"""A Flask application that says of an open circuit what it is (see `http`)."""

from flask import Flask, Response, jsonify

from labkit.patterns.circuit_breaker.errors import CircuitOpenError
from labkit.patterns.circuit_breaker.http import STATUS, open_circuit_answer


def answer_open_circuits(app: Flask) -> Flask:
    """Answer a CircuitOpenError of any view with 503, Retry-After and the circuit's name. Returns `app`."""

    @app.errorhandler(CircuitOpenError)
    def circuit_is_open(error: CircuitOpenError) -> tuple[Response, int, dict[str, str]]:
        body, headers = open_circuit_answer(error)
        return jsonify(body), STATUS, headers

    return app
