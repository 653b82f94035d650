"""The table of nonlinear functions that networks in normal form are made of."""

from collections.abc import Callable, Mapping
from functools import partial

from .bent import LOGISTIC, NORMAL, ExponentialUnit, SelfGated
from .function import Function
from .piecewise import Clip, IsZero, Rectifier, Within
from .products import GatedProduct, GatedTanh, Product
from .smooth import SMOOTH, Power
from .stairs import STAIRS


def _without_parameters(function: Function) -> Callable[..., Function]:
    return lambda: function


# Every nonlinear function that bounds know, by name, made from its parameters.
FUNCTIONS: Mapping[str, Callable[..., Function]] = {
    "relu": _without_parameters(Rectifier()),
    "clip": Clip,
    "within": Within,
    "is_zero": _without_parameters(IsZero()),
    "power": Power,
    "elu": ExponentialUnit,
    "silu": partial(SelfGated, LOGISTIC),
    "gelu": partial(SelfGated, NORMAL),
    "product": _without_parameters(Product()),
    "gated": _without_parameters(GatedProduct(SMOOTH["logistic"])),
    "tanh_product": _without_parameters(GatedProduct(SMOOTH["tanh"])),
    "gated_tanh": _without_parameters(GatedTanh()),
    **{name: _without_parameters(function) for name, function in (SMOOTH | STAIRS).items()},
}
