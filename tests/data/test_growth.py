"""Time and memory grow with the data: columns, long lines, and files that unpack to more than they hold."""

import subprocess
import sys
import time
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from attractor.data import read_csv, read_table
from attractor.data.sequence_file import read_npz
from attractor.errors import InputDataError


def seconds(action, *parts):
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        action(*parts)
        best = min(best, time.process_time() - start)
    return best


def wide(path, columns, rows):
    names = ",".join(f"u{k}" for k in range(columns))
    path.write_text(names + "\n" + (",".join(["1.5"] * columns) + "\n") * rows)
    return path


def copied(path):
    table = read_table(path)
    return [table.copied(position) for position in range(len(table.signals))]


def test_time_is_linear_in_the_columns(tmp_path):
    """Copying all columns of 1600 takes four times those of 400; it took sixteen times."""
    short, long = (seconds(copied, wide(tmp_path / f"{n}.csv", n, 100)) for n in (400, 1600))
    assert long < 8 * short + 0.05


def alone(program, *arguments):
    """What a program prints in a process of its own: without the checks of types that tests switch on."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("rows", [100, 1000])
def test_time_for_a_column_does_not_grow_with_their_number(tmp_path, rows):
    """Of 10, 100 and 1000 columns; few rows are read cell by cell, many by pandas."""

    def read(path, columns):
        names = [f"u{k}" for k in range(columns)]
        read_csv(path, inputs=names[:-1], outputs=names[-1:])

    each = [seconds(read, wide(tmp_path / f"{n}.csv", n, rows), n) / n for n in (10, 100, 1000)]
    assert each[2] < 2 * each[1] + 1e-4
    assert each[2] < 2 * each[0] + 1e-4


def test_a_hundred_thousand_columns(tmp_path):
    path = wide(tmp_path / "wide.csv", 100_000, 3)
    program = (
        "import sys, time; from attractor.data import read_csv; from attractor.errors import InputDataError\n"
        "names = [f'u{k}' for k in range(100_000)]; start = time.process_time()\n"
        "read_csv(sys.argv[1], inputs=names[:-1], outputs=names[-1:]); print(time.process_time() - start)\n"
        "try: read_csv(sys.argv[1], inputs=['v'], outputs=['u0'])\n"
        "except InputDataError as problem: sys.exit(\"no column 'v'; Available\" not in str(problem))\n"
        "sys.exit('a column that is not there was read')"
    )
    # 1.4 s where this was written.
    assert alone(program, path) < 6


@pytest.mark.parametrize("piece", ["column, ", "a(", "x [", '"', "a b\t"])
def test_a_header_of_a_megabyte(tmp_path, piece):
    """One of twenty took a minute; now time is linear in its length."""
    path = tmp_path / "log.csv"
    path.write_text(piece * (1_000_000 // len(piece)) + "\n1,2\n3,4\n")
    start = time.process_time()
    with pytest.raises(InputDataError) as caught:
        read_csv(path, inputs=["u"], outputs=["y"])
    assert time.process_time() - start < 10
    assert len(str(caught.value)) < 3000


def test_a_header_of_twenty_megabytes(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("flow of water in the second pipe [l/min], " * 500_000 + "\n1,2\n3,4\n")
    program = (
        "import sys, time; from attractor.data import read_csv; start = time.process_time()\n"
        "try: read_csv(sys.argv[1], inputs=['u'], outputs=['y'])\n"
        "except ValueError: print(time.process_time() - start)"
    )
    # 2 s where this was written, 52 s before.
    assert alone(program, path) < 10


def packed(path, megabytes):
    head = {"descr": "|i1", "fortran_order": False, "shape": (1000, megabytes * 1000, 1)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("X.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, head)
        for _ in range(megabytes):
            member.write(bytes(10**6))
    return path


def test_a_quarter_of_a_megabyte_does_not_become_two_gigabytes(tmp_path):
    """0.25 MB that unpack to 255 MB of bytes, and two gigabytes of float64; reading them took 4.4 GB."""
    path = packed(tmp_path / "small.npz", 255)
    assert path.stat().st_size < 3e5
    tracemalloc.start()
    with pytest.raises(InputDataError, match=r"bytes unpack to 2\.0 GB, as no measured data do"):
        read_npz(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


@pytest.mark.parametrize("suffix", [".parquet", ".mat"])
def test_tables_that_unpack_to_a_huge_one_are_refused(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("attractor.data.binary_files.LARGE", 2**22)
    path, zeros = tmp_path / f"log{suffix}", np.zeros(2**20)
    if suffix == ".mat":
        savemat(path, {"u": zeros, "y": zeros}, do_compression=True)
    else:
        pd.DataFrame({"u": zeros, "y": zeros}).to_parquet(path)
    with pytest.raises(InputDataError, match=rf"log{suffix}: \d+ bytes unpack to 0\.0 GB, as no measured"):
        read_table(path)


def test_a_list_in_a_cell_counts_by_its_length(tmp_path, monkeypatch):
    monkeypatch.setattr("attractor.data.binary_files.LARGE", 2**22)
    pd.DataFrame({"u": [np.zeros(2**20)] * 2}).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputDataError, match=r"bytes unpack to 0\.0 GB"):
        read_table(tmp_path / "log.parquet")


def test_a_text_that_all_rows_share_is_kept_once(tmp_path):
    """4000 rows share 100 kB of text; a text for each of them would be 400 MB."""
    path = tmp_path / "log.parquet"
    pd.DataFrame({"u": np.arange(4000.0), "note": ["x" * 100_000] * 4000}).to_parquet(path)
    assert path.stat().st_size < 1e6
    program = (
        "import sys, resource, pandas, pyarrow.parquet; from attractor.data import read_table\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "start = peak(); table = read_table(sys.argv[1]); note = table.text(table.find('note'))\n"
        "assert len(note[-1]) == 100_000; print(peak() - start)"
    )
    assert 1024 * alone(program, path) < 1e8


def test_the_peak_is_the_data_and_a_half(tmp_path):
    """Real data of one byte each become eight; no second copy of them is made."""
    values = np.random.default_rng(0).integers(0, 100, (100, 1000, 20), dtype=np.int8)
    np.savez_compressed(tmp_path / "real.npz", X=values)
    tracemalloc.start()
    data = read_npz(tmp_path / "real.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * data.values.nbytes


def test_a_text_file_takes_a_few_times_its_size(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("u,y\n" + "".join(f"{k / 7!r},{k / 3!r}\n" for k in range(300_000)))
    program = (
        "import sys, resource, pandas; from attractor.data import read_csv\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "start = peak(); read_csv(sys.argv[1], inputs=['u'], outputs=['y']); print(peak() - start)"
    )
    assert 1024 * alone(program, path) < 8 * path.stat().st_size
