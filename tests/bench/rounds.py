"""Rounds, and what they say: every way of a row takes its turn in each, so that whatever else the machine does
is shared, and each round's figure is compared with the reference of the same round."""

import json
import pathlib
import statistics

ROWS = json.loads(pathlib.Path(__file__).with_name("rows.json").read_text(encoding="utf-8"))


class NotMeasured(Exception):
    """A row that has no figures here; it says why."""


def alternate(ways, rounds):
    """ways: name -> a function that returns {metric: number}. Once for nothing, then `rounds` times, in an
    order that rotates. Returns name -> metric -> [number of each round]."""
    samples = {}
    for number in range(-1, rounds):
        names = list(ways)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            for metric, value in ways[name]().items():
                if number >= 0:
                    samples.setdefault(name, {}).setdefault(metric, []).append(float(f"{value:.5g}"))
    return samples


def bound_of(goal, kernel):
    """("at_most" or "at_least", number); or None where a goal only compares. Of a goal that needs a newer
    kernel, what holds before it."""
    if "since_kernel" in goal and kernel < tuple(map(int, goal["since_kernel"].split("."))):
        return "at_most", goal["before"]
    return next(((word, goal[word]) for word in ("at_most", "at_least") if word in goal), None)


def judge(goal, samples, kernel):
    """A goal with what was measured: the figures of the rounds, or their ratios to the sum of the references'."""
    ours = samples[goal.get("way", "Postern")][goal["metric"]]
    against = [samples[name][goal["metric"]] for name in goal.get("against", [])]
    values = [value / sum(parts) for value, *parts in zip(ours, *against)] if against else ours
    judged = {**goal, "values": [round(value, 4) for value in values],
              "median": round(statistics.median(values), 4),
              "range": [round(min(values), 4), round(max(values), 4)]}
    if bound := bound_of(goal, kernel):
        word, number = bound
        judged["bound"] = [word, number]
        off = judged["median"] / number
        judged["met"] = off <= 1 if word == "at_most" else off >= 1
        judged["missed_by_percent"] = 0 if judged["met"] else round(100 * abs(off - 1), 1)
    return judged


def figure(value):
    """Three digits, and no more."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def said(judged, plain=lambda text: text):
    """One goal in words."""
    low, high = map(figure, judged["range"])
    text = f"{figure(judged['median'])} {judged['label']} ({low} to {high})"
    if "bound" not in judged:
        return text
    word, number = judged["bound"]
    result = "met" if judged["met"] else f"missed by {figure(judged['missed_by_percent'])} %"
    return f"{text}; goal {word.replace('_', ' ')} {figure(number)}: {plain(result)}"


def medians(samples):
    """name -> metric -> median."""
    return {name: {metric: statistics.median(values) for metric, values in metrics.items()}
            for name, metrics in samples.items()}
