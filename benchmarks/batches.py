"""A batch of submissions beside as many posts on one connection that stays open."""

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.installation import Installation, InstallationError
from benchmarks.measures import Size
from benchmarks.table import Row, faster

COUNT = 100
PROGRAM = {
    "template": "javascript",
    "mode": "run",
    "files": [{"path": "main.js", "content": "console.log(1);\n"}],
}


def every(installation: Installation, size: Size) -> Iterator[Row]:
    """Yield the time until 100 submissions are accepted, in one request and in 100."""
    ours, other = [], []
    for _ in range(min(3, size.samples)):
        ours.append(_accepted(installation, "/batch", [{"submissions": [PROGRAM] * COUNT}]))
        other.append(_accepted(installation, "", [PROGRAM] * COUNT))
    measure = f"{COUNT} submissions accepted, as a batch beside as many posts"
    yield faster(measure, ours, other, least=2)


def _accepted(installation: Installation, path: str, bodies: list[Any]) -> float:
    """Return the milliseconds until all bodies are answered; wait for the ends afterwards."""
    link = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=90)
    headers = {"Authorization": f"Bearer {installation.token}", "Content-Type": "application/json"}
    found: list[str] = []
    try:
        began = time.perf_counter()
        for body in bodies:
            link.request("POST", f"/api/v1/executions{path}", json.dumps(body), headers)
            reply = link.getresponse()
            said = json.load(reply)
            items = said["items"] if path else [{"status": reply.status, "execution": said}]
            if any(item["status"] != 201 for item in items):
                raise InstallationError(f"a submission was refused: {said}"[:500])
            found += [item["execution"]["id"] for item in items]
        took = (time.perf_counter() - began) * 1000
        for identifier in found:  # so that the next turn finds an idle executor
            link.request("GET", f"/api/v1/executions/{identifier}?wait=60", headers=headers)
            link.getresponse().read()
    finally:
        link.close()
    return took
