"""From samples to figures: medians of same-round ratios to native, with their
spread."""

import math


def quantile(values, share):
    """Between the two values that stand on either side of it."""
    values = sorted(values)
    at = share * (len(values) - 1)
    low = math.floor(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


def summary(values):
    """Median and quartiles; None where there is nothing."""
    if not values:
        return None
    return {"median": quantile(values, 0.5), "q1": quantile(values, 0.25), "q3": quantile(values, 0.75), "n": len(values)}


def wall(sample):
    """Nanoseconds that an operation takes."""
    return sample["wall_ns"] / sample["ops"]


def cpu(sample):
    """Nanoseconds of CPU that an operation takes, of client and daemon."""
    return (sample["client_cpu_ns"] + sample["daemon_cpu_ns"]) / sample["ops"]


def ratios(samples, base, measure):
    """Of each round that both have; a base of nothing tells nothing."""
    of_round = {sample["round"]: measure(sample) for sample in base}
    return [
        measure(sample) / of_round[sample["round"]] for sample in samples if of_round.get(sample["round"], 0) > 0
    ]


def figures(samples, base="native"):
    """From {work: {system: [sample]}} to {work: {system: figures}}."""
    result = {}
    for work, systems in samples.items():
        result[work] = {}
        for system, rounds in systems.items():
            result[work][system] = {
                "ns": summary([wall(sample) for sample in rounds]),
                "cpu_ns": summary([cpu(sample) for sample in rounds]),
                "time": summary(ratios(rounds, systems.get(base, []), wall)),
                "cpu": summary(ratios(rounds, systems.get(base, []), cpu)),
                "errors": sum(sample["errors"] for sample in rounds),
            }
    return result
