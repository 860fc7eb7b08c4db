#!/usr/bin/env python3
"""Proves the dashboards and rules: a real Prometheus scrapes a real gateway under traffic, and every expression of
every panel and rule must find something.

    dashboards/proof/prove.py --ingora target/debug/ingora
"""

import argparse
import glob
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from shop import Site
from traffic import Traffic

HERE = os.path.dirname(os.path.abspath(__file__))
DASHBOARDS = os.path.dirname(HERE)

# What the template variables of the dashboards stand for here.
VARIABLES = {"$cluster": "proof", "$namespace": ".*", "$ingress": ".*", "$__rate_interval": "20s"}

# What cannot be there in this proof, and why.
ABSENT = {"ingora_watch_stale_seconds": "a folder of manifests has no watches"}

# Seconds of traffic before the expressions are evaluated: rates need a few scrapes, series of requests that take
# three seconds need their end.
TRAFFIC = 20


def free_port():
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def await_answer(url, seconds=30):
    """Waits until a URL answers 200."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            return urllib.request.urlopen(url, timeout=2).read()
        except OSError:
            time.sleep(0.1)
    sys.exit(f"error: {url} did not answer within {seconds} seconds")


class Prometheus:
    """A Prometheus of our own, with the rules loaded."""

    def __init__(self, folder, target):
        self.url = f"http://127.0.0.1:{free_port()}"
        config = os.path.join(folder, "prometheus.yaml")
        with open(config, "w", encoding="utf-8") as file:
            # JSON is YAML. The second job keeps Prometheus' default, as the dashboards of ingress-nginx expect.
            json.dump(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [os.path.join(DASHBOARDS, "rules", "ingora.yaml")],
                    "scrape_configs": [
                        job("ingora", target, True, {"cluster": "proof"}),
                        job("ingress-nginx", target, False, {"namespace": "gateway", "cluster": "other"}),
                    ],
                },
                file,
            )
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data", "--log.level=error"]
            + [f"--web.listen-address={self.url.removeprefix('http://')}"],
        )

    def ask(self, path, **parameters):
        """The data of an API call, or the error as text."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=20) as answer:
                return json.load(answer)["data"], None
        except urllib.error.HTTPError as error:
            return None, json.load(error).get("error", str(error))

    def complaint(self, expr):
        """Why an expression shows nothing, or None."""
        absent = any(name in expr for name in ABSENT)
        data, error = self.ask("query", query=expr)
        if error:
            return f"fails: {error}"
        values = [one["value"][1] for one in data["result"]] if data["resultType"] == "vector" else [data["result"][1]]
        if not values:
            return None if absent else "is empty"
        return "is not a number" if all(math.isnan(float(value)) for value in values) else None


def job(name, target, honor_labels, labels):
    """A scrape job."""
    static = [{"targets": [target], "labels": labels}]
    return {"job_name": name, "honor_labels": honor_labels, "static_configs": static}


def panels():
    """Every expression of every panel, with where it stands."""
    for path in sorted(glob.glob(os.path.join(DASHBOARDS, "*.json"))):
        with open(path, encoding="utf-8") as file:
            dashboard = json.load(file)
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                expr = target["expr"]
                for name, value in VARIABLES.items():
                    expr = expr.replace(name, value)
                yield f"{os.path.basename(path)}: {panel['title']}", expr


def selectors(expr):
    """The series that an expression reads. Alerts are empty while all is well; what they read must not be."""
    return re.findall(r"\b(?:(?:ingora|process)_\w+|(?:service|cluster):[\w:]+)(?:\{[^}]*\})?", expr)


def rules(prometheus):
    """Every rule as Prometheus read it."""
    data, error = prometheus.ask("rules")
    if error:
        sys.exit(f"error: {error}")
    return [rule for group in data["groups"] for rule in group["rules"]]


def check_rules(prometheus):
    """Complaints about rules."""
    for rule in rules(prometheus):
        if rule["health"] != "ok":
            yield rule["name"], rule["query"], f"is {rule['health']}: {rule.get('lastError', '')}"
        wanted = [rule["query"]] if rule["type"] == "recording" else selectors(rule["query"])
        for expr in wanted:
            complaint = prometheus.complaint(expr)
            if complaint:
                yield rule["name"], expr, complaint


def compatible():
    """The expressions that dashboards of ingress-nginx ask."""
    path = os.path.join(HERE, "ingress-nginx.txt")
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                yield "ingress-nginx.txt", line.strip()


def supports_compatibility(ingora):
    """Can the gateway publish the names of ingress-nginx?"""
    return "--metrics-compat" in subprocess.run([ingora, "run", "--help"], capture_output=True, text=True).stdout


def prove(ingora, folder):
    """Runs everything; returns complaints as (where, expression, what)."""
    compat = supports_compatibility(ingora)
    http, https, healthz, stream = free_port(), free_port(), free_port(), free_port()
    site = Site(folder, closed_port=free_port(), lost_port=free_port(), stream_port=stream)
    started = []
    try:
        started.append(
            subprocess.Popen(
                [ingora, "run", "--manifests", site.folder, "--http-port", str(http), "--https-port", str(https)]
                + ["--healthz-port", str(healthz), "--bind-address", "127.0.0.1", "--log-level", "error"]
                + ["--configmap", "shop/controller", "--tcp-services-configmap", "shop/tcp", "--metrics-per-endpoint", "100"]
                + ["--overload-memory-limit", str(4 << 30)]
                + (["--metrics-compat", "nginx"] if compat else []),
                stdout=subprocess.DEVNULL,
            )
        )
        await_answer(f"http://127.0.0.1:{healthz}/readyz")
        prometheus = Prometheus(folder, f"127.0.0.1:{healthz}")
        started.append(prometheus.process)
        await_answer(f"{prometheus.url}/-/ready")
        traffic = Traffic(site, http, https, stream)
        time.sleep(TRAFFIC / 2)
        site.mend()
        time.sleep(TRAFFIC / 2)
        expressions = [*panels(), *(compatible() if compat else [])]
        found = [(where, expr, prometheus.complaint(expr)) for where, expr in expressions]
        found = [one for one in found if one[2]] + list(check_rules(prometheus))
        traffic.stop()
        print(f"{len(expressions)} expressions of panels and {len(rules(prometheus))} rules over {traffic.sent} requests")
        return found
    finally:
        for process in started:
            process.kill()
            process.wait()


def main():
    """Exit code 0 when every expression finds something."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--ingora", default="target/debug/ingora", help="the gateway's binary")
    arguments = parser.parse_args()
    for tool in ("prometheus", "openssl"):
        if not shutil.which(tool):
            sys.exit(f"error: {tool} is missing; on Debian: apt-get install {tool}")
    with tempfile.TemporaryDirectory() as folder:
        found = prove(arguments.ingora, folder)
    for where, expr, what in found:
        print(f"error: {where}: {what}\n       {expr}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
