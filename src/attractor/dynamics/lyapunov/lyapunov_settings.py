"""How Lyapunov exponents are measured."""

from dataclasses import dataclass
from math import inf

from attractor.errors import ConfigError

_USUAL_COUNT = 10
COUNTS = ("leading", "all")


@dataclass(frozen=True)
class LyapunovSettings:
    """How Lyapunov exponents are measured.

    Args:
        count: how many of the largest; "all", or "leading" for all but at most ten.
        burn_in: steps at the start that do not count, while the state comes to the attractor.
        alignment: the last steps of the burn-in in which the basis rides along, to turn to the fast
            directions before it counts; at most the burn-in, and all of it when None.
        blocks: parts of the path after which the reporter hears and the tolerance is looked at.
        longest: steps between two QR decompositions at most; as many as rounding allows are taken, 1 makes
            one in every step.
        tolerance: stop when every finite exponent has a standard error below this (per step), after
            half of the blocks at the earliest; None goes to the end.
        time_step: time of one step, for exponents per unit of time; None asks the cell for its `step`.
        seed: of the basis at the start.

    Raises:
        ConfigError: a value outside its range.
    """

    count: int | str = "leading"
    burn_in: int = 100
    alignment: int | None = None
    blocks: int = 20
    longest: int = 64
    tolerance: float | None = None
    time_step: float | int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        count, step = self.count, self.time_step
        good = {
            "count": count in COUNTS if isinstance(count, str) else count >= 1,
            "burn_in": self.burn_in >= 0,
            "alignment": self.alignment is None or self.alignment >= 0,
            "blocks": self.blocks >= 2,
            "longest": self.longest >= 1,
            "tolerance": self.tolerance is None or 0 < self.tolerance < inf,
            "time_step": step is None or 0 < step < inf,
        }
        for name in (name for name, fine in good.items() if not fine):
            message = f"{name}={getattr(self, name)}: expected {_EXPECTED[name]}"
            raise ConfigError(message)

    @property
    def settling(self) -> int:
        """Steps at the start in which the state moves alone."""
        return 0 if self.alignment is None else max(self.burn_in - self.alignment, 0)

    def columns(self, states: int) -> int:
        """Number of exponents for a state with so many entries.

        Raises:
            ConfigError: more exponents than the state has entries.
        """
        if isinstance(self.count, str):
            return states if self.count == "all" else min(states, _USUAL_COUNT)
        if self.count > states:
            message = f"count={self.count} exponents of a state with {states} entries"
            raise ConfigError(message)
        return self.count


_EXPECTED = {
    "count": f"a positive number or one of {', '.join(COUNTS)}",
    "burn_in": "at least 0",
    "alignment": "at least 0",
    "blocks": "at least 2",
    "longest": "at least 1",
    "tolerance": "a positive number",
    "time_step": "a positive number",
}
