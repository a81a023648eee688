"""python aiopyston_calls.py <base> <token> <echo>: use aiopyston; print its results as JSON.

A program of its own: the client schedules a task when it is collected, after its loop has closed.
"""

import asyncio
import json
import sys
from typing import Any

import pyston
from pyston.exceptions import ExecutionError


async def use(base: str, token: str, echo: str) -> dict[str, Any]:
    """Return what the client returns."""
    client = pyston.PystonClient(api_key=token, base_url=base)
    file = pyston.File(echo, filename="main.mjs")
    errors = []
    for language, more in (("tiny", {"run_timeout": 20_001}), ("tiny", {"version": "9"})):
        try:
            await client.execute(language, [file], **more)
        except ExecutionError as error:
            errors.append(str(error))
    runtimes = [each.language for each in await client.runtimes()]
    done = await client.execute("tiny", [file], stdin="typed", args=["x"])
    await client.close_session()
    return {"runtimes": runtimes, "stdout": done.run_stage.stdout, "errors": errors}


print(json.dumps(asyncio.run(use(*sys.argv[1:]))))
