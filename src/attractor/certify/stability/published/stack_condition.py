"""The condition for stacks: every cell for itself, for a cascade of stable systems is stable."""

from attractor.cells import Stack

from .condition import PUBLISHED, Formula, PublishedCondition, published_condition


def stack_condition(cell: Stack, input_bound: float) -> PublishedCondition | None:
    r"""The largest residual of the cells; the rate is the largest rate, approached in the long run.

    Cell l sees what cell l - 1 exposes, so differences obey a lower triangular comparison matrix with the
    rates on its diagonal: its spectral radius is the largest rate (arXiv 2304.02975).

    Args:
        cell: exactly a `Stack`.
        input_bound: largest component of a scaled input.

    Returns:
        The condition; None if one cell has none, or if nothing bounds what a lower cell exposes.
    """
    found: list[PublishedCondition] = []
    bound: float | None = input_bound
    for part in cell.cells:
        if bound is None or (condition := published_condition(part, bound)) is None:
            return None
        found.append(condition)
        bound = exposed_bound(part, bound)
    return PublishedCondition(
        family="stack of " + ", ".join(one.family for one in found),
        residual=max(one.residual for one in found),
        rate=max(one.rate for one in found),
        iss_residual=max(one.iss_residual for one in found),
        input_gain=float("nan"),
        norm="spectral radius of the cascade; the bound holds up to a constant factor",
        source="arXiv 2304.02975; of the cells: " + ", ".join(sorted({one.source for one in found})),
        note="; ".join(f"cell {level}: {one.note}" for level, one in enumerate(found)),
    )


def exposed_bound(cell: object, input_bound: float) -> float | None:
    """Largest component of what a cell exposes, from states within [-1, 1]; None if nothing bounds it."""
    formula = PUBLISHED.get(type(cell))
    return None if formula is None else formula.exposes(cell, input_bound)


def _exposed_by_stack(cell: Stack, input_bound: float) -> float | None:
    bound: float | None = input_bound
    for part in cell.cells:
        bound = None if bound is None else exposed_bound(part, bound)
    return bound


PUBLISHED.register(Stack, Formula(stack_condition, _exposed_by_stack), source=__name__)
