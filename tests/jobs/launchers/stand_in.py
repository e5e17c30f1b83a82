"""A worker that records nothing: it does what its job document says.

Needs nothing but an interpreter, so that it starts in milliseconds, in any container too.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

TAKES_NO_DOCUMENT = 64
FINISHED = 0


def main() -> int:
    if sys.argv[-1] == "recover":
        print("recovered", flush=True)
        return FINISHED
    try:
        source = sys.argv[-1]
        job = json.loads(sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes())
    except (OSError, ValueError):
        return TAKES_NO_DOCUMENT
    stopped = []
    signal.signal(
        signal.SIGTERM, lambda *_: None if job.get("ignores_stop") else stopped.append(True)
    )
    if "exit" in job:
        return int(job["exit"])
    print("environment", json.dumps(dict(os.environ)), flush=True)
    print("arguments", json.dumps(sys.argv), flush=True)
    print("directory", Path.cwd(), flush=True)
    print(Path("/proc/self/status").read_text(), flush=True)
    for name in job.get("writes", ()):
        try:
            Path(name).write_text("written")
            print("wrote", name, flush=True)
        except OSError as exc:
            print("refused", name, exc.strerror, flush=True)
    for part in range(job.get("chatter", 0)):
        print(part, "x" * 1000, flush=True)
    print("ready", len(job.get("secret", "")), flush=True)
    while not stopped:
        time.sleep(0.02)
    time.sleep(job.get("drains_s", 0))
    print("drained after", len(stopped), "signals", flush=True)
    return FINISHED


if __name__ == "__main__":
    sys.exit(main())
