"""Certificates in files: what is read is what was written, and no tampered one proves what is false."""

import hashlib
import io
import json
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from proved_claims import alone, case, layered, least, shifted

from attractor.certify.dual.clauses import Clauses
from attractor.certify.dual.linear_maps import Dense
from attractor.certify.dual.network import Affine, Network
from attractor.certify.dual.tree import Walk
from attractor.certify.recheck.certificate import (
    Certificate,
    Part,
    RefusedCertificateError,
    load,
    packed,
    save,
    unpacked,
)
from attractor.errors import InputDataError, StorageError, UnsupportedError

_KINDS = ("relu", "tanh", "sine", "product", "gated")
_COLUMNS = ("parent", "node", "argument", "entry", "at", "above")


@cache
def made(kind):
    """A certificate with a proof; that of rectifiers also holds slopes."""
    claim, tree = case(kind)
    if kind == "relu":
        sizes = [node.size for node in claim.network.nodes]
        generator = np.random.default_rng(0)
        slopes = tuple((generator.uniform(0, 1, (2, size)),) for size in sizes)
        tree = replace(tree, walks=(Walk(1, len(sizes), 0, np.arange(2), -1, slopes),))
    return Certificate((Part(claim, tree),), f"about {kind}", {"N": "0" * 64})


def resealed(content, change):
    """The file with another head, whose digest is right."""
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    name = next(name for name in arrays if name.startswith("attractor-certificate-"))
    head = change(json.loads(arrays.pop(name).tobytes()))
    text = json.dumps(head).encode() if isinstance(head, dict) else head
    arrays["attractor-certificate-" + hashlib.sha256(text).hexdigest()] = np.frombuffer(text, np.uint8)
    target = io.BytesIO()
    np.savez(target, **arrays)
    return target.getvalue()


@pytest.mark.parametrize("kind", _KINDS)
def test_what_is_read_is_what_was_written(kind, tmp_path):
    whole = made(kind)
    said = save(whole, tmp_path / "c.npz")
    again = load(tmp_path / "c.npz")
    assert again.checked() == said
    assert said.accepted
    assert again.claim_digest == whole.claim_digest
    assert again.network_digests == whole.network_digests
    assert packed(again) == packed(whole)
    assert (again.statement, again.library, again.sources) == (whole.statement, whole.library, whole.sources)
    assert "no input satisfies any of 3 clauses" in str(again.parts[0])


def test_nothing_is_written_that_its_checker_refuses(tmp_path):
    claim = made("relu").parts[0].claim
    unproved = Certificate((made("relu").parts[0], Part(claim, alone())))
    with pytest.raises(RefusedCertificateError, match="part 1: piece 0: no condition of clause") as problem:
        save(unproved, tmp_path / "c.npz")
    assert problem.value.exit_code == 5
    assert not (tmp_path / "c.npz").exists()
    with pytest.raises(StorageError):
        save(made("tanh"), tmp_path / "nowhere" / "c.npz")


def test_a_part_is_a_proof_or_an_input_and_an_input_stands_alone():
    part = made("relu").parts[0]
    assert "neither" in Part(part.claim).checked().refused
    assert not Part(part.claim, part.tree, part.claim.low).checked().accepted
    wrong = replace(part.claim, network=shifted(part.claim.network, -5.0))
    met = Part(wrong, witness=wrong.low)
    assert Certificate((met,)).checked().accepted
    assert not Certificate((part, met)).checked().accepted
    assert Certificate((part, part)).checked().accepted
    assert "the input that it holds satisfies" in str(met)
    again = unpacked(packed(Certificate((met,))), "c")
    assert again.checked().accepted
    assert np.array_equal(again.parts[0].witness, wrong.low)
    # A refutation is another claim than a proof.
    assert Certificate((met,)).claim_digest != Certificate((Part(wrong, alone()),)).claim_digest


def test_a_damaged_file_is_refused_or_unharmed():
    content = packed(made("relu"))
    generator = np.random.default_rng(0)
    kinds = Counter()
    for _ in range(400):
        broken = bytearray(content)
        for _ in range(int(generator.integers(1, 4))):
            broken[generator.integers(len(broken))] ^= int(generator.integers(1, 256))
        try:
            read = unpacked(bytes(broken), "c.npz")
        except InputDataError as problem:
            said = str(problem)
        else:
            said = "c.npz unharmed" if packed(read) == content else "changed"
        assert said.startswith("c.npz")
        kinds["unharmed" if said == "c.npz unharmed" else "refused"] += 1
    assert kinds["refused"] > 300
    for length in [*range(0, len(content), 97), len(content) - 1]:
        with pytest.raises(InputDataError, match=r"c\.npz"):
            unpacked(content[:length], "c.npz")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda head: head | {"format": 2}, "format 2"),
        (lambda head: {key: value for key, value in head.items() if key != "format"}, "format None"),
        (lambda head: head | {"more": 1}, "'more'"),
        (lambda head: {key: value for key, value in head.items() if key != "sources"}, "'sources'"),
        (lambda head: head | {"parts": {}}, "list"),
        (lambda head: head | {"statement": 3}, "str"),
        (lambda head: head | {"parts": [{}]}, "part 0"),
        (lambda _: b"[]", "dict"),
        (lambda _: b"{", "c.npz"),
        (lambda _: b"[" * 100000, "c.npz"),
        (lambda _: b"\xff", "c.npz"),
    ],
)
def test_a_head_of_another_form_is_refused(change, said):
    with pytest.raises((InputDataError, UnsupportedError), match=said) as problem:
        unpacked(resealed(packed(made("relu")), change), "c.npz")
    assert isinstance(problem.value, UnsupportedError) == ("format" in said)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("claim", "low"), "f" * 64, "part 0"),
        (("claim", "network", "inputs"), True, "part 0"),
        (("claim", "network", "nodes", 0, "arguments", 0, "terms", 0, 1, "kind"), "cubic", "node 0.*cubic"),
        (("claim", "network", "nodes", 1, "arguments", 0, "roundings"), 1.5, "node 1"),
        (("claim", "network", "nodes", 1, "parameters"), ["much"], "node 1"),
        (("claim", "network", "output", "terms"), [[0, {}], [0, {}]], "the output"),
        (("claim", "network", "output", "bias_size"), 5, "the output"),
        (("tree", "walks"), {}, "part 0"),
        (("tree", "walks", "entries"), None, "part 0"),
    ],
)
def test_a_table_that_lacks_or_mistakes_something_is_named(path, value, said):
    def change(head):
        table = head["parts"][0]
        for key in path[:-1]:
            table = table[key]
        table[path[-1]] = value
        return head

    with pytest.raises(InputDataError, match=said):
        unpacked(resealed(packed(made("relu")), change), "c.npz")


def test_files_that_unpack_to_more_or_run_something_are_refused(tmp_path):
    compressed, pickled = tmp_path / "compressed.npz", tmp_path / "pickled.npz"
    np.savez_compressed(compressed, zeros=np.zeros(10**6))
    np.savez(pickled, allow_pickle=True, thing=np.array([{}], object))
    other = tmp_path / "other.npz"
    np.savez(other, zeros=np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    for path in (compressed, pickled, other, tmp_path / "text.npz", tmp_path / "missing.npz", tmp_path):
        with pytest.raises(InputDataError, match=str(path)):
            load(path)


# Ways to change a claim or a tree; each takes a part and a generator and returns another part.


def _nudged(array, generator):
    """One number changed, by anything from a little to a lot."""
    changed = array.copy()
    place = tuple(int(generator.integers(size)) for size in array.shape)
    changed[place] += generator.choice([-1, 1]) * 10.0 ** generator.uniform(-5, 1)
    return changed


def _affine(one, generator):
    terms = dict(one.terms)
    source = int(generator.choice(list(terms)))
    if isinstance(terms[source], Dense) and generator.random() < 0.7:
        terms[source] = Dense(_nudged(terms[source].matrix, generator))
        return Affine(terms, one.bias)
    return Affine(terms, _nudged(one.bias, generator))


def _weight(part, generator):
    network = part.claim.network
    place = int(generator.integers(len(network.nodes) + 1))
    if place == len(network.nodes):
        network = replace(network, output=_affine(network.output, generator))
    else:
        nodes = list(network.nodes)
        first, *others = nodes[place].arguments
        nodes[place] = replace(nodes[place], arguments=(_affine(first, generator), *others))
        network = Network(network.inputs, tuple(nodes), network.output)
    return replace(part, claim=replace(part.claim, network=network))


def _function(part, generator):
    nodes = list(part.claim.network.nodes)
    place = int(generator.integers(len(nodes)))
    other = generator.choice(["relu", "tanh", "sin", "logistic", "square", "positive"])
    if len(nodes[place].arguments) == 2:
        other = {"product": "gated", "gated": "product"}[nodes[place].function]
    nodes[place] = replace(nodes[place], function=str(other))
    network = replace(part.claim.network, nodes=tuple(nodes))
    return replace(part, claim=replace(part.claim, network=network))


def _box(part, generator):
    end = str(generator.choice(["low", "high"]))
    return replace(part, claim=replace(part.claim, **{end: _nudged(getattr(part.claim, end), generator)}))


def _clause(part, generator):
    members = part.claim.members.copy()
    members[tuple(int(generator.integers(size)) for size in members.shape)] ^= True
    return replace(part, claim=replace(part.claim, members=members))


def _strictness(part, generator):
    strict = part.claim.strict.copy()
    strict[int(generator.integers(len(strict)))] ^= True
    return replace(part, claim=replace(part.claim, strict=strict))


def _tree(part, generator):
    """A cut elsewhere, another side, another parent, or an entry that is not there."""
    name = str(generator.choice(_COLUMNS))
    column, row = getattr(part.tree, name).copy(), int(generator.integers(len(part.tree)))
    rows = [row]
    if generator.random() < 0.5:  # both parts of one cut alike
        rows = [int(one) for one in np.flatnonzero(part.tree.parent == part.tree.parent[row])]
    for row in rows:
        if name == "at":
            column[row] = part.tree.at[rows[0]] + generator.choice([-1, 1]) * 10.0 ** generator.uniform(-5, 1)
        elif name == "above":
            column[row] ^= True
        else:
            column[row] = generator.integers(-1, 4)
    return replace(part, tree=replace(part.tree, **{name: column}))


def _pruned(part, generator):
    """Without some piece, or the two parts of one."""
    if len(part.tree) == 1:
        return _tree(part, generator)
    row = int(generator.integers(1, len(part.tree)))
    gone = [row] if generator.random() < 0.5 else np.flatnonzero(part.tree.parent == part.tree.parent[row])
    kept = ~np.isin(np.arange(len(part.tree)), gone)
    columns = {name: getattr(part.tree, name)[kept] for name in _COLUMNS}
    return replace(part, tree=replace(part.tree, **columns))


def _slopes(part, generator):
    walks = []
    for walk in part.tree.walks:
        slopes = tuple(tuple(_nudged(one, generator) for one in node) for node in walk.slopes)
        changed = {"slopes": slopes, "sign": int(generator.choice([-1, 1]))}
        walks.append(replace(walk, **changed))
    return replace(part, tree=replace(part.tree, walks=tuple(walks)))


_CLAIMS = (_weight, _function, _box, _clause, _strictness)
_TREES = (_tree, _pruned, _slopes)


def met(claim, seed=0):
    """Whether an input of the box is seen to satisfy a clause: samples, corners, and a walk downhill."""
    if not (claim.low <= claim.high).all():
        return False
    generator = np.random.default_rng(seed)
    clauses = Clauses(claim.members, claim.strict)
    inside = generator.uniform(claim.low, claim.high, (6000, len(claim.low)))
    ends = np.where(generator.random((500, len(claim.low))) < 0.5, claim.low, claim.high)
    points = np.concatenate([inside, ends])
    for size in (0.1, 0.03, 0.01, 0.003):
        values = claim.network.evaluate(points)
        if clauses.met(values).any():
            return True
        worst = clauses.worst(values).min(axis=-1) if len(claim.members) else np.zeros(len(points))
        best = points[np.argsort(worst)[:100]].repeat(20, axis=0)
        moved = best + size * (claim.high - claim.low) * generator.normal(size=best.shape)
        points = np.clip(moved, claim.low, claim.high)
    return bool(clauses.met(claim.network.evaluate(points)).any())


@pytest.mark.parametrize("kind", _KINDS)
def test_of_tampered_certificates_none_is_accepted_for_what_is_false(kind):
    """All of them with right digests, as a person makes them: 200 of each kind, 1000 together."""
    original = made(kind)
    generator = np.random.default_rng(7)
    seen = Counter()
    for trial in range(200):
        change = (*_CLAIMS, *_TREES)[trial % 8]
        part = change(original.parts[0], generator)
        tampered = unpacked(packed(Certificate((part,))), "c.npz")
        accepted = tampered.checked().accepted
        seen[change, accepted] += 1
        # Another claim is another digest: compared with what one knows, it is refused in any case.
        claims_more = packed(Certificate((Part(part.claim, alone()),))) != packed(
            Certificate((Part(original.parts[0].claim, alone()),))
        )
        assert (tampered.claim_digest != original.claim_digest) == claims_more
        assert claims_more == (change in _CLAIMS) or change is _function
        if accepted:
            assert not met(tampered.parts[0].claim, trial), (trial, change.__name__)
    for change in _CLAIMS[:-1]:
        assert seen[change, False] > 0, change.__name__
    assert seen[_pruned, True] < seen[_pruned, False] + 5
    assert sum(count for (_, accepted), count in seen.items() if not accepted) > 60


@pytest.mark.parametrize("kind", _KINDS)
def test_no_tampering_makes_a_false_claim_pass(kind):
    """The trees and slopes of true claims, changed at random, under claims that an input refutes."""
    part = made(kind).parts[0]
    claim = part.claim
    by = least(claim.network, claim.low, claim.high)
    generator = np.random.default_rng(3)
    for trial in range(60):
        below = 10.0 ** generator.uniform(-9, -1)
        wrong = replace(part, claim=replace(claim, network=shifted(claim.network, -by - below)))
        for _ in range(int(generator.integers(1, 4))):
            wrong = _TREES[int(generator.integers(3))](wrong, generator) if len(wrong.tree) > 1 else wrong
        found = unpacked(packed(Certificate((wrong,))), "c.npz").checked()
        assert not found.accepted, trial
        assert found.refused.startswith("part 0")


def test_a_wide_network_is_stored_once_for_many_boxes():
    network = layered((40, 60, 60, 1), 0)
    network = shifted(network, 100.0)
    claims = []
    for at in range(5):
        low = np.full(40, at / 10)
        claim = case("relu")[0]
        claims.append(replace(claim, network=network, low=low, high=low + 0.1, members=np.ones((1, 1), bool),
                              strict=np.zeros(1, bool)))  # fmt: skip
    one, all_ = (
        len(packed(Certificate(tuple(Part(claim, alone()) for claim in some))))
        for some in (claims[:1], claims)
    )
    assert Certificate(tuple(Part(claim, alone()) for claim in claims)).checked().accepted
    assert all_ < 1.4 * one
