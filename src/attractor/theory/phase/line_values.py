"""What mean-field theory says of one gated network: critical gains and relaxation times."""

from collections.abc import Mapping

import numpy as np

from attractor.cells import GatedForm
from attractor.sweeps import Arrays
from attractor.theory.mean_field.critical import critical_gains, fold_gain
from attractor.theory.mean_field.gated_parameters import GatedParameters
from attractor.theory.mean_field.marginal import leading_edge, marginal_range

from .parameter_names import with_values
from .phase_plan import PhasePlan

NEAR = 1.25
"""Ratio of gains beyond which it is plain on which side of the onset of chaos a network lies."""


def mean_field_parameters(form: GatedForm, values: Mapping[str, float]) -> GatedParameters:
    """The parameters of the theory for a network without input."""
    return GatedParameters.of(with_values(form, values))


def line_names(plan: PhasePlan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines that theory has for a plan, and remarks about those that it lacks.

    Returns:
        Names among "zero", "fold", "chaos" and "marginal", and one sentence for each that is missing.
    """
    axes, form = {plan.x.name, plan.y.name}, plan.form
    if plan.build is not None:
        return (), (f"{plan.network} is not the gated network of the theory: no lines.",)
    if "bias" in axes or form.bias != 0:
        return (), ("With a bias of the activation zero is no fixed point: theory has no closed lines.",)
    constant = form.open_update or ("update_gain" not in axes and form.update_gain == 0)
    names, remarks = ["zero"], []
    if not form.open_reset:
        names.append("fold")
        if constant:
            names.append("chaos")
        else:
            remarks.append(
                "The update gate changes: theory has no closed equation for the onset of chaos, and no line."
            )
    if not constant:
        names.append("marginal")
    return tuple(names), tuple(remarks)


def critical_values(
    plan: PhasePlan, names: tuple[str, ...], values: Mapping[str, float], gain: float | None = None
) -> dict[str, float]:
    """The gains at which lines lie for given other parameters; NaN where the equations were not solved.

    Args:
        plan: of the diagram.
        names: of the lines.
        values: of the other parameters.
        gain: if only the side matters on which this gain lies: far from chaos, the gain of the nearest other
            line stands for that of chaos, which costs nothing.
    """
    parameters = mean_field_parameters(plan.form, values)
    found = {"zero": 1 / parameters.resting_reset}
    if "fold" in names:
        found["fold"] = fold_gain(parameters)
    if "chaos" in names:
        found["chaos"] = _chaos(parameters, found["zero"], found["fold"], gain)
    if "marginal" in names:
        found["marginal"] = np.nan if parameters.constant_update else marginal_range(parameters)[1]
    return {name: found[name] if np.isfinite(found[name]) else np.nan for name in names}


def _chaos(parameters: GatedParameters, zero: float, fold: float, gain: float | None) -> float:
    # chaos appears between the first fixed points and the instability of zero
    if gain is not None and fold > NEAR * gain:
        return fold
    if gain is not None and zero * NEAR < gain:
        return zero
    return critical_gains(parameters).chaos


def values_along(plan: PhasePlan, names: tuple[str, ...], other: str, value: float) -> Arrays:
    """Critical gains for one value of the parameter beside the gain, each an array of one number."""
    found = critical_values(plan, names, {other: value})
    return {name: np.array([gain]) for name, gain in found.items()}


def values_in_row(plan: PhasePlan, names: tuple[str, ...], xs: np.ndarray, y: float) -> Arrays:
    """Critical gains along one row of a grid of two parameters other than the gain."""
    gain = float(plan.form.gain)
    row = [critical_values(plan, names, plan.values_at(np.array([x, y])), gain) for x in xs]
    return {name: np.array([one[name] for one in row]) for name in names}


def relaxation_in_row(plan: PhasePlan, xs: np.ndarray, y: float) -> Arrays:
    """Logarithm to base ten of the relaxation time, 1 / |lambda_edge|, along one row."""
    return {"log_relaxation": np.array([_log_relaxation(plan, x, y) for x in xs])}


def _log_relaxation(plan: PhasePlan, x: float, y: float) -> float:
    edge = leading_edge(mean_field_parameters(plan.form, plan.values_at(np.array([x, y]))))
    if np.isfinite(edge.logarithm):
        return float(-edge.logarithm / np.log(10))
    time = edge.relaxation_time
    return float(np.log10(time)) if np.isfinite(time) else np.nan
