"""A part measured again: what an earlier run left in the folder is kept for the workloads that this one has not measured. Each
workload has a stamp, when, at which load and by which commit it was measured. For bench/compare."""
import json

ORDER = ("core", "icmp", "ssh", "smtp", "backup", "mixed")
APART = ("core", "mixed")  # have no rows
SAME = ("cpu", "cores", "system")


def has(result, workload):
    if workload in APART:
        return bool(result.get(workload))
    return any(one["workload"] == workload for one in result["rows"])


def stamps(result):
    """{workload: stamp}; a result of before there were stamps was measured in one go."""
    machine = result["machine"]
    whole = {"date": machine["date"], "load_before": machine["load_before"], "load_after": machine["load_after"],
             "trawl": machine["versions"].get("trawl", ""), "arguments": result["arguments"]}
    known = result.get("measured", {})
    return {workload: known.get(workload, whole) for workload in ORDER if has(result, workload)}


def load(stamp):
    return " -> ".join(" ".join(f"{value:.1f}" for value in stamp[when]) for when in ("load_before", "load_after"))


def said(stamp):
    """A stamp in a line."""
    return f"measured {stamp['date']}, load averages {load(stamp)}" + (f", trawl {stamp['trawl']}" if stamp["trawl"] else "")


def read(folder, machine):
    """The result in a folder; none: None. Throws ValueError for one of another machine, whose figures are no neighbours of ours."""
    try:
        earlier = json.loads((folder / "results.json").read_text())
    except FileNotFoundError:
        return None
    for name in SAME:
        if earlier["machine"][name] != machine[name]:
            raise ValueError(f"{folder} has results of another machine ({name} {earlier['machine'][name]}, here {machine[name]}): "
                             "name another folder")
    return earlier


def merged(earlier, result):
    """The result, with what only the earlier one has."""
    if not earlier:
        return {**result, "measured": stamps(result)}
    source = {workload: result if has(result, workload) else earlier for workload in ORDER}
    made = {**result, "measured": {}, "rows": [], "commands": {}}
    for workload, of in source.items():
        if not has(of, workload):
            continue
        made["measured"][workload] = stamps(of)[workload]
        if workload in APART:
            made[workload] = of[workload]
        made["rows"] += [one for one in of["rows"] if one["workload"] == workload]
        made["commands"].update({name: text for name, text in of["commands"].items() if name.split()[0] == workload})
    return made
