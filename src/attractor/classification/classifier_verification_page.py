"""The page of certified cases: how many classes cannot change, beside what an attack changes."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attractor.report.about import About
from attractor.report.page import Page, PageFigure, PageTable, Section, Step, Tile
from attractor.report.style import Hue, Size, legend_above, panels
from attractor.report.wording import duration, percent

from .classifier_verification import CertifiedCases

_MOST_ROWS = 100
_MEANING = (
    "Certified: whatever each value does within that range, at every step, the class stays. Under attack: "
    "the class was right, and no change that was found changed it. The truth lies between the two."
)


def certified_cases_page(found: CertifiedCases, about: About) -> Page:
    """What the page says.

    Args:
        found: the cases.
        about: the run.
    """
    took, unit = duration(found.seconds)
    tiles = (
        Tile("Right", percent(100 * found.clean_accuracy), "%", "without a change"),
        Tile("Under attack", percent(100 * found.attacked_accuracy), "%", "right, and not changed"),
        Tile("Certified", percent(100 * found.certified_accuracy), "%", "right, and cannot change"),
        Tile("Took", took, unit, f"{len(found.ids)} cases"),
    )
    half = f"attractor verify {about.run} --within {found.within / 2:g}"
    return Page(
        kind="Verification",
        verdict=found.headline,
        tone="good" if found.certified.all() else "fair",
        meaning=f"{_units(found)} {_MEANING}",
        steps=(Step("Ask about smaller changes:", half),) if not found.certified.all() else (),
        tiles=tiles,
        sections=(_leads(found), _cases(found)),
    )


def _units(found: CertifiedCases) -> str:
    sizes = found.within * found.units
    same = len(set(sizes.tolist())) == 1
    ends = f"{sizes.min():.3g}" if same else f"{sizes.min():.3g} to {sizes.max():.3g}"
    return f"A change of {found.within:g} is {ends} in the units of the data, by variable."


def _leads(found: CertifiedCases) -> Section:
    figure = PageFigure(
        name="leads",
        title="The lead of the class over the next one, case by case",
        caption=(
            "Blue: no change within the range makes the lead smaller (proved); orange: the smallest that the "
            "attack reached. Cases are in the order of the second; a class can only change below zero."
        ),
        plot=lambda size: _lead_figure(found, size),
    )
    return Section("leads", "Leads", "How near every case is to another class.", (figure,))


def _lead_figure(found: CertifiedCases, size: Size) -> Figure:
    figure, (axes,) = panels(size, [260 if size.is_wide else 220])
    draw_leads(found, axes)
    legend_above(axes, 2)
    return figure


def draw_leads(found: CertifiedCases, axes: Axes) -> None:
    """Proved and reached leads of all cases."""
    order = np.argsort(found.reached, kind="stable")
    places = np.arange(len(order)) + 1
    axes.axhline(0.0, color=Hue.ALERT, linewidth=1.0, linestyle=(0, (2, 2)))
    axes.plot(places, found.reached[order], "o", markersize=3.5, color=Hue.TEST, label="reached by attack")
    lead = np.where(np.isfinite(found.lead), found.lead, np.nan)[order]
    axes.plot(places, lead, "o", markersize=3.5, color=Hue.MODEL, label="proved")
    axes.set(xlabel="cases, in order", ylabel="lead (logits)")


def draw_shares(found: CertifiedCases, axes: Axes) -> None:
    """The three accuracies."""
    shares = (found.clean_accuracy, found.attacked_accuracy, found.certified_accuracy)
    names = ("right", "under attack", "certified")
    axes.bar(names, shares, color=[Hue.MEASURED, Hue.TEST, Hue.MODEL])
    axes.set(ylabel="share of cases", ylim=(0.0, 1.05), title=f"values changed by up to {found.within:g}")


def _cases(found: CertifiedCases) -> Section:
    shown = found.rows_shown()
    left = len(shown.rows) - _MOST_ROWS
    caption = f"And {left} more in verify.json." if left > 0 else ""
    table = PageTable("Cases", shown.header, shown.rows[:_MOST_ROWS], caption)
    return Section("cases", "Cases", "Each case by itself.", tables=(table,))
