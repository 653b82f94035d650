"""Series of two kinds, a fifth of the labels wrong: train a classifier that finds out which.

python examples/wrong_labels.py
"""

import numpy as np

import attractor
from attractor.classification import EpochSettings, LabelSettings, NoiseSettings

rng = np.random.default_rng(0)


def sample(cases):
    """Slow and fast sines in noise, of 15 to 30 steps."""
    labels = rng.choice(["slow", "fast"], cases)
    speeds = np.where(labels == "slow", 0.3, 0.7)
    steps = [np.arange(rng.integers(15, 31)) for _ in range(cases)]
    series = [np.sin(w * t + rng.uniform(0, 6)) for w, t in zip(speeds, steps, strict=True)]
    return [one + 0.3 * rng.normal(size=len(one)) for one in series], labels


series, truth = sample(300)
wrong = rng.random(300) < 0.2
labels = np.where(wrong, np.where(truth == "slow", "fast", "slow"), truth)

model = attractor.SequenceClassifier(
    hidden_size=16,
    noise=NoiseSettings(additive=0.05),
    labels=LabelSettings(reweighting="auto"),
    training=EpochSettings(epochs=40, learning_rate=0.01),
)
model.fit(series, labels)

unseen, answers = sample(300)
print(f"right in {100 * model.score(unseen, answers):.1f} % of unseen cases")

suspects = model.suspects()
worst = [int(name.split()[1]) for name in suspects.ids[:40]]
print(suspects.scope)
print(f"of the first 40, {wrong[worst].sum()} have wrong labels")
