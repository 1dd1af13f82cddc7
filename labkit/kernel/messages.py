"""What a learner reads when %load_ext labkit is at work."""

from __future__ import annotations

ANSWERS = "{name} responde en {url}"
IN_THE_BROWSER = " · en tu navegador: {link}"
REPLACES = " · sustituye a {earlier}"
ALREADY_ANSWERS = "{name} ya respondía en {url}: es la misma aplicación"
APP_USED = (
    "Esta aplicación aiohttp ya se sirvió una vez, y aiohttp no permite servir la misma dos veces. "
    "Ejecuta de nuevo la celda que la crea y después esta."
)
ALL_ADDRESSES = " · atención: escucha en todas las direcciones de esta máquina ({host}), no solo en 127.0.0.1"

ONLY_HTTP = (
    "{option}=…: labkit sirve HTTP sin cifrar en un puerto TCP. Quita {option} y usa host= y port=; {instead}"
)
INSTEAD_OF_TLS = "para HTTPS, pon un proxy delante o ejecuta la aplicación fuera del cuaderno."
INSTEAD_OF_SOCKETS = "para otro tipo de socket, ejecuta la aplicación fuera del cuaderno."
ONE_HOST = (
    "host={hosts!r}: un servicio de labkit escucha en una sola dirección. Pasa una, por ejemplo 127.0.0.1."
)

UNLOADED = "labkit ya no está cargado · servicios detenidos: {names}"
