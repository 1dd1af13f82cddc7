"""DT-6: rich log lines, held against right and wrong answers."""

from answers import Master

DT6 = Master("DT-6", same={"return (jsonify(error='importe'), 400) → return (jsonify(), 400)": "what a refusal says is free"})

RIGHT = {
    "a closure that counts, and a regular expression": """
        import re, math

        def crear_pagos(anotar):
            app = Flask("caja")
            suma = 0.0

            def tapar(numero):
                return numero if numero is None else "…" + numero[-4:] * (len(numero) > 4)

            @app.route("/cobrar/<int:pedido>", methods=["GET"])
            def cobrar(pedido):
                nonlocal suma
                datos = request.args
                quien = request.headers.get("X-Correlation-ID", uuid.uuid4().hex)
                anotar(
                    suceso="recibido", id=quien, pedido=pedido, importe=datos.get("importe"),
                    tarjeta=tapar(datos.get("tarjeta")), servicio="caja",
                )
                if not re.fullmatch(r"\\d+(\\.\\d+)?", datos.get("importe", "")) or float(datos["importe"]) == 0:
                    anotar(suceso="rechazado", id=quien, motivo=f"importe {datos.get('importe')!r}")
                    return {"error": "importe"}, 400
                suma += float(datos["importe"])
                anotar(suceso="cobrado", id=quien, total=suma)
                return {"cobrado": float(datos["importe"])}

            return app
        """
}

WRONG = {
    "nothing is returned": ("    return app\n", "", "¿falta el return?"),
    "an id of its own": (
        'request.headers.get("X-Correlation-ID") or uuid.uuid4().hex',
        "uuid.uuid4().hex",
        "en «recibido», id vale",
    ),
    "a local total": (
        "        cobros.append(importe)",
        "        cobros = cobros + [importe]",
        "¿con qué se llama a anotar, y dónde vive el total?",
    ),
    "no id when none comes": (" or uuid.uuid4().hex", "", "sin cabecera, id vale None"),
    "one id for all": (
        'request.headers.get("X-Correlation-ID") or uuid.uuid4().hex',
        'request.headers.get("X-Correlation-ID") or "nuevo"',
        "el mismo identificador",
    ),
    "an id a line": (
        'anotar(id=id, suceso="cobrado"',
        "anotar(id=request.headers.get('X-Correlation-ID') or uuid.uuid4().hex, suceso=\"cobrado\"",
        "2 identificadores distintos",
    ),
    "the order as text": ("/cobrar/<int:pedido>", "/cobrar/<pedido>", "pedido vale '7'"),
    "the amount as a number": ("importe=texto,", "importe=numero(texto),", "importe vale 12.5"),
    "the whole card": ("tarjeta=tarjeta)", 'tarjeta=request.args.get("tarjeta"))', "tarjeta vale '4000111122224242'"),
    "a short card": ('(tarjeta[-4:] if len(tarjeta) > 4 else "")', "tarjeta[-4:]", "con la tarjeta '4242'"),
    "a missing card": ("if tarjeta is not None:", "if True:", "lanzó TypeError"),
    "an empty card is none": (
        "if tarjeta is not None:",
        "tarjeta = tarjeta or None\n        if tarjeta:",
        "con la tarjeta '' se anotó None",
    ),
    "the card in the reason": ('motivo="el importe', 'motivo=request.full_path + "el importe', "el número completo"),
    "any number": ('importe if 0 < importe < float("inf") else None', "importe", "con el importe '0' contestó 200"),
    "infinite": ('< float("inf")', '<= float("inf")', "con el importe 'inf'"),
    "a word raises": ("(TypeError, ValueError)", "TypeError", "lanzó ValueError"),
    "none raises": ("(TypeError, ValueError)", "ValueError", "lanzó TypeError"),
    "whole amounts only": ("float(texto)", "int(texto)", "con el importe '12.5' se anotó"),
    "another status": ("400", "422", "contestó 422: se esperaba 400"),
    "no reason": (', motivo="el importe no es un número mayor que cero"', "", "motivo vale None"),
    "silent refusal": ('anotar(id=id, suceso="rechazado"', 'dict(id=id, suceso="rechazado"', "se esperaba recibido y rechazado"),
    "the last one only": ("total=sum(cobros)", "total=cobros[-1]", "tras 1 y 2.5"),
    "a total of all applications": (
        'def crear_pagos(anotar):\n    app, cobros = Flask("pagos"), []',
        'todos = []\n\ndef crear_pagos(anotar):\n    app, cobros = Flask("pagos"), todos',
        "total vale",
    ),
    "the refused are summed": (
        "        if importe is None:",
        "        cobros.append(importe or 9)\n        if importe is None:",
        "total vale",
    ),
    "another body": ("jsonify(cobrado=importe)", "jsonify(cobrado=texto)", "¿estado y cuerpo?"),
    "another route": ("/cobrar/", "/pagar/", "contestó 404"),
}

test_right, test_wrong = DT6.tests(RIGHT, WRONG)
