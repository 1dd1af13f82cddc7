"""Texts of the course's machinery for learners and authors, in Spanish."""

# edition
CODE_PLACEHOLDER = "# TU CÓDIGO AQUÍ"
TEXT_PLACEHOLDER = "*Escribe aquí tu respuesta.*"
UNBALANCED = "Celda {number} (id {id}), línea {line}: {problem}. La celda empieza así: {start!r}"
NESTED_BEGIN = "BEGIN SOLUTION dentro de otra solución que no se ha cerrado"
END_WITHOUT_BEGIN = "END SOLUTION sin su BEGIN SOLUTION"
BEGIN_WITHOUT_END = "BEGIN SOLUTION sin su END SOLUTION"

# build
MASTER = "maestro"
LEARNER = "alumno"
BUILT = "{name:<28} {edition:<8} {cells:>3} celdas  {seconds:>5.1f} s  {outcome}"
WRITTEN = "escrito"
UNCHANGED = "sin cambios"
DIFFERS = "DISTINTO"
BUILD_FAILED = "{notebook}, celda {number}: {problem}"
CELL_TIMEOUT = "no terminó en {seconds} s"
CELL_RAISED = "lanzó un error sin la etiqueta raises-exception"
EDITED_MEANWHILE = "{notebook} cambió mientras se ejecutaba: no se ha escrito nada. Vuelve a construirlo."
KERNEL_DIED = "el kernel murió"
NO_MASTER = "No hay ningún maestro {given!r} en {folder}. Hay: {known}."
NO_MASTERS = "No hay ningún maestro en {folder}."
CHECK_DIFFERS = "Hay cuadernos que no son lo que hace su maestro. Ejecuta: python -m labkit build"

# python -m labkit
DESCRIPTION = "El curso de patrones de microservicios."
HELP_LAB = "abre JupyterLab en mi_curso/, tu copia de los cuadernos; lo que sigue se pasa a JupyterLab"
HELP_BUILD = "ejecuta los maestros y hace de ellos la edición del alumno"
HELP_NAMES = "nombres de cuadernos, p. ej. 01_service_discovery; ninguno: todos"
HELP_CHECK = "no escribe nada; sale con 1 si algún cuaderno cambiaría"
HELP_DOCTOR = "mira si esta máquina tiene lo que el curso necesita, y dice qué hacer"
NO_NOTEBOOKS = (
    "No encuentro los cuadernos del curso: busqué notebooks/00_inicio.ipynb en {places}. "
    "Entra en la carpeta del curso y vuelve a intentarlo."
)
AS_ROOT = (
    "Eres root: JupyterLab arranca con --allow-root. Escucha solo en esta máquina y pide su token, "
    "que va en la dirección que muestra."
)
LESSON_CHANGED = (
    "{name} ha cambiado en el curso, y tú editaste tu copia: se queda como la tienes en {copy}/. "
    "La nueva está en {notebooks}/; si la prefieres, borra o renombra la tuya y repite."
)
NO_JUPYTERLAB = "JupyterLab no está instalado en {prefix}. Ejecuta: {python} -m pip install -e '.[course]'"
NO_BUILD_PACKAGES = (
    "Falta {package}, que hace falta para construir. Ejecuta: {python} -m pip install -e '.[course]'"
)

# doctor
SUMMARY_FINE = "Todo listo: python -m labkit lab"
SUMMARY_WARNINGS = "El curso funciona; mira los avisos."
SUMMARY_ERRORS = "Así no funciona el curso: arregla lo marcado con ✗ y repite python -m labkit doctor"
REMEDY = "    → {remedy}"
PYTHON_FINE = "Python {version} ({executable})"
PYTHON_WRONG = "Python {version} ({executable}); el curso pide {wanted}"
PYTHON_REMEDY = "Instala un Python de esa versión (python.org) y crea el entorno con él: make lab"
PACKAGES_FINE = "{count} paquetes instalados, con las versiones que pide el proyecto"
PACKAGE_MISSING = "falta el paquete {requirement}"
PACKAGE_WRONG = "{name} {version} está instalado; el proyecto pide {requirement}"
PACKAGES_REMEDY = "{python} -m pip install {constraints}-e '{source}'"
PACKAGE_UNPINNED = "versiones distintas de las probadas (constraints.txt): {packages}"
NO_PACKAGING = "falta el paquete packaging, sin el que no se pueden comparar versiones"
NOT_INSTALLED = "labkit no está instalado en este Python ({python})"
KERNEL_FINE = "los cuadernos usan este mismo Python"
KERNEL_MISSING = "no hay un kernel python3 para los cuadernos"
KERNEL_OTHER = "el kernel python3 ({where}) arranca otro Python: {found}; este es {own}"
KERNEL_BROKEN = "el kernel python3 ({where}) no arranca: {argv0}"
KERNEL_REMEDY = "{python} -m ipykernel install --sys-prefix --name python3"
KERNEL_REMEDY_OTHER = (
    "Quita ese kernel (jupyter kernelspec remove python3), "
    "y después: {python} -m ipykernel install --sys-prefix --name python3"
)
PORT_FREE = "puertos libres: {ports}"
PORT_TAKEN = "el puerto {port} ({use}) ya está ocupado por {owner}"
PORT_UNUSABLE = "el puerto {port} ({use}) no se puede usar: {error}"
PORT_UNKNOWN_OWNER = "otro programa"
PORT_REMEDY = "Ciérralo, o usa port=0 en las celdas que lo piden"
PORT_REMEDY_8888 = "No hace falta hacer nada: JupyterLab tomará el siguiente"
PORT_USES = {5055: "00_inicio", 8085: "00_inicio", 8888: "JupyterLab"}
LOOPBACK_FINE = "los servicios de esta máquina se alcanzan sin proxy"
LOOPBACK_PROXY = "las llamadas a 127.0.0.1 irían por el proxy {proxy} y no llegarían a los servicios"
LOOPBACK_REMEDY = "Pon NO_PROXY=127.0.0.1,localhost en el entorno antes de abrir JupyterLab"
NOTEBOOKS_FINE = "cuadernos en {folder}"
NO_NOTEBOOKS_SHORT = "no encuentro los cuadernos del curso"
NOTEBOOKS_REMEDY = "Entra en la carpeta del curso (la que tiene notebooks/)"
CHROMIUM_FINE = "Chromium en {path}"
CHROMIUM_MISSING = "no hay Chromium: solo lo usan las pruebas en el navegador (make test las omite)"
