"""A small notebook from the first to the last cell, by nbclient, which is no dependency."""

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

CELLS = (
    "import attractor, jax, numpy as np\nfrom attractor.dynamics import lyapunov_exponents",
    "cell = attractor.cells.Elman(1, 2, key=jax.random.key(0))\nlyapunov_exponents(cell, np.ones((300, 1)))",
    "attractor.SequenceClassifier(hidden_size=4)",
    "from attractor.progress import reporter_for\n"
    "for fold in range(3):\n"
    "    reporter = reporter_for('training')\n"
    "    for step in range(1000):\n"
    "        reporter.update(step + 1, 1000)\n"
    "print('done')",
)


@pytest.mark.slow
def test_a_notebook_shows_results_and_one_line_of_progress(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    spectrum, estimator, progress = (notebook.cells[index].outputs for index in (1, 2, 3))
    assert "2 Lyapunov exponents" in spectrum[-1].data["text/plain"]
    assert "data:image/png;base64," in spectrum[-1].data["text/html"]
    assert estimator[-1].data["text/plain"] == "SequenceClassifier(hidden_size=4)"
    kinds = [one.output_type for one in progress]
    assert kinds.count("display_data") == 1
    assert [one.text for one in progress if one.output_type == "stream"] == ["done\n"]
    shown = next(one for one in progress if one.output_type == "display_data")
    assert shown.data["text/plain"].startswith("training: 1000/1000")
