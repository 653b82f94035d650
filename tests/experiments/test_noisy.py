"""The study of noisy networks, without its trainings."""

import io
import json
from dataclasses import asdict

import numpy as np
import pytest
from rich.console import Console

from experiments.noisy import (
    Result,
    Trial,
    accuracy_table,
    attack_table,
    chosen_level,
    pixels,
    read_results,
    theory_table,
)
from experiments.noisy_theory import Theory


def result(noise, seed, clean, disturbed, cell="lipschitz"):
    falling = [10 - noise, 5 - noise, 0.1 - noise, 1 - noise, 2 - noise]
    theory = Theory(*falling, noise + seed / 100, 0.1 + noise) if cell == "lipschitz" else None
    return Result(
        Trial(cell, noise, seed), 1.0, (clean, *[disturbed] * 6), (0.9,) * 7, (0.9, 0.5, 0.1), theory
    )


RESULTS = [
    *(result(0.0, seed, 0.95, 0.70) for seed in range(2)),
    *(result(0.1, seed, 0.945, 0.80) for seed in range(2)),
    *(result(0.2, seed, 0.90, 0.90) for seed in range(2)),
    result(0.0, 0, 0.95, 0.75, "gru"),
]


def test_the_level_is_the_most_robust_one_that_costs_little_clean_accuracy():
    assert chosen_level(RESULTS, "lipschitz") == 0.1


def test_images_become_sequences_of_means_of_squares(tmp_path):
    images = np.arange(2 * 4 * 4).reshape(2, 4, 4).astype(np.uint8)
    np.savez(tmp_path / "images.npz", X=images, y=np.array([0, 1]))
    data = pixels(tmp_path / "images.npz")
    assert data.values.shape == (2, 4, 1)
    np.testing.assert_allclose(data.values[0, :, 0] * 255, [2.5, 4.5, 10.5, 12.5])


def test_results_come_back_from_their_file(tmp_path):
    path = tmp_path / "out.jsonl"
    assert read_results(path) == []
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in RESULTS))
    assert read_results(path) == RESULTS


@pytest.mark.parametrize(
    ("table", "shown"),
    [
        (lambda: accuracy_table(RESULTS, "validation"), "70.0 ± 0.0"),
        (lambda: theory_table(RESULTS, "lipschitz"), "+0.9"),
        (lambda: attack_table(RESULTS), "50.0"),
    ],
)
def test_tables_show_the_figures(table, shown):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table())
    assert shown in console.export_text()
