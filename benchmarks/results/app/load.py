"""Measures `e2 app` under load: starts it, lets locust's shoppers in, samples its memory, writes metrics.json.

python benchmarks/results/app/load.py INDEX CAPTIONER [--users 50] [--minutes 10]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import psutil

from e2.version import __version__

HERE = Path(__file__).parent
PORT = 7869


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index")
    parser.add_argument("captioner")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--out", type=Path, default=HERE / "metrics.json")
    asked = parser.parse_args()
    command = ["e2", "app", "--index", asked.index, "--captioner", asked.captioner, "--port", str(PORT)]
    app = subprocess.Popen(command)
    try:
        about = wait_for_app()
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            memory = shop(asked, app.pid, Path(folder))
            requests = json.loads((Path(folder) / "locust.json").read_text())
    finally:
        app.terminate()
        app.wait()
    found = {
        "benchmark": "app-load",
        "users": asked.users,
        "minutes": asked.minutes,
        "app": about,
        "cpus": os.cpu_count(),
        "load_average_at_the_end": [round(load, 1) for load in os.getloadavg()],
        "memory_mb": {"start": memory[0], "each_minute": memory[12::12], "end": memory[-1], "peak": max(memory)},
        "requests": {entry["name"]: row(entry) for entry in sorted(requests, key=lambda entry: entry["name"])},
        "seconds": round(time.monotonic() - started, 1),
        "version": __version__,
    }
    asked.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found["requests"], indent=2), found["memory_mb"])


def wait_for_app() -> dict:
    for _ in range(120):
        try:
            return json.load(urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api/about", timeout=5))
        except OSError:
            time.sleep(1)
    raise SystemExit("the app did not start")


def shop(asked: argparse.Namespace, app: int, folder: Path) -> list[int]:
    """Runs locust, and returns the app's resident memory in MB every five seconds."""
    options = f"--headless --only-summary --host http://127.0.0.1:{PORT} -u {asked.users} -r 5 -t {round(60 * asked.minutes)}s"
    files = ["-f", str(HERE / "locustfile.py"), "--json-file", str(folder / "locust")]
    command = [sys.executable, "-m", "locust", *files, *options.split()]
    locust = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    process, memory = psutil.Process(app), []
    while locust.poll() is None:
        memory.append(process.memory_info().rss // 2**20)
        time.sleep(5)
    return memory


def row(entry: dict) -> dict:
    """Counts and response times in ms; locust keeps a histogram of times, rounded to two digits from 100 ms on."""
    times = np.repeat([int(float(ms)) for ms in entry["response_times"]], list(entry["response_times"].values()))
    percentiles = {f"p{p}_ms": int(np.percentile(times, p, method="inverted_cdf")) for p in (50, 95, 99)}
    return {"count": len(times), "failures": entry["num_failures"], **percentiles}


if __name__ == "__main__":
    main()
