"""What noise in the states adds to a loss, without the noise: E[loss] = loss + (eps^2 / 2) (P + Q).

Lim, Erichson, Hodgkinson and Mahoney 2021, *Noisy recurrent neural networks*, arXiv 2102.04877. P and Q are
read off any cell: `estimate` and `regularised_loss` from one draw, cheap enough for every training step;
`forward_moments` (error bars of a forecast) and `fragility` (which step is fragile) exactly, for reports;
`direct_sum` and `perturbation_trace` as references; `small_noise` tells whether the expansion holds.
"""

from .estimate import estimate, regularised_loss
from .fragility import Fragility, fragility
from .moments import ForecastTube, forward_moments
from .problem import NoiseProblem, NoiseTerms
from .reference import direct_sum, perturbation_trace
from .validity import SmallNoise, small_noise

__all__ = [
    "ForecastTube",
    "Fragility",
    "NoiseProblem",
    "NoiseTerms",
    "SmallNoise",
    "direct_sum",
    "estimate",
    "forward_moments",
    "fragility",
    "perturbation_trace",
    "regularised_loss",
    "small_noise",
]
