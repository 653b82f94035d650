"""Progress: a line now and then in a log, a bar in a terminal, nothing inside a library."""

import io
import sys
import types

import pytest
from rich.console import Console

from attractor import progress
from attractor.progress import (
    AtMost,
    BarReporter,
    LateReporter,
    LineReporter,
    NotebookReporter,
    Reporter,
    SilentReporter,
    interactive_reporter,
    reporter_for,
)


class Clock:
    """A clock that is put forward by hand."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_line_comes_when_the_last_one_is_old_enough(clock):
    stream = io.StringIO()
    reporter = LineReporter("training", stream, every=5.0)
    for second in range(1, 13):
        clock.now = float(second)
        reporter.update(second * 10, 1000)
    assert [line.split(",")[0] for line in stream.getvalue().splitlines()] == [
        "training: 50/1000",
        "training: 100/1000",
    ]


def test_the_last_update_is_always_told_even_at_once(clock):
    stream = io.StringIO()
    LineReporter("training", stream).update(7, 7, "done")
    assert stream.getvalue() == "training: 7/7, 0/s done\n"


def test_rate_and_time_left_do_not_count_what_a_resumed_run_had_done(clock):
    stream = io.StringIO()
    reporter = LineReporter("training", stream, every=5.0)
    reporter.update(900, 1000)
    clock.now = 10.0
    reporter.update(950, 1000, "loss 1")
    assert stream.getvalue() == "training: 950/1000, 5/s, 10 s left loss 1\n"


def test_what_may_end_early_has_at_most_so_long(clock):
    stream = io.StringIO()
    reporter = LineReporter("training", stream, every=5.0)
    reporter.update(1, AtMost(1500))
    clock.now = 10.0
    reporter.update(401, AtMost(1500), "loss 1")
    reporter.update(404, 404, "stopped at 404: no better for 400")
    assert stream.getvalue().splitlines() == [
        "training: 401/1500, 40/s, at most 27 s left loss 1",
        "training: 404/404, 40/s stopped at 404: no better for 400",
    ]
    screen = io.StringIO()
    bar = BarReporter("training", Console(file=screen, force_terminal=True, width=140))
    bar.update(3, AtMost(10), "loss 1")
    bar.close()
    assert "at most" in screen.getvalue()


def test_a_second_stretch_of_work_is_counted_afresh(clock):
    """As a refinement after a training: its few rounds are not a retreat from thousands of steps."""
    stream = io.StringIO()
    reporter = LineReporter("training", stream, every=5.0)
    reporter.update(200, 4000)
    clock.now = 10.0
    reporter.update(4000, 4000, "loss 1")
    reporter.close()
    for done in range(1, 21):
        clock.now += 0.25
        reporter.update(done, 20, "refining")
    assert stream.getvalue().splitlines() == [
        "training: 4000/4000, 380/s loss 1",
        "training: 20/20, 4/s refining",
    ]


def test_where_nobody_looks_there_are_lines_and_in_a_terminal_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert isinstance(reporter_for("x", io.StringIO()), LineReporter)
    bar = reporter_for("x", Terminal())
    assert isinstance(bar, BarReporter)
    bar.close()


def test_the_bar_shows_count_and_message():
    stream = io.StringIO()
    bar = BarReporter("training", Console(file=stream, force_terminal=True, width=120))
    bar.update(3, 10, "loss 0.5")
    bar.close()
    assert "3/10" in stream.getvalue()
    assert "loss 0.5" in stream.getvalue()


def test_the_bar_comes_again_for_a_second_stretch_of_work():
    stream = io.StringIO()
    bar = BarReporter("training", Console(file=stream, force_terminal=True, width=120))
    bar.update(10, 10, "loss 0.5")
    bar.close()
    bar.close()
    bar.update(3, 20, "refining")
    bar.close()
    assert "10/10" in stream.getvalue()
    assert " 3/20" in stream.getvalue()
    assert stream.getvalue().rindex("refining") > stream.getvalue().rindex("loss 0.5")


def test_every_reporter_keeps_the_protocol():
    for reporter in (SilentReporter(), LineReporter("x", io.StringIO())):
        assert isinstance(reporter, Reporter)
        assert reporter.update(1, 2, "message") is None
        assert reporter.close() is None


class Kernel:
    """A shell as that of a notebook."""

    kernel = object()
    execution_count = 3


class Displayed:
    """Stands for IPython, and remembers what it was asked to show."""

    def __init__(self, shell):
        self.shell, self.new, self.updated = shell, [], []

    def get_ipython(self):
        return self.shell

    def display(self, bundle, *, raw, display_id):
        assert raw
        self.new.append((display_id, bundle))

    def update_display(self, bundle, *, raw, display_id):
        assert raw
        self.updated.append((display_id, bundle))


@pytest.fixture
def ipython(monkeypatch):
    monkeypatch.setattr(NotebookReporter, "_shown", "")

    def shown_in(shell):
        shown = Displayed(shell)
        module = types.ModuleType("IPython")
        module.get_ipython = shown.get_ipython
        inner = types.ModuleType("IPython.display")
        inner.display, inner.update_display = shown.display, shown.update_display
        monkeypatch.setitem(sys.modules, "IPython", module)
        monkeypatch.setitem(sys.modules, "IPython.display", inner)
        return shown

    return shown_in


def test_a_notebook_has_one_line_that_is_written_anew(clock, ipython, capsys):
    shown = ipython(Kernel())
    reporter = reporter_for("training")
    for moment in range(1, 400):
        clock.now = moment / 100
        reporter.update(moment, 399, "loss <b>")
    reporter.close()
    second = reporter_for("training")
    clock.now += 1
    second.update(5, 5)
    assert len(shown.new) == 1
    assert 10 < len(shown.updated) < 20
    assert len({name for name, _ in shown.new + shown.updated}) == 1
    first = shown.new[0][1]
    assert first["text/plain"].startswith("training: 25/399, ")
    assert "<b>" not in first["text/html"]
    assert "<progress" in first["text/html"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ((404, 404, "stopped at 404"), "training: 404/404 after 2 s stopped at 404"),
        ((404, AtMost(1500), "loss 1"), "training: ended at 404/1500 after 2 s loss 1"),
    ],
)
def test_the_line_of_a_notebook_says_that_it_is_over(clock, ipython, last, said):
    shown = ipython(Kernel())
    reporter = reporter_for("training")
    clock.now = 1.0
    reporter.update(4, AtMost(1500))
    clock.now = 2.0
    reporter.update(*last)
    reporter.close()
    assert shown.updated[-1][1]["text/plain"] == said
    assert "left" not in shown.updated[-1][1]["text/html"]
    reporter.close()
    assert len(shown.updated) == 2


def test_another_cell_of_a_notebook_has_a_line_of_its_own(clock, ipython):
    kernel = Kernel()
    shown = ipython(kernel)
    for count in (3, 4):
        kernel.execution_count = count
        reporter = reporter_for("training")
        clock.now += 1
        reporter.update(1, 1)
    assert len(shown.new) == 2
    assert not shown.updated


def test_ipython_in_a_terminal_is_no_notebook(ipython):
    ipython(object())
    assert progress.notebook() is None
    assert isinstance(reporter_for("x", io.StringIO()), LineReporter)


def test_a_stream_that_was_asked_for_is_used_in_a_notebook_too(ipython):
    shown = ipython(Kernel())
    stream = io.StringIO()
    reporter_for("x", stream).update(1, 1)
    assert stream.getvalue() == "x: 1/1, 0/s\n"
    assert not shown.new


def test_what_is_over_in_two_seconds_is_not_told(clock):
    made = []

    def make():
        made.append(LineReporter("training", io.StringIO(), every=0.0))
        return made[-1]

    late = LateReporter(make)
    late.update(1, 4)
    late.close()
    assert not made
    clock.now = 2.5
    late.update(3, 4)
    late.update(4, 4)
    late.close()
    assert len(made) == 1


def test_a_script_is_silent_and_who_waits_is_told(ipython, monkeypatch):
    assert isinstance(interactive_reporter("training"), SilentReporter)
    ipython(Kernel())
    assert isinstance(interactive_reporter("training"), LateReporter)
