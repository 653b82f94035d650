"""The page: contents in, one HTML document out."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from attractor.data.record import Signal
from attractor.errors import StorageError, printable
from attractor.files import make_folder, write_atomically

from . import figures, wording
from .contents import IdentificationContents, PredictionPage, ResidualPage, SteadyStatePage
from .style import NARROW, WIDE, Size, house_style, to_svg


class Drawing(NamedTuple):
    """The same figure for wide and for narrow screens; the style sheet shows one of them."""

    wide: Markup
    narrow: Markup


class PredictionView(NamedTuple):
    """A prediction with its two figures and the rows of the close-up in words."""

    page: PredictionPage
    whole: Drawing
    closeup: Drawing
    closeup_span: str


class ResidualView(NamedTuple):
    """The residual figure of one output and how often its bars leave the band."""

    page: ResidualPage
    output: Signal
    drawing: Drawing
    auto_outside: float
    cross_outside: float


class SteadyStateView(NamedTuple):
    """A steady-state map and its figure."""

    page: SteadyStatePage
    drawing: Drawing


def render_identification_report(contents: IdentificationContents) -> str:
    """The report as one HTML document: inline figures, no scripts, no network, light and dark.

    Args:
        contents: numbers and words; every word is escaped.

    Returns:
        The document.
    """
    page = environment().get_template("identification.html.j2")
    return page.render(
        contents=contents,
        predictions=[_prediction(i, page) for i, page in enumerate(contents.predictions)],
        signals=draw(
            "signals", "Signals over time", lambda size: figures.signals_figure(contents.data, size)
        ),
        amplitudes=draw(
            "inputs", "Use of the input range", lambda size: figures.amplitude_figure(contents.data, size)
        ),
        training=draw(
            "training", "Training curves", lambda size: figures.training_figure(contents.training, size)
        ),
        residuals=[view for i, page in enumerate(contents.residuals) for view in _residuals(i, page)],
        steady_states=[_steady_state(i, page) for i, page in enumerate(contents.steady_states)],
    )


def write_report(contents: IdentificationContents, path: Path) -> Path:
    """Write the report; a reader never sees half a file.

    Args:
        contents: what to show.
        path: of the HTML file; missing folders are made.

    Returns:
        The path.

    Raises:
        StorageError: if the file cannot be written.
    """
    return write_document(render_identification_report(contents), path)


def write_document(document: str, path: Path) -> Path:
    """Write a page; a reader never sees half a file.

    Names of any origin may stand on it: control characters, and bytes of file names that are not UTF-8, are
    written as escape sequences.

    Raises:
        StorageError: if the file cannot be written.
    """
    try:
        make_folder(path.parent)
        write_atomically(path, printable(document).encode())
    except StorageError as error:
        raise StorageError(f"The report could not be written: {error}") from error
    return path


def environment() -> Environment:
    """The templates of the house and their filters."""
    environment = Environment(
        loader=PackageLoader("attractor.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= wording.FILTERS
    return environment


def draw(name: str, title: str, plot: Callable[[Size], Figure]) -> Drawing:
    """Draw for both screens under ids of their own.

    Args:
        name: begins every id of the figure.
        title: what a screen reader says.
        plot: draws for one screen.
    """
    drawings = []
    for size in (WIDE, NARROW):
        own_name = f"{name}-{size.name}"
        with house_style(size, own_name):
            drawings.append(to_svg(plot(size), own_name, title))
    return Drawing(*drawings)


def _prediction(number: int, page: PredictionPage) -> PredictionView:
    title = f"{page.output.name} in {page.experiment}"
    first, last = figures.closeup_rows(page)
    return PredictionView(
        page,
        draw(f"prediction-{number}", title, lambda size: figures.prediction_figure(page, size)),
        draw(f"closeup-{number}", f"{title}, close-up", lambda size: figures.closeup_figure(page, size)),
        wording.span(first * page.sampling_time, last * page.sampling_time),
    )


def _residuals(number: int, page: ResidualPage) -> list[ResidualView]:
    def correlations(output: int) -> Drawing:
        title = f"Correlations of the residual of {page.outputs[output].name} in {page.experiment}"
        return draw(
            f"residual-{number}-{output}", title, lambda size: figures.residual_figure(page, output, size)
        )

    return [
        ResidualView(
            page,
            signal,
            correlations(output),
            float(page.analysis.auto_outside[output]),
            float(np.max(page.analysis.cross_outside[output], initial=0.0)),
        )
        for output, signal in enumerate(page.outputs)
    ]


def _steady_state(number: int, page: SteadyStatePage) -> SteadyStateView:
    title = f"Steady-state map over {page.input.name}"
    return SteadyStateView(
        page, draw(f"steady-{number}", title, lambda size: figures.steady_state_figure(page, size))
    )
