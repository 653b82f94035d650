"""Progress: a line now and then in a log, a bar in a terminal, nothing inside a library."""

import io

import pytest
from rich.console import Console

from attractor import progress
from attractor.progress import BarReporter, LineReporter, Reporter, SilentReporter, reporter_for


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
