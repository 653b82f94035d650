"""A package of somebody else: a cell, its primitives and condition, an exporter, a kind of run."""

import runpy
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

import attractor
from attractor.cells import FAMILIES, Elman
from attractor.certify.stability.published import PUBLISHED, Formula, PublishedCondition
from attractor.export import EXPORTERS, Exporter, export, flat_step
from attractor.export.numpy_step import numpy_source
from attractor.program import PRIMITIVES, RULES, Kind, ZeroRule
from attractor.program import Primitive as Facts
from attractor.run_kinds import RUN_KINDS, RunKind
from attractor.runs import Run, load_run, save_run


def primitive(name, function):
    made = Primitive(name)
    made.def_impl(function)
    made.def_abstract_eval(lambda a: a)
    mlir.register_lowering(made, mlir.lower_fun(function, multiple_results=False))
    return made


softstep = primitive("softstep", lambda a: jnp.tanh(3 * a))
ad.defjvp(softstep, lambda tangent, a: tangent * 3 * (1 - jnp.tanh(3 * a) ** 2))
batching.defvectorized(softstep)
facts = Facts(
    "softstep", Kind.ELEMENTWISE, (-1, 1), (0, 3), ZeroRule.BOTH, because="tanh rises and tanh 0 = 0"
)
PRIMITIVES.register("softstep", facts, source=__name__)
RULES.register(("NumPy", "softstep"), "np.tanh(3 * {0})", source=__name__)
RULES.register(("C", "softstep"), "tanh(3 * {0})", source=__name__)
RULES.register(("CasADi", "softstep"), lambda a: (3 * a).tanh())

mirrored = primitive("mirrored", lambda a: a[::-1])  # needs no rule to be exported: it only moves entries
ad.deflinear2(mirrored, lambda cotangent, _: (cotangent[::-1],))
batching.primitive_batchers[mirrored] = lambda given, axes: (jax.vmap(lambda a: a[::-1], axes)(*given), 0)
PRIMITIVES.register("mirrored", Facts("mirrored", Kind.MOVING, moved=(0,)), source=__name__)


class SoftStep(Elman):
    def __call__(self, input, state, *, key=None):
        return softstep.bind(self.input_weight @ input + self.state_weight @ mirrored.bind(state) + self.bias)


def condition(cell, input_bound):
    norm, gain = (3 * np.abs(weight).sum(axis=1).max() for weight in (cell.state_weight, cell.input_weight))
    numbers = (float(number) for number in (norm - 1, norm, norm - 1, gain))
    everywhere = np.full(cell.hidden_size, np.inf)
    words = "largest component", "a paper", "any state"
    return PublishedCondition("soft step", *numbers, *words, largest_state=everywhere)


FAMILIES.register("soft-step", SoftStep)
PUBLISHED.register(SoftStep, Formula(condition), source=__name__)


def write(source, path, origin):
    path.write_text(numpy_source(flat_step(source)) + (f"# {origin.stamp}\n" if origin else ""))


def run(path, inputs, states, outputs):
    step = runpy.run_path(str(path))["step"]
    return np.stack([step(*row) for row in zip(inputs, states, strict=True)]), np.empty((len(states), 0))


EXPORTERS.register("plain", Exporter("plain text", {"step.txt": write}, run, lambda cell: "for people"))


def save(folder):
    card = {"kind": "Toy", "equation": {"sha256": "0" * 64}}
    save_run(folder, Run(card, {"bias": np.full(2, 0.25, np.float32)}, {}))


def load(folder, cell):
    saved = load_run(folder)
    toy = SoftStep(1, 2, key=jax.random.key(0))
    toy = eqx.tree_at(lambda one: one.bias, toy, jnp.asarray(saved.weights["bias"]))
    return SimpleNamespace(cell=toy, origin=saved.origin)


def report(folder, cell):
    (folder / "report.html").write_text(f"a toy, by attractor {attractor.__name__}")
    return folder / "report.html"


RUN_KINDS.register(
    "Toy",
    RunKind(
        "toy network",
        load,
        report,
        export=lambda model, target, folder, setup: export(model.cell, target, folder, origin=model.origin),
    ),
    source=__name__,
)
