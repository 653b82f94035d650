"""How well a simulated output matches a measured one, and whether the residuals still hold something."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int

from attractor.errors import InputDataError, ShapeError
from attractor.report.drawn import Drawn
from attractor.shown import Rows, Shown, in_words

Columns = Float[np.ndarray, "time outputs"]
PerOutput = Float[np.ndarray, " outputs"]


@dataclass(frozen=True)
class Metrics(Shown, next_call=".mean_fit, .rmse"):
    """The usual metrics of one experiment; every array has one entry per output.

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

    def __str__(self) -> str:
        """FIT and errors of every output."""
        fit = in_words(np.round(self.fit, 2))
        return "\n".join([
            f"FIT {fit} %, mean {self.mean_fit:.2f} %, {self.samples} samples; 100 is perfect, 0 is the mean",
            f"root mean square error {in_words(self.rmse)}, largest error {in_words(self.max_error)}",
        ])

    def rows_shown(self) -> Rows:
        """A line for every output."""
        columns = zip(self.fit, self.rmse, self.nrmse, self.max_error, strict=True)
        rows = tuple((str(index), *(f"{one:.4g}" for one in row)) for index, row in enumerate(columns))
        return Rows(("output", "FIT [%]", "RMSE", "NRMSE", "largest error"), rows)


def rmse(measured: Columns, simulated: Columns) -> PerOutput:
    r"""Root mean square error, $\sqrt{\frac1T \sum_t (y_t - \hat y_t)^2}$, unit of the output."""
    return np.sqrt(np.mean((measured - simulated) ** 2, axis=0))


def nrmse(measured: Columns, simulated: Columns) -> PerOutput:
    """`rmse` divided by the standard deviation of the measurement; NaN for a constant measurement."""
    std = np.std(measured, axis=0)
    # Rounding of the mean leaves 1e-16 of a constant.
    moves = (np.ptp(measured, axis=0) > 0) & (std > 0)
    return np.where(moves, rmse(measured, simulated) / np.where(moves, std, 1.0), np.nan)


def fit_percent(measured: Columns, simulated: Columns) -> PerOutput:
    r"""FIT, $100 (1 - \lVert y - \hat y \rVert_2 / \lVert y - \bar y \rVert_2)$ percent per output.

    100 is perfect, 0 is what the mean of the measurement would reach, and there is no lower end. A common
    change of unit leaves it unchanged. It is NaN for a constant measurement.
    Source: Ljung, System Identification Toolbox, `compare`.
    """
    return 100.0 * (1.0 - nrmse(measured, simulated))


def max_abs_error(measured: Columns, simulated: Columns) -> PerOutput:
    """The largest absolute error of every output, unit of the output."""
    return np.max(np.abs(measured - simulated), axis=0)


def evaluate(measured: Columns, simulated: Float[np.ndarray, "rows outputs"], *, washout: int = 0) -> Metrics:
    """All metrics of one experiment, after the washout in which the initial state is forgotten.

    Args:
        measured: what the sensors showed, engineering units.
        simulated: what the model says, same shape.
        washout: rows at the beginning that do not count.

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
    values = (metric(truth, guess) for metric in (fit_percent, rmse, nrmse, max_abs_error))
    return Metrics(*values, samples=len(truth))


_BLOCKS = 10


def relative_gain(known: Float[np.ndarray, " rows"], new: Float[np.ndarray, " rows"]) -> tuple[float, float]:
    """The share of the squared error of a known model that a new one removes, and its standard error.

    Errors of neighbouring rows are alike, so the standard error is taken from the means of ten blocks.

    Args:
        known: squared errors of the known model, row by row.
        new: of the new model, the same rows.

    Returns:
        Share and standard error; both are infinite or NaN where an error is not finite.
    """
    total = float(np.mean(known)) if len(known) else 0.0
    if not total > 0:
        return 0.0, float("inf")
    with np.errstate(invalid="ignore"):
        gain = (known - new) / total
        blocks = np.array([block.mean() for block in np.array_split(gain, min(_BLOCKS, len(gain)))])
        error = float(blocks.std(ddof=1)) / len(blocks) ** 0.5 if len(blocks) > 1 else float("inf")
    return float(gain.mean()), error


@dataclass(frozen=True)
class ResidualAnalysis(
    Drawn, picture="attractor.control.loop_page:draw_residuals", next_call=".plot(), .auto_outside"
):
    """Correlations of the residuals, each with the band in which chance alone would leave it.

    Args:
        auto_lags: 0 to L, in samples.
        auto: auto-correlation of every output's residual, 1 at lag 0.
        auto_band: half width of the band around zero, the same for all lags but 0.
        cross_lags: -L to L; a positive lag asks whether an earlier input shows in a later residual.
        cross: correlation of the residual of every output with every input.
        cross_band: half width of the band, one per pair.
        confidence: probability with which a correlation of a perfect model stays in the band.
    """

    auto_lags: Int[np.ndarray, " lags"]
    auto: Float[np.ndarray, "outputs lags"]
    auto_band: float
    cross_lags: Int[np.ndarray, " both_sides"]
    cross: Float[np.ndarray, "outputs inputs both_sides"]
    cross_band: Float[np.ndarray, "outputs inputs"]
    confidence: float = 0.99

    @property
    def auto_outside(self) -> Float[np.ndarray, " outputs"]:
        """Share of the lags above 0 at which the auto-correlation leaves its band."""
        return np.mean(np.abs(self.auto[:, 1:]) > self.auto_band, axis=1)

    @property
    def cross_outside(self) -> Float[np.ndarray, "outputs inputs"]:
        """Share of the lags from 0 on at which an input is still visible in the residual."""
        causal = self.cross[..., self.cross_lags >= 0]
        return np.mean(np.abs(causal) > self.cross_band[..., None], axis=-1)


def analyse_residuals(
    residuals: Float[np.ndarray, "time outputs"],
    inputs: Float[np.ndarray, "rows inputs"],
    *,
    lags: int = 25,
    confidence: float = 0.99,
) -> ResidualAnalysis:
    r"""Test whether the residuals are white and independent of the inputs.

    With the residual $e$ and the input $u$ of zero mean, over $N$ samples,

    $$\hat R_e(\tau) = \frac1N \sum_t e(t) e(t - \tau), \qquad
      \hat R_{eu}(\tau) = \frac1N \sum_t e(t) u(t - \tau)$$

    are divided by $\hat R_e(0)$ and $\sqrt{\hat R_e(0) \hat R_u(0)}$. For white residuals
    $\sqrt N \hat r_e(\tau)$ is standard normal. For residuals independent of the input,
    $\sqrt N \hat r_{eu}(\tau)$ is normal with the variance $P = \sum_k r_e(k) r_u(k)$, so that a slow
    input widens the band when the residual is slow too (Bartlett). The bands are the normal quantile
    times $1/\sqrt N$ and $\sqrt{P/N}$; the sum over $k$ is tapered at a tenth of the record.
    Source: Ljung, System Identification, 2nd edition, section 16.6.

    Args:
        residuals: measured less simulated outputs, engineering units, without the washout.
        inputs: the inputs of the same rows.
        lags: the largest lag, in samples.
        confidence: probability of the bands.

    Returns:
        Correlations and bands; zero correlation where a residual or an input does not vary at all.

    Raises:
        ShapeError: if the rows differ in number or are too few for the lags.
        InputDataError: if a value is not finite.
    """
    _check(residuals, inputs, lags)
    samples = len(residuals)
    quantile = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    left, right = _standardised(residuals), _standardised(inputs)
    auto, of_inputs = (
        np.stack([_correlation(column, column, samples)[samples - 1 :] for column in side.T])
        for side in (left, right)
    )
    cross = np.stack([[_correlation(one, other, lags + 1) for other in right.T] for one in left.T])
    return ResidualAnalysis(
        auto_lags=np.arange(lags + 1),
        auto=auto[:, : lags + 1],
        auto_band=quantile / samples**0.5,
        cross_lags=np.arange(-lags, lags + 1),
        cross=cross,
        cross_band=quantile * np.sqrt(_bartlett_variance(auto, of_inputs) / samples),
        confidence=confidence,
    )


def _correlation(one: np.ndarray, other: np.ndarray, span: int) -> np.ndarray:
    """Correlation at the lags -(span-1) to span-1 of two standardised columns, by FFT."""
    samples = len(one)
    spectrum = np.fft.rfft(one, 2 * samples) * np.conj(np.fft.rfft(other, 2 * samples))
    around = np.fft.irfft(spectrum, 2 * samples) / samples
    return np.concatenate([around[len(around) - span + 1 :], around[:span]])


def _bartlett_variance(auto: np.ndarray, of_inputs: np.ndarray) -> np.ndarray:
    """The variance P for every pair of an output and an input, never below a hundredth of the white one."""
    span = max(auto.shape[1] // 10, 1)
    taper = 1.0 - np.arange(span) / span
    weights = np.where(np.arange(span) == 0, 1.0, 2.0) * taper
    products = np.einsum("ik,jk,k->ij", auto[:, :span], of_inputs[:, :span], weights)
    return np.maximum(products, 0.01)


def _standardised(columns: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance; a column that does not vary becomes zero."""
    centred = np.where(np.ptp(columns, axis=0) == 0, 0.0, columns - columns.mean(axis=0))
    std = centred.std(axis=0)
    return centred / np.where(std > 0, std, 1.0)


def _check(residuals: np.ndarray, inputs: np.ndarray, lags: int) -> None:
    if len(residuals) != len(inputs):
        raise ShapeError(
            f"There are {len(residuals)} rows of residuals and {len(inputs)} of inputs; give equal numbers."
        )
    if not 1 <= lags < len(residuals):
        raise ShapeError(
            f"{lags} lags were asked for with {len(residuals)} samples; give 1 <= lags < samples."
        )
    for name, array in (("residuals", residuals), ("inputs", inputs)):
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise InputDataError(
                f"{name} has a value that is not finite in row {row}; leave out such rows first."
            )
