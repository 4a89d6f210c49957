"""The notebook runs from top to bottom on a lake of the sample, and its outputs are true."""

from __future__ import annotations

import base64
import os
import subprocess
from dataclasses import replace

import pytest

from clicklake import config
from clicklake.ask.reading import open_lake
from clicklake.lake.metrics import RunMetrics

NOTEBOOK = config.ROOT / "src" / "nb" / "notebook.ipynb"
PLOTS = 11


def read_notebook():
    import nbformat  # takes seconds

    return nbformat.read(NOTEBOOK, as_version=4)


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
    from nbclient import NotebookClient

    monkeypatch.setenv("LAKE", str(sample_lake[0]))
    monkeypatch.setenv("ENGINE", engine)
    for name in ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "SPARK_LOCAL_REMOTE"):
        monkeypatch.delenv(name, raising=False)  # of Sail in this process
    committed = read_notebook()
    notebook = read_notebook()
    folder = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=300, resources=folder).execute()
    assert answers(notebook) == answers(committed)
    assert len(answers(notebook)) >= 14
    assert len(plots(notebook)) == len(plots(committed)) == PLOTS
    assert all(len(plot) > 5000 for plot in plots(notebook))


def test_the_first_question_comes_after_a_few_lines_of_set_up():
    notebook = read_notebook()
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    first = next(at for at, source in enumerate(code) if source.startswith("%%sql"))
    lines = [line for source in code[:first] for line in source.splitlines() if line.strip()]
    assert len(lines) <= 6


@pytest.mark.parametrize("is_root", [True, False])
def test_make_notebook_runs_as_root_and_passes_flags_on(is_root, tmp_path):
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {0 if is_root else 1000}\n")
    (tmp_path / "id").chmod(0o755)
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["make", "--dry-run", "notebook", "FLAGS=--no-browser --port 9999"]
    done = subprocess.run(
        command, cwd=config.ROOT, env=path, capture_output=True, text=True, check=True
    )
    [line] = [line for line in done.stdout.splitlines() if "jupyter lab" in line]
    assert ("--allow-root" in line) == is_root
    assert "--no-browser --port 9999" in line


@pytest.mark.slow
def test_quality_of_recommendations_is_that_of_the_newest_run_that_measured(sample_lake):
    from clicklake.ask import notebook

    lake = open_lake(str(sample_lake[0]))
    assert list(notebook.recommendation_quality(lake).index) == []  # this lake has none
    rate = {"mean": 0.4}
    quality = {"hit_rate@3": rate, "ndcg@3": {"mean": 0.3}}
    told = {
        "model": "ease",
        "quality": quality,
        "popularity": {**quality, "hit_rate@3": {"mean": 0.1}},
    }
    run = replace(RunMetrics.from_json(sample_lake[1]), recommendation=told)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebook, "committed", lambda storage: [run])
        found = notebook.recommendation_quality(lake)
    lake.close()
    assert found["hit rate at 3"].to_dict() == {"the model": 0.4, "popularity": 0.1}
    assert found["NDCG at 3"].to_dict() == {"the model": 0.3, "popularity": 0.3}


def test_the_committed_notebook_names_no_place_and_hides_no_error():
    notebook = read_notebook()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert [output.output_type for output in cell.outputs if "ename" in output] == []
            assert not any(output.output_type == "stream" for output in cell.outputs)
            assert "/tmp" not in str(cell.outputs)
