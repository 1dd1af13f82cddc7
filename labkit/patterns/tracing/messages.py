"""What a learner reads of this package on the screen, in one place."""

BAD_BATCH = "batch vale {given!r}: se acepta hasta capacity, que vale {capacity}."
BAD_KIND = "kind vale {given!r}: se acepta {kinds}."
BAD_PARENT = "parent vale {given!r}: se acepta un Span, un SpanContext o None (traza nueva)."
BAD_LINK = "links contiene {given!r}: se acepta un Span, un SpanContext o un Link."
BAD_VENDOR = "vendor vale {given!r}: se acepta una clave de tracestate (a-z, 0-9, _ - * / @), como «tienda»."
BAD_KEY = "La clave {given!r} no sirve en baggage: se acepta un token de RFC 7230, sin espacios ni comas."
BAD_URL = "url vale {given!r}: se acepta una dirección http:// o https://."

NOT_DELIVERED = "Trazas: %s spans no se entregaron (%s). Los siguientes fallos se cuentan y no se anuncian."
NOT_EXPORTED = "Trazas: el exportador falló con un span."
REFUSED = "el receptor contestó {status}"
