"""Co-teaching: two models choose for each other which examples to learn from."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from attractor.errors import ConfigError

from .epoch_task import ExampleContext, ExampleLosses, Examples
from .task import Memory, Model


class CoTeaching(Examples):
    """Each of two models learns from the examples of a batch whose loss is small for the *other* one.

    Han et al. 2018, arXiv 1804.06872: the two start from different weights, so that they forget different
    errors. The share of examples left out grows from 0 to the share of wrong labels, which must be known or
    guessed. It costs a second model; the first one is delivered.

    Args:
        examples: the learning problem, see `attractor.training.Examples`.
        wrong: share of wrong labels, in [0, 1).
        ramp: share of the training over which the share left out grows; where it grows before anything is
            learned, the two confirm each other in what they happen to believe.

    Raises:
        ConfigError: a share outside its range.
    """

    examples: Examples
    wrong: float | int = eqx.field(static=True)
    ramp: float | int = eqx.field(static=True, default=0.3)

    def __check_init__(self) -> None:
        if not (0 <= self.wrong < 1 and 0 < self.ramp <= 1):
            raise ConfigError(
                f"wrong={self.wrong}, ramp={self.ramp}: expected shares, wrong below 1 and ramp above 0"
            )

    @property
    def size(self) -> int:
        """How many examples there are."""
        return self.examples.size

    def initial(self, key: PRNGKeyArray) -> tuple[Model, Model]:
        """Two fresh models."""
        first, second = jax.random.split(key)
        return self.examples.initial(first), self.examples.initial(second)

    def start_memory(self) -> tuple[Memory, Memory]:
        """That of both."""
        return self.examples.start_memory(), self.examples.start_memory()

    def losses_of(
        self, model: tuple[Model, Model], ids: Int[Array, " batch"], context: ExampleContext
    ) -> tuple[ExampleLosses, ExampleLosses]:
        """The losses of both."""
        keys = jax.random.split(context.key)
        one, two = (
            self.examples.losses_of(each, ids, replace(context, key=key, memory=memory))
            for each, key, memory in zip(model, keys, context.memory, strict=True)
        )
        return one, two

    def combine(
        self, losses: tuple[ExampleLosses, ExampleLosses], progress: Float[Array, ""]
    ) -> ExampleLosses:
        """For every example the mean of the losses of the models that may learn from it."""
        one, two = (self.examples.combine(each, progress) for each in losses)
        kept = 1 - self.wrong * jnp.minimum(progress / self.ramp, 1)
        chosen = _smallest(two.scores, kept), _smallest(one.scores, kept)
        weighted = (one.losses * chosen[0] + two.losses * chosen[1]) / kept
        return ExampleLosses(weighted, (one.scores + two.scores) / 2, (one.memory, two.memory))

    def scores_of(self, model: tuple[Model, Model], ids: Int[Array, " batch"]) -> Float[Array, " batch"]:
        """The mean of both."""
        first, second = model
        return (self.examples.scores_of(first, ids) + self.examples.scores_of(second, ids)) / 2

    def validation(self, model: tuple[Model, Model]) -> Float[Array, ""]:
        """That of the first, which is delivered."""
        return self.examples.validation(model[0])

    def describe_example(self, example: int) -> str:
        """How the user calls an example."""
        return self.examples.describe_example(example)


def _smallest(scores: Float[Array, " batch"], share: Float[Array, ""]) -> Bool[Array, " batch"]:
    """Which scores are among the smallest, up to a share of them."""
    rank = jnp.argsort(jnp.argsort(jax.lax.stop_gradient(scores)))
    return rank < jnp.round(share * len(scores))
