"""Commands about data: simulate a plant, examine a log."""

from dataclasses import dataclass, field
from pathlib import Path

from tyro.conf import OmitArgPrefixes, Positional

from attractor.settings import Count, Seed

from .console import console, escaped, show_findings, signals_of
from .options import Columns, column_options


@dataclass(frozen=True)
class PlantCommand:
    """Simulate a plant and write its log."""

    plant: Positional[str]
    """ph, quadruple-tank, quadruple-tank-nonminimum-phase or quadruple-tank-pilot."""
    out: Path
    """The CSV file to write."""
    samples: Count = 8000
    """Rows in all: 60 % training, 20 % validation, 20 % test, each an experiment of its own."""
    seed: Seed = 0
    """Excitation and noise follow from it."""
    noise: float | None = None
    """Standard deviation of the measurement noise; the plant's usual one if not given."""
    sampling_time: float | None = None
    """Seconds between two rows; the plant's usual one if not given."""

    def run(self) -> None:
        """Simulate, write, tell."""
        from attractor.control import plant_by_name, record_experiments
        from attractor.data import write_record

        record = record_experiments(
            plant_by_name(self.plant),
            self.samples,
            seed=self.seed,
            noise=self.noise,
            sampling_time=self.sampling_time,
        )
        write_record(self.out, record)
        console.print(f"{record.samples} rows of {signals_of(record)}, every {record.sampling_time:g} s")
        console.print(f"wrote [bold]{escaped(self.out)}[/]", soft_wrap=True)


@dataclass(frozen=True)
class DoctorCommand:
    """Look for what makes a log hard to learn from."""

    data: Positional[Path]
    """The CSV log."""
    inputs: tuple[str, ...] = ()
    """Input columns; all but the last column if not given."""
    outputs: tuple[str, ...] = ()
    """Output columns; the last column if not given."""
    columns: OmitArgPrefixes[Columns] = field(default_factory=Columns)

    def run(self) -> None:
        """Read, examine, tell."""
        from attractor.data import examine, guess_columns, read_csv

        inputs, outputs, columns = self.inputs, self.outputs, column_options(self.columns)
        if not (inputs and outputs):
            inputs, outputs = guess_columns(self.data, inputs, outputs, columns)
        record = read_csv(self.data, inputs=inputs, outputs=outputs, columns=columns)
        console.print(f"{record.samples} rows of {signals_of(record)}, every {record.sampling_time:g} s")
        show_findings(examine(record))
