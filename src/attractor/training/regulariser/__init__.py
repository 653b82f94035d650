"""What noise in the states adds to a loss, without the noise: E[loss] = loss + (eps^2 / 2) (P + Q).

Lim, Erichson, Hodgkinson and Mahoney 2021, *Noisy recurrent neural networks*, arXiv 2102.04877. P and Q are
read off any cell: `estimate` and `regularised_loss` from one draw, cheap enough for every training step;
`forward_moments` (error bars of a forecast) and `fragility` (which step is fragile) exactly, for reports;
`small_noise` tells whether the expansion holds.
"""

from .estimate import SmallNoise, estimate, regularised_loss, small_noise
from .exact import ForecastTube, Fragility, forward_moments, fragility
from .problem import NoiseProblem, NoiseTerms

__all__ = [
    "ForecastTube",
    "Fragility",
    "NoiseProblem",
    "NoiseTerms",
    "SmallNoise",
    "estimate",
    "forward_moments",
    "fragility",
    "regularised_loss",
    "small_noise",
]
