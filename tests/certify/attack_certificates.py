"""Attacks on every number of a certificate: rate and gain in its own norm, box, transient, settling time.

The cell's own step is run by NumPy, so that nothing is compiled. Pairs are drawn over the whole box, at its
corners and close together; the worst ones are the starts of a short search for worse.
"""

import jax
import jax.numpy as jnp
import numpy as np
from numpy_rules import evaluated

from attractor.program import flat_map, trace

PAIRS, ROUNDS = 256, 6
FAR = 4.0
"""Where attacks start if a certificate speaks of all states."""
LONGEST = 1500
"""Steps of a run; what is claimed of later ones is not attacked."""


class Stepper:
    """One step of a cell for many states and inputs at once, in float64."""

    def __init__(self, cell):
        with jax.enable_x64(True):
            flat = flat_map(cell).still("certificates", constants=False)
            shapes = jnp.zeros((PAIRS, flat.size)), jnp.zeros((PAIRS, cell.input_size))
            self.program = trace(jax.vmap(lambda state, given: flat.step(state, given)), *shapes)

    def __call__(self, states, inputs):
        missing = PAIRS - len(states)
        padded = [np.concatenate([part, np.repeat(part[:1], missing, axis=0)]) for part in (states, inputs)]
        with jax.enable_x64(True), np.errstate(all="ignore"):
            return evaluated(self.program.jaxpr, self.program.constants, *padded)[0][: len(states)]


def attack_certificate(cell, certificate, seed=0):
    """What does not hold of a certificate, in words; nothing if all of it does.

    Args:
        cell: of the certificate.
        certificate: what is attacked.
        seed: of the samples.
    """
    step, generator = Stepper(cell), np.random.default_rng(seed)
    return [
        *_one_step(step, certificate, generator),
        *_boxes(step, certificate, generator),
        *_settling(step, certificate, generator),
    ]


def _drawn(low, high, generator, count):
    shares = generator.uniform(0, 1, (count, len(low)))
    shares[::3] = np.round(shares[::3])
    return np.clip(low + shares * (high - low), low, high)


def _ends(certificate, *, start=False):
    low, high = (
        (certificate.start_low, certificate.start_high) if start else (certificate.low, certificate.high)
    )
    return np.maximum(low, -FAR), np.minimum(high, FAR)


def _one_step(step, certificate, generator):
    """|dx'| <= rate |dx| + gain |du| in the norms of the certificate, for pairs that get worse and worse."""
    low, high = _ends(certificate)
    bound = certificate.input_bound
    points = _drawn(
        np.tile(np.concatenate([low, -bound]), 2), np.tile(np.concatenate([high, bound]), 2), generator, PAIRS
    )
    axes, states = len(low) + len(bound), len(low)
    ends = np.concatenate([low, -bound, low, -bound]), np.concatenate([high, bound, high, bound])
    near = slice(1, None, 3)
    points[near, axes:] = points[near, :axes] + 10.0 ** generator.uniform(-6, -1, (len(points[near]), 1)) * (
        points[near, axes:] - points[near, :axes]
    )
    points[::4, axes + states :] = points[::4, states:axes]  # the same inputs
    best = points
    worst = -np.inf
    for _ in range(ROUNDS):
        one, other = best[:, :axes], best[:, axes:]
        moved = certificate.distance(
            step(one[:, :states], one[:, states:]) - step(other[:, :states], other[:, states:])
        )
        allowed = certificate.rate * certificate.distance((one - other)[:, :states])
        driven = certificate.input_distance((one - other)[:, states:])
        allowed = allowed + np.where(driven > 0, certificate.input_gain * driven, 0.0)
        noise = 1e-14 * (1 + np.abs(best).max()) * certificate.distance(np.ones(states))
        excess = (moved - allowed - noise) / np.maximum(allowed, 1e-12)
        worst = max(worst, float(np.nan_to_num(excess, nan=np.inf).max()))
        order = np.argsort(-excess)[: PAIRS // 8]
        jumps = 10.0 ** generator.uniform(-4, -0.3, (PAIRS, 1)) * generator.normal(size=(PAIRS, 2 * axes))
        best = np.clip(np.tile(best[order], (8, 1)) + jumps * (ends[1] - ends[0]) / 2, *ends)
        best[::2, axes + states :] = best[::2, states:axes]
    return [
        f"one step exceeds rate {certificate.rate} and gain {certificate.input_gain} by a share {worst}"
    ] * (worst > 1e-9)


def _boxes(step, certificate, generator):
    """No trajectory leaves the start box, and each is in the box after the transient."""
    if not np.isfinite(certificate.start_high).all() or certificate.transient > LONGEST:
        return []
    states = _drawn(*_ends(certificate, start=True), generator, PAIRS)
    found = []
    for count in range(certificate.transient + 40):
        ends = [("start box", certificate.start_low, certificate.start_high)]
        if count >= certificate.transient:
            ends.append(("box", certificate.low, certificate.high))
        for name, low, high in ends:
            outside = np.maximum(low - states, states - high).max()
            if not outside <= 1e-13 * (1 + np.abs(states).max()):
                found.append(f"step {count} is outside the {name} by {outside}")
        states = step(states, _inputs(certificate, generator))
    return found[:3]


def _settling(step, certificate, generator):
    """After the stated time no difference is larger than the stated share of what the box holds."""
    steps, wide = certificate.settling_steps(0.01), np.isfinite(certificate.high).all()
    if steps > LONGEST:
        return []
    one = _drawn(*_ends(certificate, start=True), generator, PAIRS)
    other = _drawn(*_ends(certificate, start=True), generator, PAIRS)
    other[::2] = (certificate.start_low + certificate.start_high - one)[::2] if wide else -one[::2]
    allowed = 0.01 * certificate.distance(certificate.high - certificate.low if wide else one - other)
    for _ in range(steps):
        inputs = _inputs(certificate, generator)
        one, other = step(one, inputs), step(other, inputs)
    left = certificate.distance(one - other)
    noise = 1e-13 * (1 + np.abs(one).max()) * certificate.distance(np.ones(one.shape[1]))
    return [f"{left.max()} is left after {steps} steps"] * bool((left > allowed * (1 + 1e-9) + noise).any())


def _inputs(certificate, generator):
    shares = generator.uniform(-1, 1, (PAIRS, len(certificate.input_bound)))
    return certificate.input_bound * np.where(
        generator.uniform(size=(PAIRS, 1)) < 0.5, np.sign(shares), shares
    )
