"""docs/performance.md: its figures and charts are those of the saved run, which has every row; and what its words
say of a goal."""

import sys

import pytest

import harness

sys.path += [str(harness.REPOSITORY / folder) for folder in ("tests/bench", "tests/system", "packaging")]

import document  # noqa: E402
import rounds  # noqa: E402
import rows_booted  # noqa: E402
import rows_here  # noqa: E402

DOCS = harness.REPOSITORY / "docs"
SAMPLES = {"Postern": {"ms": [3.0, 2.0, 4.0]}, "sudo": {"ms": [2.0, 1.0, 1.0]}, "true": {"ms": [1.0, 1.0, 1.0]}}


def judged(kernel=(6, 18), **goal):
    return rounds.judge({"label": "times sudo", "metric": "ms", **goal}, SAMPLES, kernel)


# ---- The document ----

def test_the_page_and_the_charts_are_made_of_the_saved_run():
    made = document.files(DOCS)
    assert len(made) == 1 + len({row["chart"] for row in rounds.ROWS})
    for name, text in made.items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"{name}: run tests/bench/document.py"


def test_every_row_is_measured_by_a_function_and_in_the_saved_run():
    here = {row["id"] for row in rounds.ROWS if row["on"] == ["here"]}
    booted = {row["id"] for row in rounds.ROWS if row["on"] == ["bookworm", "trixie"]}
    assert here == set(rows_here.ROWS) and booted == set(rows_booted.ROWS)
    assert len(here) + len(booted) == len(rounds.ROWS)
    saved = document.saved_run(DOCS)
    for row in rounds.ROWS:
        for where in row["on"]:
            entry = next(entry for entry in saved["rows"] if (entry["id"], entry["on"]) == (row["id"], where))
            assert "not_measured" in entry or [goal["label"] for goal in entry["goals"]] == [
                goal["label"] for goal in row["goals"]], row["id"]


def test_what_was_saved_is_what_the_samples_say_of_the_goals_of_today():
    saved = document.saved_run(DOCS)
    kernel = tuple(map(int, saved["machine"]["kernel"].split(".")))
    rows = {row["id"]: row for row in rounds.ROWS}
    for entry in saved["rows"]:
        if "samples" in entry:
            assert entry["goals"] == [rounds.judge(goal, entry["samples"], kernel)
                                      for goal in rows[entry["id"]]["goals"]], entry["id"]


# ---- The rounds ----

def test_each_round_is_compared_with_the_reference_of_the_same_round():
    goal = judged(against=["sudo"], at_most=1.6)
    assert (goal["values"], goal["median"], goal["range"]) == ([1.5, 2.0, 4.0], 2.0, [1.5, 4.0])
    assert (goal["met"], goal["missed_by_percent"]) == (False, 25.0)
    assert rounds.said(goal) == "2 times sudo (1.5 to 4); goal at most 1.6: missed by 25 %"
    assert judged(against=["sudo", "true"], at_most=1.0)["values"] == [1.0, 1.0, 2.0]


@pytest.mark.parametrize("goal, met, off", [
    ({"at_most": 3.0}, True, 0), ({"at_most": 2.9}, False, 3.4), ({"at_least": 3.0}, True, 0),
    ({"at_least": 4.0}, False, 25.0)])
def test_a_goal_is_met_or_missed_by(goal, met, off):
    found = judged(**goal)
    assert (found["met"], found["missed_by_percent"]) == (met, off)


def test_a_goal_that_needs_a_newer_kernel():
    goal = {"against": ["sudo"], "at_most": 0.6, "since_kernel": "6.15", "before": 0.85}
    assert judged((6, 15), **goal)["bound"] == ["at_most", 0.6]
    assert judged((6, 14), **goal)["bound"] == ["at_most", 0.85]


def test_a_row_without_a_goal_only_compares():
    assert rounds.said(judged(against=["sudo"])) == "2 times sudo (1.5 to 4)"


def test_ways_take_turns_and_the_first_round_is_not_kept():
    order = []

    def way(name):
        order.append(name)
        return {"ms": len(order)}
    samples = rounds.alternate({name: lambda name=name: way(name) for name in "abc"}, 3)
    assert "".join(order) == "cab" "abc" "bca" "cab"
    assert samples == {"a": {"ms": [4, 9, 11]}, "b": {"ms": [5, 7, 12]}, "c": {"ms": [6, 8, 10]}}


def test_three_digits():
    assert [rounds.figure(value) for value in (0.01234, 1.236, 99.94, 123.4, 43210.0)] == [
        "0.0123", "1.24", "99.9", "123", "43210"]
