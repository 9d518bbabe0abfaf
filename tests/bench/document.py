#!/usr/bin/python3
"""Writes what docs/performance.md shows of a saved run: document.py [DOCS].

DOCS (docs/) has performance.json, as `./dev bench --json` and `./dev bench system --json` left it. Between its
marks performance.md gets the figures of each chart of rows.json, with what limits them; the chart itself is
performance-NAME.svg. The same run always makes the same bytes.
"""

import json
import pathlib
import re
import sys
import xml.sax.saxutils

import rounds

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
UNITS = {"ms": "ms", "us": "µs of processor time a request", "per_second": "a second", "p99_us": "µs (99th percentile)",
         "calls": "system calls", "bytes": "bytes", "kb_dirty": "kB private and dirty", "kb_rss": "kB resident"}
PLACES = {"here": "", "bookworm": ", Debian 12", "trixie": ", Debian 13"}
WIDTH, NAME, BARS, LINE = 900, 260, 390, 22


def title(row, where):
    return row["what"] + PLACES[where]


def shown(chart, run):
    """(row, where, entry or None) of all that belongs to a chart."""
    entries = {(entry["id"], entry["on"]): entry for entry in run["rows"]}
    return [(row, where, entries.get((row["id"], where)))
            for row in rounds.ROWS if row["chart"] == chart for where in row["on"]]


# ---- Text ----

def measured(entry):
    """The medians of all ways, by metric."""
    medians = rounds.medians(entry["samples"])
    metrics = list(dict.fromkeys(metric for values in medians.values() for metric in values))
    lines = []
    for metric in metrics:
        values = [f"{name} {rounds.figure(found[metric])}" for name, found in medians.items() if metric in found]
        lines.append(f"{', '.join(values)} {UNITS[metric]}")
    return "<br>".join(lines)


def table(chart, run):
    lines = ["| what | medians | compared, and the goal |", "|---|---|---|"]
    for row, where, entry in shown(chart, run):
        if entry is None or "not_measured" in entry:
            why = entry["not_measured"] if entry else "not measured yet"
            lines.append(f"| {title(row, where)} | {why} | |")
            continue
        goals = "<br>".join(rounds.said(goal, lambda text: f"**{text}**") for goal in entry["goals"])
        lines.append(f"| {title(row, where)} | {measured(entry)} | {goals} |")
    return lines


def block(chart, run):
    limits = [f"- {row['what']}: {row['limits']}" for row in rounds.ROWS if row["chart"] == chart]
    return "\n".join([f"![{chart}](performance-{chart}.svg)", "", *table(chart, run), "", "What limits them:", "",
                      *limits])


def machine(run):
    made = sorted({(entry["commit"], entry["date"]) for entry in run["rows"]})
    loads = [value for entry in run["rows"] for value in entry["load"]]
    least = min((len(values) for entry in run["rows"] for metrics in entry.get("samples", {}).values()
                 for values in metrics.values() if len(values) > 1), default=0)
    return (f"Machine: {run['machine']['model']}, {run['machine']['processors']} processors, Linux "
            f"{run['machine']['kernel']}; load {min(loads)} to {max(loads)}; at least {least} rounds; commit and date: "
            + ", ".join(f"{commit} ({date})" for commit, date in made) + ".")


# ---- Charts ----

def text(x, y, words, style=""):
    words = xml.sax.saxutils.escape(words.replace("`", ""))
    return f'  <text x="{x:g}" y="{y}"{style}>{words}</text>'


def panel(y, row, where, entry):
    """The lines of one row's drawing, and where the next one begins."""
    drawn = [text(20, y + 14, title(row, where), ' class="head"')]
    y += LINE
    if entry is None or "not_measured" in entry:
        return [*drawn, text(40, y + 14, entry["not_measured"] if entry else "not measured yet")], y + 2 * LINE
    metric = row["goals"][0]["metric"]
    ways = {name: values[metric] for name, values in entry["samples"].items() if metric in values}
    marks = {}
    for goal in entry["goals"]:
        if goal["metric"] == metric and "bound" in goal:
            marks.setdefault(goal.get("way", "Postern"), []).append(goal_mark(goal, entry["samples"]))
    scale = BARS / max(value for values in [*ways.values(), *marks.values()] for value in values)
    medians = rounds.medians(entry["samples"])
    for name, values in ways.items():
        low, high, middle = (value * scale for value in (min(values), max(values), medians[name][metric]))
        ours = any(name == goal.get("way", "Postern") for goal in entry["goals"])
        drawn += [
            text(40, y + 14, name),
            f'  <rect class="{"ours" if ours else "other"}" x="{NAME}" y="{y + 2}" width="{middle:.1f}" height="15"/>',
            f'  <path class="range" d="M{NAME + low:.1f} {y + 9.5} H{NAME + high:.1f}"/>',
            text(round(NAME + max(high, middle, *(mark * scale for mark in marks.get(name, [])))) + 8, y + 14, f"{rounds.figure(medians[name][metric])} {UNITS[metric]}")]
        drawn += [f'  <path class="goal" d="M{NAME + mark * scale:.1f} {y - 1} V{y + 20}"/>'
                  for mark in marks.get(name, [])]
        y += LINE
    return drawn, y + LINE // 2


def goal_mark(goal, samples):
    """Where the goal lies on the scale of what is measured."""
    medians = rounds.medians(samples)
    return goal["bound"][1] * (sum(medians[name][goal["metric"]] for name in goal["against"])
                               if goal.get("against") else 1)


def chart(name, run):
    drawn, y = [], 20
    for row, where, entry in shown(name, run):
        lines, y = panel(y, row, where, entry)
        drawn += lines
    head = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img" aria-labelledby="title">
  <title id="title">Bars: medians; lines in them: from the least to the most of all rounds; upright lines: goals</title>
  <style>
    text {{ font-family: sans-serif; font-size: 13px; fill: #222; }}
    .head {{ font-weight: bold; }}
    .ours {{ fill: #4a7ab0; }}
    .other {{ fill: #b8c4cf; }}
    .range {{ stroke: #222; stroke-width: 1.5; }}
    .goal {{ stroke: #c03020; stroke-width: 2.5; }}
  </style>
  <rect width="{WIDTH}" height="{y}" fill="#ffffff"/>
"""
    return head + "\n".join(drawn) + "\n</svg>\n"


def saved_run(docs):
    return json.loads((docs / "performance.json").read_text(encoding="utf-8"))


def files(docs):
    """name -> text of all that is made of the saved run."""
    run = saved_run(docs)
    page = (docs / "performance.md").read_text(encoding="utf-8")
    made = {}

    def fill(match):
        name = match.group(1)
        if name == "machine":
            inner = machine(run)
        else:
            made[f"performance-{name}.svg"] = chart(name, run)
            inner = block(name, run)
        return f"<!-- {name}: by tests/bench/document.py -->\n{inner}\n<!-- end -->"

    made["performance.md"] = re.sub(r"<!-- (\S+): by tests/bench/document\.py -->\n.*?<!-- end -->", fill, page,
                                    flags=re.S)
    return made


def main():
    docs = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "docs"
    for name, content in files(docs).items():
        (docs / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
