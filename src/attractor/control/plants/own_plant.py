"""A plant of a user's own, written in plain NumPy: a few names, and a step or a derivative."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from inspect import Parameter, isclass, isfunction, signature
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.integrate import solve_ivp

from attractor.cells import input_first
from attractor.cells.calling import users_line
from attractor.control.model import ModelCard
from attractor.data import Signal
from attractor.data.delimited import parse_signal
from attractor.errors import AttractorError, ConfigError, InputDataError
from attractor.shown import counted

from .plant import Plant
from .process import (
    Disturbances,
    Inputs,
    Outputs,
    Process,
    SimulatedPlant,
    check_levels,
    positions,
)

State = Float[np.ndarray, " states"]

_TOLERANCE = 1e-8
_STATED = (
    "inputs",
    "outputs",
    "disturbances",
    "start",
    "input_low",
    "input_high",
    "nominal_inputs",
    "nominal_disturbances",
    "measurement_noise",
    "sampling_time",
)


class OwnPlant:
    """A plant that a user wrote, checked and made whole; it follows the `Process` protocol.

    All that a plant needs is one of these, in plain NumPy:

    - `step(state, inputs)`: the state one sample later, or
    - `derivative(state, inputs)`: the change of the state per second (solved by `scipy.integrate.solve_ivp`,
      LSODA, relative tolerance 1e-8).

    `state` and `inputs` are vectors. A plant that lists `disturbances` gets them as a third argument.
    `measure(state)` gives the outputs; without it the state is the outputs. The rest are attributes, each
    with a default:

    - `inputs`, `outputs`: names, perhaps with units: `["pump [V]"]` or `{"pump": "V"}`; by default those of
      the model, in its order,
    - `start`: the state in which the loop begins; needed with `measure`, else the middle of the range of the
      training outputs,
    - `input_low`, `input_high`: limits; by default the range of the training,
    - `disturbances`, `nominal_disturbances`: what nature moves, and its usual values (zeros),
    - `nominal_inputs`: applied before the loop begins; by default the middle of the limits,
    - `measurement_noise`: standard deviations (zero),
    - `sampling_time`: seconds of a `step`; by default that of the model.

    Args:
        source: an object with these parts, or a function `(state, inputs)`, which is the step.
        card: of the model that is to control it.
        title: what messages call it.

    Raises:
        ConfigError: a part is missing, has another size, or contradicts the model.
        InputDataError: a value is not finite.
    """

    rests = False

    def __init__(self, source: Any, card: ModelCard, title: str) -> None:
        self._title, self._interval, self._samples = title, card.sampling_time, 0
        self._said: list[str] = []
        _check_names(source, title)
        signals = card.signals
        self.inputs = self._signals(source, "inputs", signals.inputs)
        self.outputs = self._signals(source, "outputs", signals.outputs)
        self.disturbances = self._signals(source, "disturbances", ())
        positions("input", signals.inputs, self.inputs, self.disturbances)
        positions("output", signals.outputs, self.outputs)
        self._step, self._derivative = self._motion(source)
        self._measure = getattr(source, "measure", None)
        self._check_sampling_time(source)
        self._take_limits(source)
        self._take_usual_values(source)
        self.nominal_inputs = self._usual_inputs(source, card)
        self._start = self._first(source, card)
        self.begin(self.nominal_inputs, self.nominal_disturbances)
        self.measure()
        self._after(self._state, self.nominal_inputs, self.nominal_disturbances)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was assumed because the plant does not say so."""
        return tuple(self._said)

    def begin(self, inputs: Inputs, disturbances: Disturbances) -> None:
        """Its start; what was applied before plays no role."""
        del inputs, disturbances
        self._state, self._samples = self._start.copy(), 0

    def measure(self) -> Outputs:
        """The outputs in the state as it is.

        Raises:
            ConfigError: another number of them than there are names.
            InputDataError: one is not finite.
        """
        if self._measure is None:
            return self._state.copy()
        with self._running("measure"):
            seen = self._vector("measure", self._measure(self._state.copy()), len(self.outputs), "outputs")
        self._check_finite("measure", seen, "")
        return seen

    def advance(self, inputs: Inputs, disturbances: Disturbances) -> None:
        """One sample on.

        Raises:
            ConfigError: the code of the plant fails, or gives another number of values.
            InputDataError: the state is no longer finite.
        """
        self._state = self._after(self._state, inputs, disturbances)
        self._samples += 1

    def _after(self, state: State, inputs: Inputs, disturbances: Disturbances) -> State:
        given = (inputs.copy(), disturbances.copy()) if self.disturbances else (inputs.copy(),)
        under = f" under inputs {inputs}" + (f" and disturbances {disturbances}" if self.disturbances else "")
        if self._step is not None:
            with self._running("step"):
                after = self._vector("step", self._step(state.copy(), *given), len(state), "states")
            self._check_finite("step", after, f", from the state {state}{under}")
            return after
        return self._integrated(state, given, under)

    def _integrated(self, state: State, given: tuple[np.ndarray, ...], under: str) -> State:
        derivative = self._derivative
        assert derivative is not None  # noqa: S101 (a plant has one or the other)

        def change(_: float, now: State) -> State:
            with self._running("derivative"):
                slope = self._vector("derivative", derivative(now.copy(), *given), len(now), "states")
            self._check_finite("derivative", slope, f", in the state {now}{under}")
            return slope

        scale = _TOLERANCE * (1e-3 + np.abs(state))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LSODA warns of what its result says
            found = solve_ivp(
                change, (0.0, self._interval), state, "LSODA", [self._interval], rtol=_TOLERANCE, atol=scale
            )
        if not found.success:
            raise InputDataError(
                f"{self._title} cannot be solved beyond sample {self._samples}, from the state "
                f"{state}{under}: "
                f"{found.message}"
            )
        after = np.asarray(found.y[:, -1], float)
        self._check_finite("derivative", after, f", from the state {state}{under}")
        return after

    def _signals(self, source: object, kind: str, default: tuple[Signal, ...]) -> tuple[Signal, ...]:
        given = getattr(source, kind, None)
        if given is None:
            if default:
                names = ", ".join(one.name for one in default)
                self._said.append(
                    f"{self._title} names no {kind}: they are taken to be {names}, in this order."
                )
            return default
        try:
            made = tuple(_signal(one) for one in _listed(given))
        except TypeError:
            raise ConfigError(
                f'{kind} of {self._title} are {given!r}; expected names, such as ["pump [V]"] or '
                f'{{"pump": "V"}}'
            ) from None
        names = [one.name for one in made]
        if len(set(names)) != len(names) or not all(names):
            raise ConfigError(f"{kind} of {self._title} are {', '.join(names)}; every one needs its own name")
        if default and not made:
            raise ConfigError(f"{self._title} has no {kind}; name at least one")
        return made

    def _motion(self, source: Any) -> tuple[Callable[..., Any] | None, Callable[..., Any] | None]:
        found = {name: getattr(source, name, None) for name in ("step", "derivative")}
        if isfunction(source):
            found = {"step": source, "derivative": None}
        named = [name for name, part in found.items() if callable(part)]
        if len(named) != 1:
            both = "both step and derivative" if named else "neither step nor derivative"
            raise ConfigError(
                f"{self._title} has {both}: expected one of step(state, inputs), the state one sample "
                "later, and "
                "derivative(state, inputs), its change per second"
            )
        self._check_arguments(named[0], found[named[0]])
        return found["step"], found["derivative"]

    def _check_arguments(self, name: str, part: Any) -> None:
        wanted = 3 if self.disturbances else 2
        try:
            parameters = [
                one for one in signature(part).parameters.values() if one.kind is not one.KEYWORD_ONLY
            ]
        except (TypeError, ValueError):  # compiled code says nothing of its arguments
            return
        open_ended = any(one.kind is one.VAR_POSITIONAL for one in parameters)
        needed = [
            one for one in parameters if one.default is Parameter.empty and one.kind is not one.VAR_POSITIONAL
        ]
        expected = "(state, inputs, disturbances)" if wanted == 3 else "(state, inputs)"
        if not open_ended and not len(needed) <= wanted <= len(parameters):
            raise ConfigError(
                f"{self._title}: {name} takes ({', '.join(one.name for one in parameters)}); expected "
                f"{expected}"
                + ("" if wanted == 3 else "; a plant with disturbances lists their names in `disturbances`")
            )
        if len(parameters) > 1 and input_first(parameters[0].name, parameters[1].name):
            raise ConfigError(
                f"{self._title}: {name} takes ({parameters[0].name}, {parameters[1].name}); the state comes "
                f"first here: {expected}"
            )

    def _check_sampling_time(self, source: object) -> None:
        given = getattr(source, "sampling_time", None)
        if self._step is None:
            return
        if given is None:
            self._said.append(
                f"A step of {self._title} is taken to be one sample of the model, {self._interval:g} s."
            )
            return
        seconds = float(check_levels(f"sampling_time of {self._title}", given, 1)[0])
        if not np.isclose(seconds, self._interval, rtol=1e-6):
            raise ConfigError(
                f"a step of {self._title} is {seconds:g} s, a sample of the model {self._interval:g} "
                "s: write a "
                f"step of {self._interval:g} s, or derivative(state, inputs), which goes with any"
            )

    def _take_limits(self, source: object) -> None:
        ends = {name: getattr(source, name, None) for name in ("input_low", "input_high")}
        given = [name for name, value in ends.items() if value is not None]
        if len(given) == 1:
            raise ConfigError(
                f"{self._title} has {given[0]} alone; give input_low and input_high, or neither"
            )
        self.input_low = self.input_high = None
        if given:
            low, high = (
                check_levels(f"{name} of {self._title}", ends[name], len(self.inputs)) for name in ends
            )
            if not (low < high).all():
                raise ConfigError(
                    f"{self._title}: input_low={low} must lie below input_high={high} everywhere"
                )
            self.input_low, self.input_high = low, high

    def _take_usual_values(self, source: object) -> None:
        nature, noise = (
            getattr(source, name, None) for name in ("nominal_disturbances", "measurement_noise")
        )
        self.nominal_disturbances = check_levels(
            f"nominal_disturbances of {self._title}",
            0.0 if nature is None else nature,
            len(self.disturbances),
        )
        self.measurement_noise = check_levels(
            f"measurement_noise of {self._title}",
            0.0 if noise is None else noise,
            len(self.outputs),
            least=0.0,
        )
        if noise is None:
            self._said.append(f"{self._title} states no measurement_noise: its sensors are exact here.")

    def _usual_inputs(self, source: object, card: ModelCard) -> Inputs:
        given = getattr(source, "nominal_inputs", None)
        if given is not None:
            return check_levels(f"nominal_inputs of {self._title}", given, len(self.inputs))
        if self.input_low is not None and self.input_high is not None:
            return (self.input_low + self.input_high) / 2
        middle = {one.name: at for one, at in zip(card.signals.inputs, card.inputs.offset, strict=True)}
        others = [one.name for one in self.inputs if one.name not in middle]
        if others:
            raise ConfigError(
                f"the model does not know the input {others[0]} of {self._title}; say by "
                "nominal_inputs at which "
                "values the inputs stand before the loop begins, and it stays there"
            )
        return np.array([middle[one.name] for one in self.inputs])

    def _first(self, source: object, card: ModelCard) -> State:
        given = getattr(source, "start", None)
        if given is None:
            return self._middle(card)
        try:
            start = np.atleast_1d(np.asarray(given, float))
        except (TypeError, ValueError):
            raise ConfigError(
                f"start of {self._title} is {given!r}; expected the numbers of a state"
            ) from None
        if start.ndim != 1 or not np.isfinite(start).all():
            raise ConfigError(f"start of {self._title} is {given!r}; expected finite numbers, one per state")
        if self._measure is None and len(start) != len(self.outputs):
            raise ConfigError(
                f"{self._title} has {counted(len(start), 'state')} and "
                f"{counted(len(self.outputs), 'output')}; write measure(state), which gives the outputs of a "
                "state"
            )
        return start

    def _middle(self, card: ModelCard) -> State:
        """The middle of the training outputs, for a plant whose state is its outputs."""
        middle = {one.name: at for one, at in zip(card.signals.outputs, card.outputs.offset, strict=True)}
        if self._measure is not None or any(one.name not in middle for one in self.outputs):
            raise ConfigError(
                f"{self._title} has no start: give the state in which the loop begins, such as start "
                "= [1.0, 0.0]"
            )
        self._said.append(f"{self._title} has no start: it begins in the middle of the training outputs.")
        return np.array([middle[one.name] for one in self.outputs])

    @contextmanager
    def _running(self, part: str) -> Iterator[None]:
        """Run code of the user's; what fails there is told with its line."""
        try:
            yield
        except AttractorError:
            raise
        except Exception as problem:
            text = str(problem).strip().split("\n")[0]
            raise ConfigError(
                f"{part} of {self._title} failed at sample {self._samples}{users_line(problem)}: "
                f"{type(problem).__name__}: {text}"
            ) from problem

    def _vector(self, part: str, values: object, size: int, what: str) -> np.ndarray:
        array = np.atleast_1d(np.asarray(values, float))
        if array.shape != (size,):
            raise ConfigError(
                f"{part} of {self._title} gives an array of shape {array.shape}; expected {size} "
                "numbers, as many as "
                f"it has {what}"
            )
        return array

    def _check_finite(self, part: str, values: np.ndarray, where: str) -> None:
        if not np.isfinite(values).all():
            raise InputDataError(
                f"{part} of {self._title} gives {values} at sample {self._samples}{where}: not "
                "finite. Keep the plant "
                "where its equations hold, by input limits for instance"
            )


def own_plant(source: Any, card: ModelCard, title: str) -> Process:
    """The plant behind what a user wrote: a class, an object, a function, or a `Plant` of equations in JAX.

    Args:
        source: a class is called without arguments, and so is a function that takes none.
        card: of the model that is to control it.
        title: what messages call it.

    Raises:
        ConfigError: it is no plant; the message says what is missing.
        InputDataError: it gives numbers that are not finite.
    """
    made = source
    if isclass(source) or (isfunction(source) and not signature(source).parameters):
        try:
            made = source()
        except Exception as problem:
            raise ConfigError(
                f"{title} cannot be made{users_line(problem)}: {type(problem).__name__}: {problem}; "
                "it is called "
                "without arguments, so give every argument a default"
            ) from problem
    if isinstance(made, Plant):
        return SimulatedPlant(made, card.sampling_time)
    return OwnPlant(made, card, title)


def _listed(given: object) -> list[object]:
    if isinstance(given, str | Signal):
        return [given]
    if isinstance(given, Mapping):
        return [Signal(*pair) for pair in given.items()]
    if not isinstance(given, Iterable):
        raise TypeError
    return list(given)


def _signal(given: object) -> Signal:
    if isinstance(given, Signal):
        return _signal(given.name) if not isinstance(given.name, str) else given
    if not isinstance(given, str):
        raise TypeError
    return parse_signal(given)


def _check_names(source: object, title: str) -> None:
    """Refuse an attribute that looks like a misspelt one of a plant's."""
    own = [name for name in dir(source) if not name.startswith("_")]
    for name in own:
        near = get_close_matches(name, _STATED, n=1, cutoff=0.88)
        if name not in _STATED and near and near[0] not in own:
            raise ConfigError(f"{title} has {name!r}, which a plant does not know; did you mean {near[0]!r}?")
