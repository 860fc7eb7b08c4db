"""Results as Markdown and as a plot."""

import statistics

BASE = "nginx"
COLOURS = {"ingora": "#d9480f", "nginx": "#2b8a3e", "haproxy": "#1864ab", "envoy": "#862e9c", "caddy": "#868e96"}


def median(values):
    """The median, or None."""
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def spread(values):
    """Half the distance between the extremes, as a share of the median."""
    values = [value for value in values if value is not None]
    middle = median(values)
    return (max(values) - min(values)) / 2 / middle if middle else None


def number(value, digits=3):
    """A number with so many digits that matter."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def table(head, rows):
    """A Markdown table."""
    lines = [head, ["--"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines) + "\n"


def per_peer(results, peers, key, ratio=True):
    """Cells for each gateway: its median, the ratio to nginx, the spread."""
    base = median([one.get(key) for one in results.get(BASE, [])])
    for peer in peers:
        values = [one.get(key) for one in results.get(peer, [])]
        middle = median(values)
        if middle is None:
            yield "-"
            continue
        times = f" ({middle / base:.2f}×)" if ratio and base and peer != BASE else ""
        yield f"{number(middle)}{times} ±{spread(values) or 0:.0%}"


def markdown(run, sections=()):
    """The whole page; sections come after everything else."""
    peers = run["peers"]
    out = [f"# Load test of {run['date']}\n\n"]
    if run["warnings"]:
        out.append("".join(f"> **Not to be quoted: {warning}**\n" for warning in run["warnings"]) + "\n")
    if run["missed"]:
        out.append("".join(f"> **Missed: {goal}**\n" for goal in run["missed"]) + "\n")
    out.append(f"{run['machine']}. {run['workers']} worker(s) for each gateway, pinned; clients and backends on the other processors. ")
    out.append(f"{run['rounds']} interleaved rounds of {run['seconds']} s; medians, the ratio to {BASE} in brackets, ± half the ")
    out.append("distance between extremes.\n\n")
    out.append("".join(f"- {name}: {version}\n" for name, version in run["versions"].items()) + "\n")
    titles = [(name, title) for name, title in run["titles"].items() if name in run["steady"]]
    for key, heading in (
        ("cpu_us", "Processor time of the gateway, µs a request"),
        ("instructions", "Instructions of the gateway a request"),
        ("rps", "Requests a second"),
        ("p50", "Half within, µs"), ("p99", "99 of 100 within, µs"), ("p999", "999 of 1,000 within, µs"),
        ("failed", "Failed requests"),
    ):
        rows = [[title, *per_peer(run["steady"][name], peers, key, key != "failed")] for name, title in titles]
        rows = [row for row in rows if any(cell != "-" for cell in row[1:])]
        if rows:
            out.append(f"## {heading}\n\n" + table(["", *peers], rows))
    if run["memory"]:
        rows = []
        for key, title, unit in (
            ("idle", "nothing open, 1,000 hosts of 10 paths", 1 << 20), ("route", "for each 1,000 routes more", 1 << 20),
            ("plain", "for each idle connection", 1 << 10), ("tls", "for each idle connection over TLS", 1 << 10),
        ):
            values = [run["memory"].get(peer, {}).get(key) for peer in peers]
            word = "MiB" if unit == 1 << 20 else "KiB"
            rows.append([f"{title}, {word}", *(number(None if value is None else value / unit) for value in values)])
        out.append("## Memory\n\n" + table(["", *peers], rows))
    if run["churn"]:
        rows = []
        for peer in peers:
            for one in run["churn"].get(peer, []):
                failures = ", ".join(f"{count} {why}" for why, count in one.get("failures", {}).items()) or "0"
                rows.append([
                    peer, number(one["requests"], 9), failures, *(number(one[key]) for key in ("p50", "p99", "quiet", "p999")),
                    one["changes"], number(one["memory"] / (1 << 20)),
                ])
        head = ["", "requests", "failed", "p50, µs", "p99, µs", "without changes", "p99.9, µs", "changes applied", "MiB"]
        heading = "Under churn: endpoints and routes change 20 times a second, 1,000 requests a second"
        out.append(f"## {heading}\n\n" + table(head, rows))
    out += sections
    out.append("Reproduce: `make loadtest`, or `loadtest/run.py --help`; what is compared and how: [README](../README.md).\n")
    return "".join(out)


def svg(run):
    """Bars: processor time of each gateway by scenario, as a multiple of nginx'."""
    peers = run["peers"]
    scenarios = [name for name in run["titles"] if median([one.get("cpu_us") for one in run["steady"].get(name, {}).get(BASE, [])])]
    bar, gap, left, width = 11, 14, 270, 420
    height = 40 + len(scenarios) * (len(peers) * bar + gap)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{height}" font-family="sans-serif" font-size="11">\n']
    out.append('<rect width="100%" height="100%" fill="white"/>\n')
    out.append(f'<text x="10" y="16" font-size="13">Processor time a request, as a multiple of nginx ({run["date"]})</text>\n')
    for place, peer in enumerate(peers):
        out.append(f'<rect x="{left + place * 80}" y="22" width="9" height="9" fill="{COLOURS[peer]}"/>')
        out.append(f'<text x="{left + place * 80 + 12}" y="31">{peer}</text>\n')
    y = 40
    most = 4.0
    for name in scenarios:
        base = median([one["cpu_us"] for one in run["steady"][name][BASE]])
        out.append(f'<text x="10" y="{y + len(peers) * bar / 2 + 4}">{run["titles"][name]}</text>\n')
        for peer in peers:
            value = median([one.get("cpu_us") for one in run["steady"][name].get(peer, [])])
            if value is not None:
                times = value / base
                long = min(times, most) / most * width
                out.append(f'<rect x="{left}" y="{y}" width="{long:.1f}" height="{bar - 2}" fill="{COLOURS[peer]}"/>')
                out.append(f'<text x="{left + long + 4:.1f}" y="{y + bar - 2}">{times:.2f}</text>\n')
            y += bar
        y += gap
    line = left + width / most
    out.append(f'<line x1="{line}" x2="{line}" y1="38" y2="{height - 6}" stroke="#2b8a3e" stroke-dasharray="3 3"/>\n</svg>\n')
    return "".join(out)
