"""The record of a search: pieces are numbered as they are cut, and keeping it changes nothing."""

import numpy as np
from proved_claims import layered, least, shifted

from attractor.certify.dual.clauses import of_clauses
from attractor.certify.dual.search import Found, search
from attractor.certify.dual.tree import Journal, Walk


def test_a_journal_numbers_both_sides_of_every_cut():
    journal = Journal()
    first = journal.cut(np.array([0]), np.array([2]), np.array([0.5]))
    assert first.tolist() == [1, 2]
    both = journal.cut(np.array([2, 1]), np.array([0, 1]), np.array([1.5, 2.5]), node=np.array([-1, 3]))
    assert both.tolist() == [3, 4, 5, 6]
    tree = journal.tree
    assert len(tree) == 7
    assert tree.parent.tolist() == [-1, 0, 0, 2, 1, 2, 1]
    assert tree.entry.tolist() == [0, 2, 2, 0, 1, 0, 1]
    assert tree.node.tolist() == [-1, -1, -1, -1, 3, -1, 3]
    assert tree.at.tolist() == [0.0, 0.5, 0.5, 1.5, 2.5, 1.5, 2.5]
    assert tree.above.tolist() == [False, False, True, False, False, True, True]


def test_a_tree_keeps_walks_and_none_of_what_comes_later():
    journal = Journal()
    journal.walked(Walk(0, 0, 0, np.zeros(1, int), -1, ()))
    tree = journal.tree
    journal.cut(np.array([0]), np.array([0]), np.array([0.0]))
    assert len(tree) == 1
    assert len(tree.walks) == 1
    assert len(journal.tree) == 3


def test_a_search_finds_the_same_with_and_without_a_journal():
    network = layered((2, 6, 6, 1), 0)
    low, high = -np.ones(2), np.ones(2)
    network = shifted(network, 0.02 - least(network, low, high))
    kept = search(network, low, high, of_clauses([[0]], 1), journal=Journal())
    plain = search(network, low, high, of_clauses([[0]], 1))
    assert plain.tree is None
    assert kept.found is plain.found is Found.ABSENT
    assert (kept.pieces, kept.lower) == (plain.pieces, plain.lower)
    assert len(kept.tree) == kept.pieces
