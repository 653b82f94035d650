"""Commands about control: certify, control, export."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from attractor.errors import AttractorError

from .console import console, escaped
from .options import own_cell

NOT_PROVED = 5


@dataclass(frozen=True)
class CertifyCommand:
    """Prove that a trained model forgets its past for every input it may see, or show that it does not."""

    folder: Positional[Path]
    """The run folder."""
    time_budget: float = 60.0
    """Seconds for the whole ladder of bounds."""
    tighten: bool = True
    """Go on after a proof, within the budget, for a smaller contraction rate."""
    input_bound: float = 1.0
    """Inputs lie within +- this; 1 is the range of the training data."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""

    def run(self) -> None:
        """Certify, save, report; the status is 0 for a proof and 5 for none."""
        from attractor.certify import CertifySettings
        from attractor.control import PlantModel
        from attractor.control.identification.stability import certify_model, save_stability
        from attractor.progress import reporter_for
        from attractor.report import write_stability_report

        model = PlantModel.load(self.folder, cell=own_cell(self.cell))
        settings = CertifySettings(time_budget=self.time_budget, tighten=self.tighten)
        result = certify_model(model, self.input_bound, settings, reporter_for("bounds"))
        save_stability(self.folder, result)
        for attempt in result.attempts:
            console.print(f"level {attempt.level}: {escaped(attempt.outcome)} ({attempt.seconds:.1f} s)")
        command = shlex.join(["attractor", *sys.argv[1:]])
        report = write_stability_report(self.folder, model, result, command)
        console.print(f"[bold]{escaped(result.verdict.value)}[/]", soft_wrap=True)
        if result.certificate is not None:
            _show_certificate(result.certificate, model.signals_.sampling_time)
        console.print(f"report: [bold]{escaped(report)}[/]", soft_wrap=True)
        if result.certificate is None:
            raise NotProvedError(result.reason or "a counterexample was found; the report shows it")


class NotProvedError(AttractorError):
    """The command ran, and what it looked for is not proved."""

    exit_code = NOT_PROVED


def _show_certificate(certificate: object, sampling_time: float) -> None:
    from attractor.certify import Certificate

    if isinstance(certificate, Certificate):
        steps = certificate.settling_steps()
        console.print(
            f"rate {certificate.rate:.4f} a step (level {certificate.level}), settled to 1 % after {steps} "
            f"steps = {steps * sampling_time:g} s"
        )
