import jax
import jax.numpy as jnp
import pytest
from scan_cases import CELLS, filled

from attractor.cells import GRU, Cell
from attractor.scan import Recompute, explain
from attractor.scan.split import WORTH_HOISTING


class Structured(Cell):
    """A weight made skew-symmetric before use: work on the weights alone."""

    weight: jax.Array
    input_size: int = 2
    hidden_size: int = 2

    def __call__(self, input, state, *, key=None):
        return jnp.tanh((self.weight - self.weight.T) @ state + input)


def test_a_small_cell_keeps_its_inputs_in_the_loop_and_says_why():
    told = explain(CELLS["gru"](), jnp.zeros((5, 2)))
    assert (told.once, told.hoisted) == (0, 0)
    assert f"{told.stepped} equations inside the loop, 0 ahead of it, 0 once" in str(told)
    assert f"no work on inputs leaves the loop: below {WORTH_HOISTING} multiplications" in str(told)
    assert "store: products and states of all steps are kept" in str(told)


def test_hoisting_on_request_moves_equations_out_of_the_loop():
    cell = CELLS["gru"]()
    forced, plain = (explain(cell, jnp.zeros((5, 2)), hoist=hoist) for hoist in (True, False))
    assert forced.hoisted > 0
    assert forced.hoisted + forced.stepped == plain.stepped
    assert "work on inputs alone leaves the loop" in str(forced)


def test_a_wide_input_is_hoisted_without_asking():
    told = explain(filled(GRU, 600, 150), jnp.zeros((2, 600)))
    assert told.hoisted > 0


def test_work_on_the_weights_is_counted_once():
    assert explain(Structured(jnp.ones((2, 2))), jnp.zeros((5, 2))).once == 2


@pytest.mark.usefixtures("full_optimisation")
def test_the_memory_told_is_that_of_the_strategy():
    cell, inputs = CELLS["lstm"](), jnp.zeros((400, 2))
    store, recompute = (explain(cell, inputs, memory=memory) for memory in ("store", Recompute(20)))
    assert recompute.gradient_bytes < store.gradient_bytes
    assert f"{store.gradient_bytes / 2**20:.2f} MiB of temporary memory" in str(store)
    assert "one state in 20 is kept" in str(recompute)


@pytest.mark.skipif(len(jax.devices()) != 1, reason="the text is that of one device")
def test_the_devices_of_a_batch_are_named():
    told = explain(CELLS["gru"](), jnp.zeros((5, 2)))
    assert told.devices == (str(jax.devices()[0]),)
    assert f"1 device: {told.devices[0]}" in str(told)


def test_an_explanation_takes_the_state_it_would_start_from():
    cell = CELLS["gru"]()
    told = explain(cell, jnp.zeros((5, 2)), jnp.ones(4))
    assert told == explain(cell, jnp.zeros((5, 2)))


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_can_be_explained(name):
    told = explain(CELLS[name](), jnp.zeros((0, 2)))
    assert told.stepped > 0
    assert told.gradient_bytes >= 0
