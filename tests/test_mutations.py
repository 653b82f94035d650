"""Every reader gives an answer or a typed error, whatever happened to its file.

`python -m benchmarks.mutations` does the same with 20 000 mutations a reader.
"""

import json

import numpy as np
import pytest
from mutated_readers import READERS
from mutations import SEAL, attack, outcome, sums

from attractor import PlantModel, SequenceClassifier
from attractor.errors import InputDataError, RunFolderError
from attractor.export import from_mgrn_state, from_torch_state

COUNT = {"plant model": 15, "classifier": 6, "run": 60, "checkpoint": 60, "published weights": 60}
"""Those that build a network take longer than the 150 of the others would be worth here."""
TOLD = ("phase part", "stability.json")
"""A damaged part counts as missing, and a damaged statement is told to be so; neither is an error."""


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """The sound files of a reader, made once."""
    made = {}

    def of(name):
        make = READERS[name][0]
        if make not in made:
            made[make] = tmp_path_factory.mktemp(name.replace(" ", "-"))
            make(made[make])
        return made[make]

    return of


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_by_a_typed_error(samples, tmp_path, name):
    reader, sample = READERS[name][1], samples(name)
    for path in sample.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert outcome(reader, tmp_path) == "read", "the sample itself is sound"
    for path in tmp_path.iterdir():
        path.unlink()
    found = [attack(reader, sample, tmp_path, seed) for seed in range(COUNT.get(name, 150))]
    assert not [one for one in found if one not in ("read", "refused")]
    assert "refused" in found or name in TOLD


ABSURD = {
    "options.hidden_size": [10**9, 10**18, 2**70, 0, -3, 3.5, "3", None, True],
    "options.layers": [10**9, 0, None],
    "options.washout": [10**12, -1],
    "replicas": [10**9, 0, 1.5, None],
    "replica": [2, -1, None],
    "signals.inputs": [[], None, [{"name": 5, "unit": ""}], [{"name": "u", "unit": ""}] * 400],
    "signals.sampling_time": [0, -1, "1", float("nan"), None],
    "scaling.inputs.scale": [[0.0, 1.0], [1.0], ["a", "b"], None],
    "flat_output": [None, "yes"],
    "options.training.steps": [10**12, "many"],
    "options.cell": [None, [], {"cell": "lstm", "options": {"forget": 1}}, "gr" + "u" * 10**6],
}


@pytest.mark.parametrize("place", ABSURD)
def test_a_card_with_absurd_facts_is_refused_before_memory_is_taken(samples, tmp_path, place):
    for path in samples("plant model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    sound = json.loads((tmp_path / "card.json").read_text())
    for value in ABSURD[place]:
        card = json.loads(json.dumps(sound))
        *way, last = place.split(".")
        table = card
        for step in way:
            table = table[step]
        table[last] = value
        (tmp_path / "card.json").write_text(json.dumps(card))
        names = ("weights.safetensors", "evaluation.safetensors", "card.json")
        (tmp_path / SEAL).write_bytes(sums({name: (tmp_path / name).read_bytes() for name in names}))
        with pytest.raises(RunFolderError) as caught:
            PlantModel.load(tmp_path)
        assert len(str(caught.value)) < 2500


def test_a_classifier_with_absurd_facts_is_refused(samples, tmp_path):
    for path in samples("classifier").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    sound = json.loads((tmp_path / "card.json").read_text())
    names = ("weights.safetensors", "evaluation.safetensors", "card.json")
    for change in (
        {"options": {**sound["options"], "hidden_size": 10**9}},
        {"options": {**sound["options"], "layers": 10**9}},
        {"hidden_size": 10**9},
        {"longest": 10**9},
        {"recurrent_share": 2.0},
        {"replicas": 10**9},
        {"classes": [["a"], ["b", "c"]]},
        {"classes": ["down"]},
        {"names": ["u", 1]},
        {"names": ["u"] * 10**5},
        {"temperature": 0},
        {"training_ids": ["case 0"]},
        {"ranked_ids": ["case 0"]},
        {"judged": 3},
    ):
        (tmp_path / "card.json").write_text(json.dumps(sound | change))
        (tmp_path / SEAL).write_bytes(sums({name: (tmp_path / name).read_bytes() for name in names}))
        with pytest.raises(RunFolderError) as caught:
            SequenceClassifier.load(tmp_path)
        assert len(str(caught.value)) < 2500


@pytest.mark.parametrize(
    "name",
    ["weight_ih_l1000000000", "weight_ih_l" + "9" * 5000, "weight_ih_l9999", "bias_hh_l٣", "x" * 10**6],
)
def test_absurd_layers_of_torch_are_named_in_a_short_message(name):
    state = {"weight_ih_l0": np.ones((4, 2)), "weight_hh_l0": np.ones((4, 4)), name: np.ones((4, 2))}
    with pytest.raises(InputDataError, match="not the state dict of torch") as caught:
        from_torch_state(state)
    assert len(str(caught.value)) < 1000
    with pytest.raises(InputDataError, match="not the state dict of a published mGRN") as caught:
        from_mgrn_state({f"marginal_{10**9}.cell.w_ih": np.ones((4, 2), "f"), name: np.ones(1, "f")})
    assert len(str(caught.value)) < 1000


def test_weights_of_8_bits_are_refused_by_name():
    import ml_dtypes

    state = {name: np.ones((4, 4), ml_dtypes.float8_e4m3fn) for name in ("weight_ih_l0", "weight_hh_l0")}
    with pytest.raises(InputDataError, match="weight_ih_l0 has type float8_e4m3fn"):
        from_torch_state(state)
