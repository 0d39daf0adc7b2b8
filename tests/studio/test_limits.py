"""Who may have how much."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowers.errors import UsageError
from flowers.paths import PROJECT
from flowers.studio.limits import Limits, Shares, Who, limits

VISITORS = [Who(name, address) for address in ("home", "school", "office") for name in ("ann", "bob", address)]
STEPS = st.lists(st.tuples(st.sampled_from(VISITORS), st.integers(-3, 3)), max_size=60)


@given(STEPS, st.integers(1, 5), st.integers(1, 12))
def test_however_it_is_taken_nobody_has_more_than_a_share_and_one_address_not_more_than_a_quarter(steps, each, total):
    shares, had = Shares(each, total), dict.fromkeys(VISITORS, 0)
    for visitor, amount in steps:
        if amount < 0:
            amount = -min(-amount, had[visitor])
            shares.give_back(visitor, -amount)
        elif not shares.take(visitor, amount):
            continue
        had[visitor] += amount
    assert all(count <= each for count in had.values())
    for address in ("home", "school", "office"):
        assert sum(count for who, count in had.items() if who.address == address) <= max(each, total // 4)
    assert sum(had.values()) <= total


def test_one_address_leaves_most_to_the_others():
    shares = Shares(1, 20)
    assert sum(shares.take(Who(f"cookie {number}", "here")) for number in range(20)) == 5
    assert shares.take(Who("another", "there"))


def test_what_is_given_back_can_be_had_again_and_leaves_nothing_behind():
    shares = Shares(2, 10)
    for number in range(1000):
        shares.take(visitor := Who(f"cookie {number}", f"address {number}"))
        shares.give_back(visitor)
    assert shares._taken == {}


def test_limits_are_set_by_the_environment(monkeypatch):
    assert limits() == Limits()
    monkeypatch.setenv("FLOWERS_MAX_WAITING", "5")
    monkeypatch.setenv("FLOWERS_MAX_ALL_CALLS", " 12 ")
    monkeypatch.setenv("FLOWERS_MAX_CALLS", "")
    assert limits() == Limits(waiting=5, all_calls=12)
    assert limits().pair("calls") == (6, 12)


@pytest.mark.parametrize("told", ["0", "-1", "many", "1.5", "１", "1e3"])
def test_a_limit_that_is_no_number_is_told(monkeypatch, told):
    monkeypatch.setenv("FLOWERS_MAX_WAITING", told)
    with pytest.raises(UsageError, match=r"^The limit FLOWERS_MAX_WAITING is .*: set it to a whole number above 0\.$"):
        limits()


def test_the_page_about_servers_tells_the_defaults():
    page = (PROJECT / "docs" / "server.md").read_text()
    named = re.findall(r"^\| `FLOWERS_MAX_(\w+)`, `FLOWERS_MAX_ALL_(\w+)` \| (\d+), (\d+) \|", page, re.MULTILINE)
    told = {name.lower(): (int(each), int(total)) for name, also, each, total in named if name == also}
    assert told == {name: Limits().pair(name) for name in told}
    assert len(dataclasses.fields(Limits)) == 2 * len(told)
