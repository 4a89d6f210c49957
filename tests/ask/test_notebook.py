"""The notebook runs from top to bottom on a lake of the sample, and its outputs are true."""

from __future__ import annotations

import base64

import nbformat
import pytest
from nbclient import NotebookClient

from clicklake import config

NOTEBOOK = config.ROOT / "src" / "nb" / "notebook.ipynb"
PLOTS = 10


def answers(notebook) -> dict[str, str]:
    """What each cell of SQL shows, by its text."""
    return {
        cell.source: cell.outputs[0].data["text/plain"]
        for cell in notebook.cells
        if cell.source.startswith("%%sql")
    }


def plots(notebook) -> list[bytes]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    images = [
        output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})
    ]
    return [base64.b64decode(image) for image in images]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["duckdb", "sail", "spark"])
def test_the_notebook_runs_and_its_committed_outputs_are_those_of_the_sample(
    sample_lake, engine, monkeypatch
):
    monkeypatch.setenv("LAKE", str(sample_lake[0]))
    monkeypatch.setenv("ENGINE", engine)
    for name in ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "SPARK_LOCAL_REMOTE"):
        monkeypatch.delenv(name, raising=False)  # of Sail in this process
    committed = nbformat.read(NOTEBOOK, as_version=4)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=300, resources=folder).execute()
    assert answers(notebook) == answers(committed)
    assert len(answers(notebook)) >= 14
    assert len(plots(notebook)) == len(plots(committed)) == PLOTS
    assert all(len(plot) > 5000 for plot in plots(notebook))


def test_the_committed_notebook_names_no_place_and_hides_no_error():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert [output.output_type for output in cell.outputs if "ename" in output] == []
            assert not any(output.output_type == "stream" for output in cell.outputs)
            assert "/tmp" not in str(cell.outputs)
