"""The learner edition: what is taken out of a master, what stays, and what is refused."""

from __future__ import annotations

import copy
import textwrap

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labkit.course.edition import UnbalancedSolution, learner_edition, tidy, to_text
from labkit.errors import LabkitError


def edition_of(*cells):
    return learner_edition(new_notebook(cells=list(cells))).cells


def code(source, **metadata):
    return new_code_cell(textwrap.dedent(source).strip("\n"), metadata=metadata)


def text(source, **metadata):
    return new_markdown_cell(textwrap.dedent(source).strip("\n"), metadata=metadata)


def source_of(cell):
    return edition_of(cell)[0].source


def test_a_region_becomes_a_placeholder_at_its_indentation():
    assert (
        source_of(
            code("""
                def sanas(urls):
                    ### BEGIN SOLUTION
                    def contesta(url):
                        return True
                    return [url for url in urls if contesta(url)]
                    ### END SOLUTION
            """)
        )
        == "def sanas(urls):\n    # TU CÓDIGO AQUÍ\n    ..."
    )


def test_several_regions_become_several_placeholders():
    assert (
        source_of(
            code("""
                class Registro:
                    def alta(self):
                        ### BEGIN SOLUTION
                        self.n = 1
                        ### END SOLUTION

                    def baja(self):
                        ### BEGIN SOLUTION
                        self.n = 0
                        ### END SOLUTION
            """)
        )
        == textwrap.dedent("""
            class Registro:
                def alta(self):
                    # TU CÓDIGO AQUÍ
                    ...

                def baja(self):
                    # TU CÓDIGO AQUÍ
                    ...
        """).strip()
    )


def test_a_variable_keeps_the_placeholder_that_the_master_wrote():
    cell = code("""
        tabla: dict[str, bool] = ...
        tercera = ...   # el servicio
        ### BEGIN SOLUTION
        tabla = {"inventario-1": True}
        tercera = 3
        ### END SOLUTION
    """)
    assert source_of(cell) == "# TU CÓDIGO AQUÍ\ntabla: dict[str, bool] = ...\ntercera = ...   # el servicio"


def test_what_stands_around_a_region_stays():
    cell = code("a = 1\n### BEGIN SOLUTION\nb = 2\n### END SOLUTION\nc = 3")
    assert source_of(cell) == "a = 1\n# TU CÓDIGO AQUÍ\n...\nc = 3"


def test_a_model_answer_in_markdown_becomes_a_place_to_write():
    cell = text("""
        **SD-1.** ¿Qué es un registro?

        <!-- ### BEGIN SOLUTION -->
        Alguien a quien preguntar.

        Y que sabe quién vive.
        <!-- ### END SOLUTION -->
    """)
    assert source_of(cell) == "**SD-1.** ¿Qué es un registro?\n\n*Escribe aquí tu respuesta.*"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [(code("x = 1"), "# TU CÓDIGO AQUÍ\n..."), (text("Porque sí."), "*Escribe aquí tu respuesta.*")],
)
def test_a_solution_cell_without_a_region_is_an_answer_as_a_whole(cell, expected):
    cell.metadata["nbgrader"] = {"solution": True, "grade": True, "grade_id": "a", "locked": False}
    assert source_of(cell) == expected


def test_nbgraders_metadata_and_ids_stay():
    nbgrader = {"grade": True, "grade_id": "SD-4", "locked": True, "points": 1, "schema_version": 3}
    cell = code("labkit.check('SD-4', sanas)", nbgrader={**nbgrader, "solution": False, "task": False})
    [made] = edition_of(cell)
    assert made.metadata.nbgrader == cell.metadata["nbgrader"]
    assert made.id == cell.id


def test_a_cell_for_the_master_only_is_dropped():
    assert [c.source for c in edition_of(code("1"), code("2", tags=["solo-maestro"]), text("3"))] == [
        "1",
        "3",
    ]


def test_outputs_and_traces_of_a_run_are_dropped():
    cell = code("1", execution={"iopub.execute_input": "2026"}, tags=["raises-exception"], collapsed=True)
    cell.outputs, cell.execution_count = [new_output("stream", text="1")], 7
    [made] = edition_of(cell)
    assert (made.outputs, made.execution_count) == ([], None)
    assert made.metadata == {"tags": ["raises-exception"]}


def test_the_notebooks_metadata_are_the_same_for_all():
    master = new_notebook(cells=[text("x")])
    master.metadata = nbformat.from_dict(
        {"widgets": {"state": {}}, "kernelspec": {"name": "venv-7"}, "language_info": {"version": "3.11.7"}}
    )
    made = learner_edition(master)
    assert made.metadata == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }
    nbformat.validate(made)


def test_of_a_widget_the_file_keeps_what_stands_beside_it():
    cell = code("labkit.panel()")
    widget = {"model_id": "7c1f", "version_major": 2, "version_minor": 0}
    data = {"text/plain": "pagos · corriendo", "application/vnd.jupyter.widget-view+json": widget}
    cell.outputs = [new_output("execute_result", data=data, execution_count=1)]
    assert tidy(new_notebook(cells=[cell])).cells[0].outputs[0].data == {"text/plain": "pagos · corriendo"}


def test_the_master_stays_as_it_is_and_the_text_is_always_the_same():
    master = new_notebook(cells=[code("### BEGIN SOLUTION\nx\n### END SOLUTION"), text("á")])
    before = copy.deepcopy(master)
    first, second = to_text(learner_edition(master)), to_text(learner_edition(master))
    assert master == before
    assert first == second
    assert first.endswith("}\n")
    assert "á" in first


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("a\n### BEGIN SOLUTION\nb", "BEGIN SOLUTION sin su END"),
        ("a\n### END SOLUTION", "END SOLUTION sin su BEGIN"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION", "dentro de otra"),
    ],
)
def test_a_marker_without_its_other_half_is_refused_and_the_cell_is_named(source, problem):
    with pytest.raises(UnbalancedSolution, match=f"Celda 2 .*línea .*{problem}") as caught:
        edition_of(text("uno"), code(source))
    assert isinstance(caught.value, LabkitError)
