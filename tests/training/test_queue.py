"""Whose turn it is: first come, first served, whatever becomes of those who wait."""

import threading
from dataclasses import replace

import pytest
from filelock import FileLock

from flowers.errors import UsageError
from flowers.paths import cache_dir, runs_dir
from flowers.recipe import Recipe
from flowers.training import queue
from flowers.training.run import Run
from tests.waiting import DEADLINE, wait_until


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(queue, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(queue, "LOOK_SECONDS", 0)


def asked_for(name: str, seconds: float | None = None) -> Run:
    run = Run.create(runs_dir() / name, Recipe(), "garden")
    queue.join(run, seconds)
    return run


class Waiting(threading.Thread):
    """Stands in line as a training process does, and works, a step at a time, until it is told to end."""

    def __init__(self, run: Run, began: list[str]) -> None:
        super().__init__(daemon=True)
        self.run_, self.began, self.done, self.told_off = run, began, threading.Event(), False
        self.places: list[tuple[int, float | None]] = []  # told while it made way
        self.steps = 0
        self.start()

    def run(self) -> None:
        try:
            with self.run_.lock(), queue.turn(self.run_, self.run_.stop_requested) as turn:
                self.began.append(self.run_.name)
                self._work(turn)
            self.run_.set_status("done")
        except KeyboardInterrupt:
            self.told_off = True
            self.run_.set_status("stopped")

    def _work(self, turn: queue.Turn) -> None:
        while not self.done.wait(0.01) and not self.run_.stop_requested():
            self.run_.set_status("running")
            self.steps += 1
            turn.make_way(lambda *place: self.places.append(place))

    def end(self) -> None:
        self.done.set()
        self.join(DEADLINE)
        assert not self.is_alive()


def test_runs_begin_one_at_a_time_in_the_order_they_were_asked_for():
    began: list[str] = []
    runs = [asked_for(name) for name in ("zebra", "ant", "mole")]  # not by name
    threads = [Waiting(run, began) for run in reversed(runs)]  # nor by which process wakes first
    for position, run in enumerate(runs):
        wait_until(lambda position=position: len(began) == position + 1)
        assert began[-1] == run.name
        later = runs[position + 1 :]
        wait_until(lambda later=later: [one.status().place for one in later] == list(range(2, 2 + len(later))))
        next(thread for thread in threads if thread.run_ == run).end()
    assert began == ["zebra", "ant", "mole"]
    assert not queue.is_taken()
    assert not list(runs_dir().glob("*/ticket"))


def test_who_leaves_the_line_never_begins_and_the_others_move_up():
    began: list[str] = []
    first, second, third = (asked_for(name) for name in "abc")
    threads = [Waiting(run, began) for run in (first, second, third)]
    wait_until(lambda: third.status().place == 3)
    second.request_stop()
    wait_until(lambda: threads[1].told_off)
    wait_until(lambda: third.status().place == 2)
    threads[0].end()
    wait_until(lambda: began == ["a", "c"])
    threads[2].end()
    assert not list(runs_dir().glob("*/ticket"))


def test_nobody_waits_for_a_run_whose_process_was_killed(monkeypatch):
    gone = asked_for("gone")
    monkeypatch.setattr("flowers.training.run.QUEUED_SECONDS", 0)  # its heartbeat is old
    assert gone.status().state == "interrupted"
    run = asked_for("alive")
    monkeypatch.setattr("flowers.training.run.QUEUED_SECONDS", 60)
    gone.set_status("failed")
    began: list[str] = []
    thread = Waiting(run, began)
    wait_until(lambda: began == ["alive"])
    thread.end()


def test_who_does_not_stand_in_line_is_waited_for_all_the_same(monkeypatch):
    looks: list[int] = []
    outlook = queue.outlook

    def watched(run: Run) -> tuple[int, float | None]:
        told = outlook(run)
        looks.append(told[0])
        return told

    monkeypatch.setattr(queue, "outlook", watched)
    began: list[str] = []
    with queue.at_once(), queue.at_once():  # and a second one is not held up
        run = asked_for("patient")
        assert run.status().place == 2
        thread = Waiting(run, began)
        before = len(looks)
        wait_until(lambda: len(looks) > before + 3)  # it has asked again and again
        assert set(looks) == {2}
        assert not began
    wait_until(lambda: began == ["patient"])
    thread.end()


def test_who_has_the_turn_but_not_yet_said_so_is_counted_once():
    first, second = asked_for("first", 5), asked_for("second", 5)
    with FileLock(cache_dir() / "training.lock"):
        assert queue.outlook(first) == (1, 0)
        assert queue.outlook(second) == (2, 5)


def stands_in_line(name: str, seconds: float, began: list[str]) -> Waiting:
    """One whose process is there."""
    thread = Waiting(asked_for(name, seconds), began)
    wait_until(thread.run_.is_locked)
    return thread


def test_what_is_nearly_done_goes_on_to_its_end():
    run = asked_for("slow", 50)
    with queue.turn(run, lambda: False) as turn, FileLock(asked_for("short", 5).folder / "lock"):
        turn._ticket = replace(turn._ticket, until=0.0)  # it took longer than it said
        turn.make_way(lambda *_: pytest.fail("it has made way"), left=40)


def test_a_long_run_makes_way_for_short_ones_and_goes_on_after_them():
    began: list[str] = []
    long = Waiting(asked_for("long", 3600), began)
    wait_until(lambda: long.steps)
    first, second = asked_for("first", 5), asked_for("second", 5)
    short = [Waiting(run, began) for run in (second, first)]
    wait_until(lambda: began == ["long", "first"])
    wait_until(lambda: long.places)
    steps = long.steps
    short[1].end()
    wait_until(lambda: began == ["long", "first", "second"])
    assert long.steps == steps
    short[0].end()
    wait_until(lambda: long.steps > steps)
    assert {place for place, _ in long.places} <= {1, 2, 3}
    long.end()
    assert not queue.is_taken()


def test_who_has_made_way_has_the_turn_for_as_long_as_it_was_without(monkeypatch):
    """Nobody stops the clock, but that is told the time."""
    now = [1e9]
    monkeypatch.setattr(queue.time, "time", lambda: now[0])
    began: list[str] = []
    long = stands_in_line("long", 3600, began)
    wait_until(lambda: long.steps)
    short = stands_in_line("short", 5, began)
    wait_until(lambda: began == ["long", "short"])
    later = stands_in_line("later", 5, began)
    short.end()
    steps = long.steps
    wait_until(lambda: long.steps > steps + 20)
    assert began == ["long", "short"]  # it stood in line behind it, for the clock stands still
    now[0] += queue.SHORT_SECONDS
    wait_until(lambda: began == ["long", "short", "later"])
    later.end()
    long.end()


def test_a_stop_ends_at_once_who_has_made_way():
    began: list[str] = []
    long = stands_in_line("long", 3600, began)
    wait_until(lambda: long.steps)
    short = stands_in_line("short", 5, began)
    wait_until(lambda: began == ["long", "short"])
    long.run_.request_stop()
    long.join(DEADLINE)
    assert long.run_.status().state == "done"
    assert queue.is_taken()  # by the short one
    short.end()


def test_no_other_long_run_begins_while_one_has_made_way():
    began: list[str] = []
    long = stands_in_line("long", 3600, began)
    wait_until(lambda: long.steps)
    other = stands_in_line("other", None, began)  # nobody knows how long it takes
    short = stands_in_line("short", 5, began)
    wait_until(lambda: began == ["long", "short"])
    wait_until(lambda: long.places)
    short.end()
    steps = long.steps
    wait_until(lambda: long.steps > steps)
    assert began == ["long", "short"]
    long.end()
    wait_until(lambda: began == ["long", "short", "other"])
    other.end()


@pytest.mark.parametrize("seconds", [5, None])
def test_who_is_short_itself_makes_way_for_nobody(seconds):
    first, second = asked_for("first", seconds), asked_for("second", 5)
    with second.lock(), queue.turn(first, first.stop_requested) as turn:
        turn.expect(5)  # now it is known
        turn.make_way(lambda *_: pytest.fail("it has made way"))


def test_nobody_makes_way_for_a_run_whose_process_has_yet_to_come():
    first = asked_for("first", 3600)
    asked_for("second", 5)
    with queue.turn(first, first.stop_requested) as turn:
        turn.make_way(lambda *_: pytest.fail("it has made way"))


def test_what_the_time_until_the_turn_is_made_of():
    """The rest of the one at work, and all before in line; long ones let short ones in between."""
    runs = {name: asked_for(name, seconds) for name, seconds in {"a": 40, "b": 3600, "c": 10, "d": 20}.items()}
    with runs["a"].lock(), queue.turn(runs["a"], bool):
        runs["a"].set_status("running", seconds=30)
        told = [queue.outlook(runs[name]) for name in "bcd"]
    assert told == [(2, 30), (3, 30), (4, 40)]
    runs["a"].set_status("done")
    with runs["b"].lock(), queue.turn(runs["b"], bool):
        runs["b"].set_status("running", seconds=3000)
        assert [queue.outlook(runs[name]) for name in "cd"] == [(2, 0), (3, 10)]
        late = asked_for("late", 1000)
        assert queue.outlook(late) == (4, 3030)
        unknown = asked_for("unknown")
        assert queue.outlook(asked_for("last", 100)) == (6, None)
        assert queue.outlook(unknown) == (5, 4030)


def test_a_damaged_ticket_keeps_nobody_waiting():
    damaged, run = asked_for("damaged"), asked_for("run")
    (damaged.folder / "ticket").write_text("[]")
    assert queue.waiting() == [run]
    assert queue.outlook(run) == (1, 0)


def test_a_line_has_an_end(monkeypatch):
    monkeypatch.setattr(queue, "MAX_WAITING", 4)
    for number in range(queue.MAX_WAITING):
        queue.check_room("somebody")
        asked_for(f"run-{number}")
    with pytest.raises(UsageError, match=rf"^{queue.MAX_WAITING} runs are in line already: wait.*\.$"):
        queue.check_room("somebody")


@pytest.mark.parametrize("name", ["somebody", ""])  # programs' runs are nobody's
def test_one_visitor_does_not_fill_the_line(name):
    for number in range(queue.MAX_WAITING_OF_ONE):
        queue.check_room(name)
        queue.join(Run.create(runs_dir() / f"run{number}", Recipe(), "garden", visitor=name))
    with pytest.raises(UsageError, match=r"of your runs are in line.*\.$"):
        queue.check_room(name)
    queue.check_room("somebody else")


# Those without a process


class Row(threading.Thread):
    """Waits for a run that has no process, as the studio does."""

    def __init__(self, run: Run) -> None:
        super().__init__(daemon=True)
        self.run_, self.near = run, None
        self.start()

    def run(self) -> None:
        with queue.waited_for(self.run_):
            self.near = queue.come_near(self.run_)


@pytest.fixture
def rows(monkeypatch) -> list[Row]:
    """Four, behind one that is at work."""
    monkeypatch.setattr(queue, "LOOK_SECONDS", 0.01)
    with queue.at_once():
        rows = [Row(asked_for(name)) for name in "abcd"]
        yield rows
        for row in rows:
            row.run_.request_stop()
            row.join(DEADLINE)
            assert not row.is_alive()


def test_only_the_first_in_line_are_to_have_a_process(rows):
    first, second, third, fourth = rows
    wait_until(lambda: first.near and second.near)
    wait_until(lambda: fourth.run_.status().place == 5)
    assert (third.near, fourth.near, third.run_.status().place) == (None, None, 4)
    queue.leave(second.run_)
    wait_until(lambda: third.near)
    wait_until(lambda: fourth.run_.status().place == 4)
    assert fourth.near is None


def test_who_is_to_stop_leaves_the_line_without_ever_having_a_process(rows):
    third, fourth = rows[2:]
    third.run_.request_stop()
    wait_until(lambda: third.near is False)
    assert third.run_.status().state == "stopped"
    wait_until(lambda: fourth.run_.status().place == 4)


def test_who_is_removed_is_waited_for_no_longer(rows):
    (rows[3].run_.folder / "ticket").unlink()  # first of all its files
    wait_until(lambda: rows[3].near is False)
    assert rows[3].run_.status().state == "queued", "nothing is written any more"


def test_who_is_trained_out_of_turn_is_waited_for_no_longer(rows):
    """As the command line does, which stands in no line."""
    run = rows[3].run_
    with run.lock():
        wait_until(lambda: rows[3].near is False)
        assert run not in queue.waiting()
        assert run.status().state == "queued", "it is not said to be stopped"


def test_who_is_waited_for_by_nobody_is_found(rows):
    alone, locked, stopped = (asked_for(name) for name in ("alone", "locked", "stopped"))
    queue.leave(stopped)
    wait_until(lambda: rows[0].near and rows[1].near and not rows[0].is_alive() and not rows[1].is_alive())
    with locked.lock():
        assert queue.abandoned() == [rows[0].run_, rows[1].run_, alone]  # no process came of the first two
