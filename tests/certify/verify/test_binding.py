"""Certificates of queries and functions: written with the answer, checked again, bound to what one knows."""

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from proved_claims import alone, shifted
from test_cli_classify import call
from test_solve import _asked, _largest, _saved

from attractor.certify.dual.linear_maps import Dense
from attractor.certify.recheck.certificate import Certificate, Part, RefusedCertificateError, load, save
from attractor.certify.verify import Answer, prove
from attractor.certify.verify.binding import bind_to_function, bind_to_query
from attractor.certify.verify.solve import Satisfied, solve_query
from attractor.cli.vnnlib_solver import main
from attractor.errors import ConfigError, InputDataError, StorageError

pytest.importorskip("onnxruntime")
pytest.importorskip("vnnlib")


@pytest.fixture
def proof(tmp_path):
    """A network, a query that no input satisfies on two boxes, and the certificate of that."""
    path = _saved(tmp_path)
    most = _largest(path)
    halves = "(or (<= X0[0,0] 0.0) (and (>= X0[0,0] 0.25) (<= X0[0,1] 0.5)))"
    query = _asked(tmp_path, f"(>= Y0[0,0] {most + 0.02})", halves)
    file = tmp_path / "c.npz"
    found = solve_query(query, {"N0": path}, certificate=file, query_file=tmp_path / "query.vnnlib")
    assert found.answer is Satisfied.UNSAT
    assert "checked on" in found.certificate
    return path, tmp_path / "query.vnnlib", load(file), most


def test_a_proof_covers_all_boxes_of_a_query_and_is_bound_to_its_files(proof):
    path, query, certificate, _ = proof
    assert len(certificate.parts) == 2
    assert certificate.checked().accepted
    assert set(certificate.sources) == {"N0", "the query"}
    assert "bound to" in bind_to_query(certificate, query, {"N0": path})


def test_a_part_that_is_left_out_is_noticed_where_it_is_bound(proof):
    path, query, certificate, _ = proof
    for kept in (certificate.parts[:1], certificate.parts[1:], ()):
        less = replace(certificate, parts=kept)
        assert less.checked().accepted
        with pytest.raises(RefusedCertificateError, match="does not hold claim"):
            bind_to_query(less, query, {"N0": path})


def test_another_network_or_query_is_noticed_with_and_without_digests(proof, tmp_path):
    path, query, certificate, most = proof
    other = _saved(tmp_path, "other", seed=1)
    with pytest.raises(RefusedCertificateError, match="not the file"):
        bind_to_query(certificate, query, {"N0": other})
    silent = replace(certificate, sources={})
    assert "of no file" in bind_to_query(silent, query, {"N0": path})
    with pytest.raises(RefusedCertificateError, match="something else"):
        bind_to_query(silent, query, {"N0": other})
    harder = tmp_path / "harder.vnnlib"
    harder.write_text(query.read_text().replace(f"{most + 0.02}", f"{most + 0.019}"))
    with pytest.raises(RefusedCertificateError, match="not the file"):
        bind_to_query(certificate, harder, {"N0": path})
    with pytest.raises(RefusedCertificateError, match="something else"):
        bind_to_query(silent, harder, {"N0": path})


def test_a_sound_forgery_about_another_claim_is_accepted_and_not_bound(proof):
    """Whoever changes a weight, a box or a condition and proves that instead has proved something else."""
    path, query, certificate, _ = proof
    first, second = certificate.parts
    claim = first.claim

    def weight():
        nodes = list(claim.network.nodes)
        (source, part), *_ = nodes[0].arguments[0].terms.items()
        moved = Dense(np.asarray(part.matrix) * (1 + 1e-9))
        argument = replace(nodes[0].arguments[0], terms={source: moved})
        nodes[0] = replace(nodes[0], arguments=(argument,))
        return replace(claim, network=replace(claim.network, nodes=tuple(nodes)))

    forgeries = [
        weight(),
        replace(claim, high=claim.high - 1e-9 * np.abs(claim.high)),
        replace(claim, strict=~claim.strict),
        replace(claim, members=np.zeros((0, claim.members.shape[1]), bool)),
        replace(claim, network=shifted(claim.network, 10.0)),
    ]
    for forged in forgeries:
        lies = replace(certificate, parts=(Part(forged, first.tree), second))
        if not lies.checked().accepted:
            lies = replace(lies, parts=(Part(forged, alone()), second))
        assert lies.checked().accepted
        assert lies.claim_digest != certificate.claim_digest
        with pytest.raises(RefusedCertificateError, match="something else"):
            bind_to_query(lies, query, {"N0": path})


def test_an_input_that_satisfies_a_query_is_a_certificate_as_well(tmp_path):
    path = _saved(tmp_path)
    query = _asked(tmp_path, f"(>= Y0[0,0] {_largest(path) - 0.02})")
    file, asked = tmp_path / "c.npz", tmp_path / "query.vnnlib"
    found = solve_query(query, {"N0": path}, certificate=file, query_file=asked)
    assert found.answer is Satisfied.SAT
    certificate = load(file)
    assert certificate.checked().accepted
    assert np.allclose(certificate.parts[0].witness, np.ravel(found.assignment["X0"]))
    bind_to_query(certificate, asked, {"N0": path})
    with pytest.raises(RefusedCertificateError, match="not the file"):
        bind_to_query(certificate, asked, {"N0": _saved(tmp_path, "other", seed=1)})
    # It proves that there is an input, not that there is none.
    _asked(tmp_path, f"(>= Y0[0,0] {_largest(path) + 0.02})")
    with pytest.raises(RefusedCertificateError, match="something else"):
        bind_to_query(replace(certificate, sources={}), asked, {"N0": path})


def test_what_is_not_decided_has_no_certificate(tmp_path):
    path = _saved(tmp_path)
    query = _asked(tmp_path, f"(>= Y0[0,0] {_largest(path) + 0.02})")
    found = solve_query(query, {"N0": path}, seconds=0, certificate=tmp_path / "c.npz")
    assert found.answer is Satisfied.TIMED_OUT
    assert found.certificate == ""
    assert not (tmp_path / "c.npz").exists()


def test_a_certificate_that_cannot_be_written_is_found_out_before_the_search(tmp_path):
    path = _saved(tmp_path)
    query = _asked(tmp_path, "(>= Y0[0,0] 100.0)")
    with pytest.raises(StorageError, match="no folder"):
        solve_query(query, {"N0": path}, certificate=tmp_path / "nowhere" / "c.npz")
    with pytest.raises(ConfigError, match="is the file that is read"):
        solve_query(query, {"N0": path}, certificate=path)
    with pytest.raises(StorageError, match="no folder"):
        prove(lambda x: x - 2, [0.0], [1.0], certificate=tmp_path / "nowhere" / "c.npz")


def _excess(x):
    return jnp.tanh(x[0]) * x[1] - 0.8


def test_a_property_of_a_function_has_a_certificate_that_is_bound_to_it(tmp_path):
    low, high = np.array([-1.0, -1.0]), np.ones(2)
    proof = prove(_excess, low, high, certificate=tmp_path / "c.npz")
    assert proof.answer is Answer.HOLDS
    assert "checked on" in str(proof)
    certificate = load(tmp_path / "c.npz")
    assert certificate.checked().accepted
    assert "bound to the function" in bind_to_function(certificate, _excess, low, high)
    for excess, most in (
        (lambda x: _excess(x) + 1e-3, high),
        (_excess, 1.001 * high),
        (lambda x: x[0] - 2, high),
    ):
        with pytest.raises(RefusedCertificateError, match="something else"):
            bind_to_function(certificate, excess, low, most)
    violated = prove(lambda x: _excess(x) + 0.1, low, high, certificate=str(tmp_path / "v.npz"))
    assert violated.answer is Answer.VIOLATED
    assert np.array_equal(load(tmp_path / "v.npz").parts[0].witness, violated.witness)


def test_recheck_on_the_command_line_says_what_is_proved_and_of_what(proof, tmp_path, capsys):
    path, query, certificate, _ = proof
    assert call("recheck", tmp_path / "c.npz") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "accepted: 2 claims" in told
    assert "bound to no file" in told
    assert certificate.claim_digest in told
    given = ("recheck", tmp_path / "c.npz", "--network", f"N0={path}", "--query", query)
    assert call(*given, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["accepted"] is True
    assert facts["binding"].startswith("bound to")
    assert call(*given[:-2]) == 2
    assert "belong together" in capsys.readouterr().err
    other = _saved(tmp_path, "other", seed=1)
    assert call("recheck", tmp_path / "c.npz", "--network", f"N0={other}", "--query", query) == 5
    assert "not the file" in capsys.readouterr().err
    assert call("recheck", query) == 2
    assert "no certificate" in capsys.readouterr().err


def test_recheck_refuses_what_is_not_proved(proof, tmp_path, capsys, monkeypatch):
    _, _, certificate, _ = proof
    wrong = replace(certificate.parts[0].claim, network=shifted(certificate.parts[0].claim.network, -1.0))
    accepts = type(certificate.checked())(accepted=True, refused="", pieces=1)
    with monkeypatch.context() as patched:
        patched.setattr(Certificate, "checked", lambda _: accepts)
        save(Certificate((Part(wrong, certificate.parts[0].tree),)), tmp_path / "false.npz")
    assert call("recheck", tmp_path / "false.npz") == 5
    assert "does not prove what it claims: part 0" in " ".join(capsys.readouterr().err.split())


def test_a_query_that_no_input_can_meet_needs_no_proof_and_an_empty_file_is_none(tmp_path, capsys):
    path = _saved(tmp_path)
    query = _asked(tmp_path, "(>= X0[0,0] 2.0)")
    found = solve_query(query, {"N0": path}, certificate=tmp_path / "c.npz")
    assert found.answer is Satisfied.UNSAT
    given = ("recheck", tmp_path / "c.npz", "--network", f"N0={path}", "--query", tmp_path / "query.vnnlib")
    assert call(*given) == 0
    assert call(*given[:2]) == 5
    assert "claims nothing" in capsys.readouterr().err
    _asked(tmp_path, "(>= X0[0,0] 0.0)")
    assert call(*given) == 5


def test_the_solver_of_the_standard_writes_certificates(tmp_path, capsys):
    path = _saved(tmp_path)
    _asked(tmp_path, f"(>= Y0[0,0] {_largest(path) + 0.02})")
    query, file = tmp_path / "query.vnnlib", tmp_path / "c.npz"
    given = ["verify", str(query), "--network", f"N0={path}", "--certificate", str(file)]
    assert main(given) == 0
    shown = capsys.readouterr()
    assert shown.out == "unsat\n"
    assert f"certificate: {file}" in shown.err
    bind_to_query(load(file), query, {"N0": path})
    given[-1] = str(tmp_path / "nowhere" / "c.npz")
    assert main(given) == 4
    with pytest.raises(InputDataError):
        load(tmp_path / "nowhere" / "c.npz")
