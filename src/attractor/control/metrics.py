"""How well a simulated output matches a measured one."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from attractor.errors import ShapeError

PerOutput = Float[np.ndarray, " outputs"]


@dataclass(frozen=True)
class Metrics:
    """The usual figures of merit of one experiment; every array has one entry per output.

    Args:
        fit: percent, 100 is perfect, 0 is as good as the mean; NaN where it is undefined.
        rmse: root mean square error, engineering units.
        nrmse: `rmse` divided by the standard deviation of the measurement; `fit = 100 (1 - nrmse)`.
        max_error: largest absolute error, engineering units.
        samples: how many rows were compared.
    """

    fit: PerOutput
    rmse: PerOutput
    nrmse: PerOutput
    max_error: PerOutput
    samples: int

    @property
    def mean_fit(self) -> float:
        """Average FIT over the outputs for which it is defined; NaN if there is none.

        It is minus infinity if a simulation ran away, whatever the other outputs do.
        """
        fit = np.where(np.isfinite(self.rmse), self.fit, -np.inf)
        defined = fit[~np.isnan(fit)]
        return float(defined.mean()) if len(defined) else float("nan")


def rmse(
    measured: Float[np.ndarray, "time outputs"], simulated: Float[np.ndarray, "time outputs"]
) -> PerOutput:
    r"""Root mean square error, $\sqrt{\frac1T \sum_t (y_t - \hat y_t)^2}$, unit of the output."""
    return np.sqrt(np.mean((measured - simulated) ** 2, axis=0))


def nrmse(
    measured: Float[np.ndarray, "time outputs"], simulated: Float[np.ndarray, "time outputs"]
) -> PerOutput:
    """`rmse` divided by the standard deviation of the measurement; NaN for a constant measurement."""
    return _divide(rmse(measured, simulated), _spread(measured))


def fit_percent(
    measured: Float[np.ndarray, "time outputs"], simulated: Float[np.ndarray, "time outputs"]
) -> PerOutput:
    r"""FIT, $100 (1 - \lVert y - \hat y \rVert_2 / \lVert y - \bar y \rVert_2)$ percent per output.

    100 is perfect, 0 is what the mean of the measurement would reach, and there is no lower end. A common
    change of unit leaves it unchanged. It is NaN for a constant measurement.
    Source: Ljung, System Identification Toolbox, `compare`.
    """
    return 100.0 * (1.0 - nrmse(measured, simulated))


def max_abs_error(
    measured: Float[np.ndarray, "time outputs"], simulated: Float[np.ndarray, "time outputs"]
) -> PerOutput:
    """The largest absolute error of every output, unit of the output."""
    return np.max(np.abs(measured - simulated), axis=0)


def evaluate(
    measured: Float[np.ndarray, "time outputs"],
    simulated: Float[np.ndarray, "rows outputs"],
    *,
    washout: int = 0,
) -> Metrics:
    """All figures of one experiment, after the washout in which the initial state is forgotten.

    Args:
        measured: what the sensors showed, engineering units.
        simulated: what the model says, same shape.
        washout: rows at the beginning that do not count.

    Returns:
        The figures.

    Raises:
        ShapeError: if the shapes differ or the washout leaves nothing.
    """
    if measured.shape != simulated.shape:
        raise ShapeError(
            f"measured has shape {measured.shape}, simulated {simulated.shape}; they must be equal."
        )
    if not 0 <= washout < len(measured):
        raise ShapeError(f"A washout of {washout} rows leaves nothing of an experiment of {len(measured)}.")
    truth, guess = measured[washout:], simulated[washout:]
    return Metrics(
        fit=fit_percent(truth, guess),
        rmse=rmse(truth, guess),
        nrmse=nrmse(truth, guess),
        max_error=max_abs_error(truth, guess),
        samples=len(truth),
    )


def _spread(measured: np.ndarray) -> np.ndarray:
    """Standard deviation; exactly zero for a constant, where rounding of the mean would leave 1e-16."""
    return np.where(np.ptp(measured, axis=0) == 0, 0.0, np.std(measured, axis=0))


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    usable = denominator > 0
    return np.where(usable, numerator / np.where(usable, denominator, 1.0), np.nan)
