"""Rows, their medians and spreads, and the table. For bench/compare."""
from statistics import median

# A row whose middle half of rounds lies further apart than this part of the median says so.
NOISE_BOUND = 0.25
FIGURES = ("wall_ms", "cpu_ms", "rss_mb", "switches", "threads")


def quartile_spread(values):
    """How far the middle half of the values lies apart, as part of the median: robust against one slow round."""
    ordered = sorted(values)
    if len(ordered) < 2 or median(ordered) == 0:
        return 0.0

    def at(part):
        place = part * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    return (at(0.75) - at(0.25)) / median(ordered)


def row(workload, model, n, rounds, note=""):
    """One row of the result from its rounds, each a dictionary with FIGURES, lost and note; none: it was not run."""
    made = {"workload": workload, "model": model, "n": n, "rounds": len(rounds)}
    for figure in FIGURES if rounds else ():
        values = [one[figure] for one in rounds]
        made[figure] = {"median": median(values), "least": min(values), "most": max(values)}
    if rounds:
        lost = [one["lost"] for one in rounds]
        made["lost"] = {"least": min(lost), "most": max(lost)}
        made["spread"] = {figure: round(quartile_spread([one[figure] for one in rounds]), 3) for figure in ("wall_ms", "cpu_ms")}
        made["noisy"] = max(made["spread"].values()) > NOISE_BOUND
    notes = [note] if note else []
    for one in rounds:
        if one["note"] and one["note"] not in notes:
            notes.append(one["note"])
    made["note"] = "; ".join(notes)
    return made


def next_takes(history, n):
    """Seconds that a round of n will take, on the line through the last two of `history`, (n, seconds) each; 0: not known, for
    with one of them only the start of the program cannot be told from its work."""
    if len(history) < 2:
        return 0.0
    (first, took_first), (last, took_last) = history[-2:]
    return max(took_last, took_last + (took_last - took_first) * (n - last) / (last - first))


def number(value):
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def range_of(figure):
    return f"{number(figure['median'])} ({number(figure['least'])}..{number(figure['most'])})"


def lost_of(one):
    least, most = one["lost"]["least"], one["lost"]["most"]
    return f"{least:,}" if least == most else f"{least:,}..{most:,}"


COLUMNS = ("", "rounds", "wall ms", "CPU ms", "CPU us each", "x async", "RSS MB", "switches", "threads", "lost", "")


def cells(one, base):
    """A row as texts, in COLUMNS; `base` is the row of the async model for the same N."""
    if not one["rounds"]:
        return [one["model"], "0", *[""] * 8, one["note"]]
    ratio = one["cpu_ms"]["median"] / base["cpu_ms"]["median"] if base and base["rounds"] and base["cpu_ms"]["median"] else None
    remarks = ([f"noisy ({max(one['spread'].values()):.0%})"] if one["noisy"] else []) + ([one["note"]] if one["note"] else [])
    return [one["model"], str(one["rounds"]), range_of(one["wall_ms"]), range_of(one["cpu_ms"]),
            number(one["cpu_ms"]["median"] * 1000 / one["n"]), f"{ratio:.2f}" if ratio else "", number(one["rss_mb"]["median"]),
            f"{one['switches']['median']:,.0f}", f"{one['threads']['median']:,.0f}", lost_of(one), "; ".join(remarks)]


def grouped(rows):
    """(workload, n, its rows, the async one) in the order of the rows."""
    groups = {}
    for one in rows:
        groups.setdefault((one["workload"], one["n"]), []).append(one)
    for (workload, n), members in groups.items():
        yield workload, n, members, next((one for one in members if one["model"] == "async"), None)


def table(rows):
    lines = []
    for workload, n, members, base in grouped(rows):
        texts = [COLUMNS] + [cells(one, base) for one in members]
        widths = [max(len(text[i]) for text in texts) for i in range(len(COLUMNS) - 1)]
        lines += ["", f"{workload}, N = {n:,}"]
        for text in texts:
            shown = [text[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(text[1:-1], widths[1:])]
            lines.append(("  ".join(shown) + "  " + text[-1]).rstrip())
    return "\n".join(lines)


def shares(alone, together):
    """Per verb: its rate alone and with the others, the part of it that is left, and that as a share of the fair one
    (1 / verbs): 1 is fair, under 0.5 is starved."""
    fair = 1 / len(alone)
    return {verb: {"alone": alone[verb], "together": together[verb],
                   "left": together[verb] / alone[verb] if alone[verb] else 0,
                   "share": together[verb] / alone[verb] / fair if alone[verb] else 0} for verb in alone}


def mixed(alone, together):
    """Medians over the rounds of bench-mixed's reports: shares of each verb, and the worst and the middle hold and lag."""
    rates = {verb: median(one[verb]["rate"] for one in reports) for verb, reports in alone.items()}
    both = {verb: median(one[verb]["rate"] for one in together) for verb in alone}
    made = {"verbs": shares(rates, both), "failed": {verb: max(one[verb]["failed"] for one in together) for verb in alone}}
    for verb, one in made["verbs"].items():
        one["unit"] = together[0][verb]["unit"]
        one["lag_p99_ms_alone"] = median(report["lag"]["p99_ms"] for report in alone[verb])
    for figure in ("hold", "lag"):
        made[figure] = {which: {"median": median(one[figure][which] for one in together),
                                "least": min(one[figure][which] for one in together),
                                "most": max(one[figure][which] for one in together)}
                        for which in ("p50_ms", "p99_ms", "p999_ms", "max_ms")}
    made["threads"] = max(one["threads"] for one in together)
    made["rss_mb"] = median(one["rss_mb"] for one in together)
    return made


def mixed_table(result):
    if not result:
        return ""
    lines = ["", f"mixed: every verb without end for {result['seconds']} s, alone and all together, medians of {result['rounds']} rounds"]
    for jobs, one in result["by_jobs"].items():
        lines.append(f"at most {int(jobs):,} sessions and {int(jobs):,} dialogues at a time:")
        for verb, share in one["verbs"].items():
            verdict = "" if share["share"] >= 0.5 else "  under half of its fair share"
            lines.append(f"  {verb:8}{number(share['alone']):>10} {share['unit']}/s alone {number(share['together']):>10} together, "
                         f"{share['share']:.2f} of its fair share, {one['failed'][verb]} failed{verdict}")
        lines.append(f"  hold p99.9 {range_of(one['hold']['p999_ms'])} ms, lag p99 {range_of(one['lag']['p99_ms'])} ms, "
                     f"{one['threads']} threads, {one['rss_mb']:.0f} MB")
    return "\n".join(lines) + "\n"
