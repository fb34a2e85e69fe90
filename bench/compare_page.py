"""Plots and the page of bench/compare: SVG by hand, HTML that needs nothing else."""
import html
import math

import compare_core
import compare_earlier
import compare_table

# One look for a model in every plot: colour, and a dash for those who cannot tell colours apart.
LOOKS = {"async": ("#0b6e4f", ""), "threads": ("#b3261e", "7 3"), "pool": ("#c77700", "2 3"), "python": ("#5b4bb5", "9 3 2 3")}
OTHERS = [("#3c6e91", "4 2"), ("#6b6b6b", "1 3"), ("#8f3d7d", "12 3")]
METRICS = [("cpu_ms", "CPU, ms"), ("wall_ms", "wall, ms"), ("rss_mb", "resident, MB"), ("threads", "threads and processes")]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 300, 58, 96, 30, 42


def look(model, others):
    if model in LOOKS:
        return LOOKS[model]
    return OTHERS[others.index(model) % len(OTHERS)]


def decades(low, high):
    """The powers of ten that enclose the values."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return list(range(first, max(last, first + 1) + 1))


def spread_apart(places, gap, bottom):
    """Where labels go so that none covers another: down from their places, then up again from the bottom; their order stays."""
    ordered = sorted(places)
    moved = []
    for place in ordered:
        moved.append(max(place, moved[-1] + gap) if moved else place)
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], moved[i + 1] - gap if i + 1 < len(moved) else bottom)
    return dict(zip(ordered, moved))


def short(power):
    return {-2: "0.01", -1: "0.1", 0: "1", 1: "10", 2: "100", 3: "1,000", 4: "10,000", 5: "100,000"}.get(power, f"10^{power}")


def plot(title, series, sizes):
    """An SVG with both axes logarithmic. series: {model: [(n, median, least, most)]}, all above 0."""
    values = [value for points in series.values() for point in points for value in point[1:] if value > 0]
    if not values:
        return ""
    powers = decades(min(values), max(values))
    low, high = powers[0], powers[-1]

    def across(n):
        first, last = math.log2(sizes[0]), math.log2(sizes[-1])
        return LEFT + (math.log2(n) - first) / max(last - first, 1) * (WIDTH - LEFT - RIGHT)

    def down(value):
        return HEIGHT - BOTTOM - (math.log10(max(value, 10 ** low)) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
             f'aria-label="{html.escape(title)}" font-family="system-ui, sans-serif" font-size="11" fill="#333">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
             f'<text x="{LEFT}" y="18" font-size="13" font-weight="600">{html.escape(title)}</text>']
    for power in powers:
        y = down(10 ** power)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(power)}</text>')
    for n in sizes:
        parts.append(f'<text x="{across(n):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{n:,}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 8}" text-anchor="middle">N</text>')
    others = [model for model in series if model not in LOOKS]
    labels = spread_apart([down(points[-1][1]) + i * 1e-6 for i, points in enumerate(series.values()) if points], 13, HEIGHT - BOTTOM)
    for i, (model, points) in enumerate(series.items()):
        if not points:
            continue
        colour, dash = look(model, others)
        line = " ".join(f"{'L' if k else 'M'}{across(n):.1f} {down(value):.1f}" for k, (n, value, *_) in enumerate(points))
        parts.append(f'<path d="{line}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>')
        for n, value, least, most in points:
            parts.append(f'<path d="M{across(n):.1f} {down(least):.1f}V{down(most):.1f}" stroke="{colour}"/>'
                         f'<circle cx="{across(n):.1f}" cy="{down(value):.1f}" r="2.5" fill="{colour}"/>')
        y = labels[down(points[-1][1]) + i * 1e-6]
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{y + 4:.1f}" fill="{colour}">{html.escape(model)}</text>')
    return "\n".join(parts) + "\n</svg>\n"


def series_of(rows, workload, figure):
    """Whole rows only: a model that lost something did not do the work."""
    series = {}
    for one in rows:
        if one["workload"] == workload and one["rounds"] and one["lost"]["most"] == 0:
            value = one[figure]
            series.setdefault(one["model"], []).append((one["n"], value["median"], value["least"], value["most"]))
    return series


def heading(machine):
    return (f"{machine['date']}, {machine['minutes']} minutes; {machine['cores']} cores, {machine['cpu']}, {machine['memory_mb']:,} MB, "
            f"{machine['system']}, Linux {machine['kernel']}\nload averages {compare_earlier.load(machine)}; {machine['limits']}")


def html_table(header, lines):
    def cells(tag, values):
        return "".join(f"<{tag}>{html.escape(str(value))}</{tag}>" for value in values)

    body = "\n".join(f"<tr>{cells('td', line)}</tr>" for line in lines)
    return f"<div class=wide><table><thead><tr>{cells('th', header)}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n"


STYLE = """body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
h1 { font-size: 1.5em } h2 { margin-top: 2em; border-bottom: 1px solid #ccc } h3 { margin-bottom: .3em }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .15em .7em; text-align: right; border-bottom: 1px solid #e5e5e5; white-space: nowrap }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left }
td:last-child { white-space: normal } .wide { overflow-x: auto } pre { overflow-x: auto; background: #f6f6f6; padding: .7em; font-size: 12px }
svg { max-width: 100%; height: auto }"""


def stamped(result, workload):
    """When and how it was measured: not all of a page need be of one run."""
    stamp = result["measured"][workload]
    by = html.escape(" ".join(["bench/compare", *stamp["arguments"]]))
    return f"<p>{workload}: {html.escape(compare_earlier.said(stamp))}, by <code>{by}</code>.</p>\n"


def core_section(result):
    rows = result.get("core")
    if not rows:
        return ""
    lines = [[one["what"], one["unit"]] + [f"{one[name]:,.1f}" if one[name] is not None else "-" for name in compare_core.NAMES]
             for one in rows]
    return "<h2>The core</h2>\n" + stamped(result, "core") + html_table(["", "", *compare_core.NAMES], [line + [""] for line in lines])


def mixed_section(whole):
    result = whole.get("mixed")
    if not result:
        return ""
    parts = ["<h2>Everything at once</h2>\n", stamped(whole, "mixed"), "<p>Each verb without end for "
             f"{result['seconds']} s, alone and with the three others on the same loop; medians of {result['rounds']} rounds. "
             "A fair share is a quarter of what the verb does alone; under 0.5 it is starved.</p>\n"]
    for jobs, one in result["by_jobs"].items():
        parts.append(f"<h3>{int(jobs):,} SSH sessions and {int(jobs):,} SMTP dialogues in flight</h3>\n")
        number = compare_table.number
        parts.append(html_table(["verb", "alone", "together", "unit", "share of the fair one", "failed", ""],
                                [[verb, number(s["alone"]), number(s["together"]), s["unit"] + "/s", f"{s['share']:.2f}",
                                  one["failed"][verb], "" if s["share"] >= 0.5 else "starved"] for verb, s in one["verbs"].items()]))
        bounds = {"hold": ("p999_ms", "p99.9", 1), "lag": ("p99_ms", "p99", 20)}
        for figure, (which, name, bound) in bounds.items():
            seen = one[figure][which]
            verdict = "kept" if seen["median"] <= bound else "missed"
            parts.append(f"<p>{figure} {name}: {compare_table.range_of(seen)} ms; the bound of {bound} ms is {verdict}.</p>\n")
    return "".join(parts)


def page(result, what):
    rows, machine = result["rows"], result["machine"]
    parts = ["<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">"
             f"<title>trawl: one loop beside threads</title><style>\n{STYLE}\n</style></head><body>\n",
             "<h1>One loop beside threads, pools, scripts and tools</h1>\n",
             f"<p>{html.escape(heading(machine)).replace(chr(10), '<br>')}</p>\n",
             "<p>Medians of the rounds (least..most); CPU is user and system time of the program and of the processes that it waited for. "
             "&ldquo;x async&rdquo; divides its CPU by that of the loop. A row that is <em>noisy</em> has a middle half of rounds that "
             f"lies more than {compare_table.NOISE_BOUND:.0%} of the median apart: take it for an order of magnitude. Lines in the plots "
             "end where a model goes no further or begins to lose; the tables say why.</p>\n",
             core_section(result), mixed_section(result)]
    for workload in dict.fromkeys(one["workload"] for one in rows):
        parts.append(f"<h2>{workload}</h2>\n<p>{html.escape(what[workload])}</p>\n" + stamped(result, workload))
        parts += [drawn for _, drawn in plots(rows, workload)]
        for name, n, members, base in compare_table.grouped(rows):
            if name == workload:
                parts.append(f"<h3>N = {n:,}</h3>\n" + html_table(compare_table.COLUMNS, [compare_table.cells(one, base) for one in members]))
    versions = "".join(f"{name:10}{text}\n" for name, text in machine["versions"].items())
    commands = "".join(f"{name}:\n    {text}\n" for name, text in result["commands"].items())
    parts.append(f"<h2>Versions</h2>\n<pre>{html.escape(versions)}</pre>\n<h2>Commands</h2>\n<p>With the last N that was run.</p>\n"
                 f"<pre>{html.escape(commands)}</pre>\n</body></html>\n")
    return "".join(parts)


def plots(rows, workload):
    sizes = sorted({one["n"] for one in rows if one["workload"] == workload})
    for figure, title in METRICS:
        drawn = plot(f"{workload}: {title}", series_of(rows, workload, figure), sizes)
        if drawn:
            yield f"{workload}-{figure.split('_')[0]}.svg", drawn


def write(folder, result, what):
    folder.mkdir(parents=True, exist_ok=True)
    for workload in dict.fromkeys(one["workload"] for one in result["rows"]):
        for name, drawn in plots(result["rows"], workload):
            (folder / name).write_text(drawn)
    (folder / "index.html").write_text(page(result, what))
