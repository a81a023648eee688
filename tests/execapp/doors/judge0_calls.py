"""python judge0_calls.py <language> <program>: Judge0's quick start; print the results as JSON.

The official client finds the server by JUDGE0_CE_ENDPOINT and JUDGE0_CE_AUTH_HEADERS.
"""

import json
import sys
from typing import Any

import judge0


def shown(result: Any) -> dict[str, Any]:
    """Return the parts of a result that are compared."""
    names = ("stdout", "stderr", "message", "exit_code", "time", "memory", "expected_output")
    return {"status": result.status.value, **{name: getattr(result, name) for name in names}}


language = getattr(judge0, sys.argv[1])
echo, loop, boom = sys.argv[2:5]
client = judge0.get_client()
single = judge0.run(source_code=echo, stdin="Bob", language=language)
plain = judge0.run(source_code=sys.argv[5])  # the client resolves a flavor of its own
cases = judge0.run(
    source_code=echo,
    language=language,
    test_cases=[("Ann", "hello Ann"), judge0.TestCase("Bob", "hello Ann")],
)
late = judge0.run(source_code=loop, language=language, wall_time_limit=1, cpu_time_limit=1)
failed = judge0.run(source_code=boom, language=language)
print(
    json.dumps(
        {
            "version": client.version,
            "statuses": len(client.get_statuses()),
            "single": shown(single),
            "plain": plain.stdout,
            "cases": [shown(case) for case in cases],
            "late": shown(late),
            "failed": shown(failed),
        }
    )
)
