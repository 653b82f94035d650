r"""Stability verdicts for a cell, with and without noise in its state.

Two solutions under the same inputs and the same noise have a difference $\Delta$ whose Lyapunov exponent
obeys (Ito's formula for $\log |\Delta|$; the theorem of Lim et al. 2021, arXiv 2102.04877, has this shape)

$$\mu_{low} + \inf \psi \le \Lambda \le \mu + \sup \psi, \qquad
\psi = \frac{|\delta\sigma|_F^2}{2 |\Delta|^2} - \frac{|\delta\sigma' \Delta|^2}{|\Delta|^4}$$

with $\mu$ the one-sided Lipschitz constant of the drift and $\delta\sigma$ the difference of the diffusions.
An upper bound can prove that trajectories meet. It can never prove that they do not.
"""

from dataclasses import dataclass
from enum import Enum
from math import inf, isinf

from attractor.cells import CellLike, Lipschitz, name_of
from attractor.certify import CertifySettings, StabilityResult, Verdict, bound_in_words, certify
from attractor.progress import Reporter
from attractor.settings import NonNegative, Settings
from attractor.shown import Shown

from .lipschitz_bounds import DriftBounds, drift_bounds, outward


class StabilityVerdict(Enum):
    """The three answers; the value is the text that users see."""

    CONTRACTING = "contracting: any two trajectories under the same inputs approach each other"
    STABILISED = (
        "stabilised by noise (almost surely): any two solutions of the stochastic differential equation "
        "under the same inputs and the same noise approach each other"
    )
    UNKNOWN = (
        "unknown: no bound proves that trajectories approach each other; this does not say that they part"
    )

    def __str__(self) -> str:
        """The text shown to users."""
        return self.value


class NoiseKind(Enum):
    """How noise enters the state h; the value says which bound on psi applies."""

    NONE = "no noise: psi = 0"
    ADDITIVE = "additive noise cancels in the difference of two solutions: psi = 0"
    COMMON = "one noise for all units, s h dB: psi = -s^2/2 exactly"
    INDEPENDENT = "a noise of its own for every unit, s diag(h) dB: -s^2/2 <= psi <= s^2/2 - s^2/N"
    COMMON_DRIFT = (
        "one noise for all units on the drift, s F dB: -s^2 L^2/2 <= psi <= s^2 (L^2/2 - min(mu, 0)^2)"
    )
    INDEPENDENT_DRIFT = (
        "a noise of its own for every unit on the drift, s diag(F) dB: "
        "-s^2 L^2/2 <= psi <= s^2 (L^2/2 - min(mu, 0)^2/N)"
    )


@dataclass(frozen=True)
class StateDiffusion(Settings):
    """Noise in the state of the differential equation behind a cell.

    Args:
        kind: how it enters.
        level: s.

    Raises:
        ConfigError: a level that is negative or not finite.
    """

    kind: NoiseKind = NoiseKind.NONE
    level: NonNegative = 0.0

    @property
    def cancels(self) -> bool:
        """Whether it is absent from the difference of two solutions."""
        return self.level == 0 or self.kind in (NoiseKind.NONE, NoiseKind.ADDITIVE)

    @classmethod
    def of(cls, cell: Lipschitz) -> "StateDiffusion":
        """The noise that a Lipschitz cell draws where it is given a key; additive parts cancel."""
        additive, multiplicative = cell.equivalent_noise()
        if multiplicative > 0:
            common = cell.noise.kind == "common"
            return cls(NoiseKind.COMMON_DRIFT if common else NoiseKind.INDEPENDENT_DRIFT, multiplicative)
        return cls(NoiseKind.ADDITIVE, additive) if additive > 0 else cls()


@dataclass(frozen=True)
class StabilityBounds(Shown, next_call=".certificate, .exponent"):
    """What bounds say about trajectories of one cell. Exponents and rates are per unit of time.

    Args:
        verdict: the answer.
        reason: which bound decided, or why none did.
        noise: the noise it is about.
        one_sided: mu; infinity where it is not known.
        psi: bounds from below and above on the noise term.
        exponent: bounds from below and above on the Lyapunov exponents of the difference.
        step_factor: a difference is multiplied by at most this in one step without noise (in the norm of
            the certificate, where one decided).
        certificate: what `attractor.certify.certify` found, for a cell that has no bounds of its own here.
    """

    verdict: StabilityVerdict
    reason: str
    noise: StateDiffusion
    one_sided: float
    psi: tuple[float, float]
    exponent: tuple[float, float]
    step_factor: float
    certificate: StabilityResult | None = None

    def __str__(self) -> str:
        """The verdict, the bound that applies, and its numbers."""
        lines = [str(self.verdict), self.reason, f"noise: {self.noise.kind.value}"]
        if not isinf(self.one_sided):
            lines.append(
                f"mu = {self.one_sided:.4g}, psi in [{self.psi[0]:.4g}, {self.psi[1]:.4g}], "
                f"exponent in [{self.exponent[0]:.4g}, {self.exponent[1]:.4g}] per unit of time"
            )
        return "\n".join([*lines, f"factor of one step without noise: at most {self.step_factor:.6g}"])


def stability(
    cell: CellLike,
    noise: StateDiffusion | None = None,
    *,
    input_bound: float | int = 1.0,
    settings: CertifySettings | None = None,
    reporter: Reporter | None = None,
) -> StabilityBounds:
    """Whether trajectories of a cell under the same inputs (and the same noise) approach each other.

    A Lipschitz cell is judged by global bounds on its drift, for all states and inputs. Without noise, or
    with additive noise, the verdict is about the cell's own steps; with other noise it is about the
    differential equation, which the steps follow up to an error of the order of the step. Every other cell
    goes to `attractor.certify.certify`.

    Args:
        cell: any cell.
        noise: noise in the state; None means none (`StateDiffusion.of(cell)` is that of a Lipschitz cell).
        input_bound: inputs lie within +- this; used for cells that go to `certify`.
        settings: how hard `certify` tries.
        reporter: hears about the progress of `certify`.

    Raises:
        InputDataError: weights that are not finite.
    """
    noise = noise or StateDiffusion()
    if isinstance(cell, Lipschitz):
        return _judged(drift_bounds(cell), noise)
    found = certify(cell, input_bound=input_bound, settings=settings, reporter=reporter)
    return _certified(cell, noise, found, input_bound)


def noise_term(bounds: DriftBounds, noise: StateDiffusion) -> tuple[float, float]:
    r"""Bounds from below and above on psi.

    With $|\delta\sigma|_F = s |\Delta|$, or $s |\delta F|$ for noise on the drift, the inequality of Cauchy
    and Schwarz bounds what noise takes away along $\Delta$.
    """
    square, units = noise.level**2, bounds.states
    pull = min(bounds.one_sided, 0.0) ** 2 if bounds.slowest == 1.0 else 0.0
    growth = (bounds.slowest * bounds.size) ** 2
    return {
        NoiseKind.NONE: (0.0, 0.0),
        NoiseKind.ADDITIVE: (0.0, 0.0),
        NoiseKind.COMMON: (-square / 2, -square / 2),
        NoiseKind.INDEPENDENT: (-square / 2, square / 2 - square / units),
        NoiseKind.COMMON_DRIFT: (-square * growth / 2, square * (growth / 2 - pull)),
        NoiseKind.INDEPENDENT_DRIFT: (-square * growth / 2, square * (growth / 2 - pull / units)),
    }[noise.kind]


def _judged(bounds: DriftBounds, noise: StateDiffusion) -> StabilityBounds:
    psi = noise_term(bounds, noise)
    low, high = -outward(-(bounds.one_sided_low + psi[0])), outward(bounds.one_sided + psi[1])
    verdict, reason = _decided(bounds, noise, high)
    return StabilityBounds(verdict, reason, noise, bounds.one_sided, psi, (low, high), bounds.step_factor)


def _decided(bounds: DriftBounds, noise: StateDiffusion, high: float) -> tuple[StabilityVerdict, str]:
    quiet = noise.cancels
    factor = f"one step multiplies differences by at most {bounds.step_factor:.6g}"
    if bounds.step_factor < 1 and (quiet or high < 0):
        also = "" if quiet else f", and with noise their exponent is at most {high:.4g}"
        return StabilityVerdict.CONTRACTING, factor + also
    if not quiet and high < 0 <= bounds.one_sided:
        reason = f"the exponent is at most mu + sup psi = {high:.4g}, while {factor} without noise"
        return StabilityVerdict.STABILISED, reason
    if bounds.one_sided < 0 and high < 0:
        reason = f"the flow contracts (mu = {bounds.one_sided:.4g}), but its steps may be too large: {factor}"
        return StabilityVerdict.UNKNOWN, reason
    return StabilityVerdict.UNKNOWN, f"the exponent is only known to be at most {high:.4g}, and {factor}"


def _certified(
    cell: CellLike, noise: StateDiffusion, found: StabilityResult, input_bound: float
) -> StabilityBounds:
    quiet = noise.level == 0 or noise.kind is NoiseKind.NONE
    proved = found.verdict is Verdict.PROVED and quiet
    scope = f"for inputs within {bound_in_words(input_bound)}"
    reason = f"certificate without noise, {scope}: {found.verdict.value} {found.reason}".strip()
    if not quiet:  # it pushes states out of the box for which a certificate speaks
        reason += f"; with noise only Lipschitz cells are understood, not {name_of(cell)}"
    return StabilityBounds(
        verdict=StabilityVerdict.CONTRACTING if proved else StabilityVerdict.UNKNOWN,
        reason=reason,
        noise=noise,
        one_sided=inf,
        psi=(0.0, 0.0) if noise.cancels else (-inf, inf),
        exponent=(-inf, inf),
        step_factor=found.certificate.rate if found.certificate is not None else inf,
        certificate=found,
    )
