"""100 short cases of one submission beside 100 submissions with the same inputs."""

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.installation import Installation, InstallationError
from benchmarks.measures import Size
from benchmarks.table import Row, share

COUNT = 100
MOST = 0.1  # of the time of the submissions
PROGRAMS = {
    "python": ("main.py", "print(int(input()) * 2)\n"),
    "javascript": ("main.js", 'console.log(require("node:fs").readFileSync(0, "utf8") * 2);\n'),
    "typescript": (
        "main.ts",
        (
            'import fs from "node:fs";\n'
            'const n: number = +fs.readFileSync(0, "utf8");\n'
            "console.log(n * 2);\n"
        ),
    ),
}


def every(installation: Installation, size: Size) -> Iterator[Row]:
    """Yield a row for each template: from the first post to the last verdict."""
    for template in PROGRAMS:
        ours, other = [], []
        _submissions(installation, template, COUNT // 10)  # until its sandboxes are forked
        for _ in range(min(3, size.samples)):
            ours.append(_cases(installation, template))
            other.append(_submissions(installation, template, COUNT))
        measure = f"{COUNT} short cases, {template}, beside as many submissions in turn"
        yield share(measure, ours, other, most=MOST)


def _cases(installation: Installation, template: str) -> float:
    """Return the milliseconds until all cases of one submission are judged."""
    cases = [{"stdin": f"{n}\n", "expected_stdout": f"{n * 2}\n"} for n in range(COUNT)]
    began = time.perf_counter()
    [found] = _posted(installation, [{**_body(template), "cases": cases}])
    took = (time.perf_counter() - began) * 1000
    if found["state"] != "succeeded" or found["cases"]["passed"] != COUNT:
        raise InstallationError(f"the cases ended otherwise: {found}"[:500])
    return took


def _submissions(installation: Installation, template: str, count: int) -> float:
    """Return the milliseconds until as many submissions have ended, each after the one before."""
    bodies = [{**_body(template), "stdin": f"{n}\n"} for n in range(count)]
    began = time.perf_counter()
    found = _posted(installation, bodies)
    took = (time.perf_counter() - began) * 1000
    if [one["stdout"] for one in found] != [f"{n * 2}\n" for n in range(count)]:
        raise InstallationError(f"the submissions ended otherwise: {found[0]}"[:500])
    return took


def _body(template: str) -> dict[str, Any]:
    path, content = PROGRAMS[template]
    files = [{"path": path, "content": content}]
    return {"template": template, "mode": "run", "files": files, "wait": 60}


def _posted(installation: Installation, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Post bodies in turn on one connection, each when the one before is answered."""
    link = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=120)
    headers = {"Authorization": f"Bearer {installation.token}", "Content-Type": "application/json"}
    found = []
    try:
        for body in bodies:
            link.request("POST", "/api/v1/executions", json.dumps(body), headers)
            reply = link.getresponse()
            found.append(json.load(reply))
            if reply.status != 201:
                raise InstallationError(f"a submission was refused: {found[-1]}"[:500])
    finally:
        link.close()
    return found
