"""Whose turn it is: first come, first served, whatever becomes of those who wait."""

import threading

import pytest

from flowers.errors import UsageError
from flowers.paths import runs_dir
from flowers.recipe import Recipe
from flowers.training import queue
from flowers.training.run import Run
from tests.waiting import DEADLINE, wait_until


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(queue, "POLL_SECONDS", 0.01)


def asked_for(name: str) -> Run:
    run = Run.create(runs_dir() / name, Recipe(), "garden")
    queue.join(run)
    return run


class Waiting(threading.Thread):
    """Stands in line as a training process does, and works until it is told to end."""

    def __init__(self, run: Run, began: list[str]) -> None:
        super().__init__(daemon=True)
        self.run_, self.began, self.done, self.told_off = run, began, threading.Event(), False
        self.start()

    def run(self) -> None:
        try:
            with queue.turn(self.run_, self.run_.stop_requested):
                self.run_.set_status("running")
                self.began.append(self.run_.name)
                self.done.wait(DEADLINE)
            self.run_.set_status("done")
        except KeyboardInterrupt:
            self.told_off = True
            self.run_.set_status("stopped")

    def end(self) -> None:
        self.done.set()
        self.join(DEADLINE)


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
    place = queue.place
    monkeypatch.setattr(queue, "place", lambda run: looks.append(place(run)) or looks[-1])
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


def test_a_line_has_an_end():
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
