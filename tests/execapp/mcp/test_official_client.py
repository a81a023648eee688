"""Test the door for MCP with the official Python client, unmodified, on a live server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from asgiref.sync import sync_to_async
from mcp import types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from execapp.executor.daemon import Daemon
from execapp.models import Execution
from tests.execapp.conftest import Api, make_api
from tests.timeouts import HANGS_SECONDS
from webui.server.bounds import Bounds

HELLO = {"path": "main.mjs", "content": "console.log('hello', process.argv[2])"}
TESTS = "export default { adds() {}, fails() { throw new Error('3 is not 4') } }"


@pytest.fixture
def web(web_process: Callable[[], str]) -> str:
    """Return the address of a live server of the whole application."""
    return web_process()


def talk[T](web: str, secret: str, act: Callable[[Client], Awaitable[T]], mode: str = "auto") -> T:
    """Connect with the official client, and return what `act` returns."""

    async def whole() -> T:
        headers = {"Authorization": f"Bearer {secret}"}
        async with httpx2.AsyncClient(headers=headers, timeout=HANGS_SECONDS) as http:
            transport = streamable_http_client(f"{web}/mcp", http_client=http)
            async with asyncio.timeout(HANGS_SECONDS), Client(transport, mode=mode) as client:
                return await act(client)

    return asyncio.run(whole())


def refused(text: str) -> pytest.RaisesGroup[MCPError]:
    """Expect that the client raises an error with this text, within any groups of its tasks."""
    return pytest.RaisesGroup(
        pytest.RaisesExc(MCPError, match=text), flatten_subgroups=True, allow_unwrapped=True
    )


def data(result: types.CallToolResult) -> dict[str, Any]:
    assert not result.is_error, result.content
    found = result.structured_content
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_connect_list_and_call(api: Api, executor: Daemon, web: str, mode: str) -> None:
    async def act(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"run_code", "run_tests", "list_templates", "get_execution"}
        assert tools["run_code"].output_schema is not None
        listed = data(await client.call_tool("list_templates", {}))
        assert [each["name"] for each in listed["templates"]] == ["tiny"]
        ran = data(
            await client.call_tool(
                "run_code", {"template": "tiny", "files": [HELLO], "args": ["you"]}
            )
        )
        assert (ran["state"], ran["finished"], ran["exit_code"]) == ("succeeded", True, 0)
        assert (ran["stdout"], ran["template"]) == ("hello you\n", "tiny@1")
        again = data(await client.call_tool("get_execution", {"id": ran["id"]}))
        assert again == ran

    talk(web, api.secret, act, mode)
    row = Execution.objects.get()
    assert (row.client, row.token_id, row.mode) == ("ci-bot", api.token.id, "run")


def test_tests_have_their_results(api: Api, executor: Daemon, web: str) -> None:
    files = [{"path": "a.test.mjs", "content": TESTS}]

    async def act(client: Client) -> dict[str, Any]:
        return data(await client.call_tool("run_tests", {"template": "tiny", "files": files}))

    found = talk(web, api.secret, act)
    assert found["mode"] == "test"
    assert (found["tests"]["passed"], found["tests"]["failed"]) == (1, 1)
    assert "3 is not 4" in {case["message"] for case in found["tests"]["cases"]}


def test_what_is_not_over_is_asked_for_again(api: Api, alive: object, web: str) -> None:
    async def act(client: Client) -> dict[str, Any]:
        call = {"template": "tiny", "files": [HELLO], "wait_seconds": 0.05}
        made = data(await client.call_tool("run_code", call))
        again = {"id": made["id"], "wait_seconds": 0.05}
        assert data(await client.call_tool("get_execution", again))["id"] == made["id"]
        return made

    found = talk(web, api.secret, act)
    assert (found["state"], found["finished"]) == ("queued", False)


def test_refused_without_the_scope(current: object, alive: object, web: str) -> None:
    async def run(client: Client) -> None:
        assert len((await client.list_tools()).tools) == 4
        await client.call_tool("run_code", {"template": "tiny", "files": [HELLO]})

    async def read(client: Client) -> None:
        await client.call_tool("list_templates", {})

    with refused("'execute'"):
        talk(web, make_api("reader", "read").secret, run)
    with refused("'read'"):
        talk(web, make_api("runner", "execute").secret, read)
    with refused("valid token"):
        talk(web, "stn_wrong", read)
    assert not Execution.objects.exists()


def test_errors_tell_the_model_what_to_correct(api: Api, alive: object, web: str) -> None:
    calls: list[tuple[dict[str, Any], str]] = [
        ({"template": "nowhere", "files": [HELLO]}, "unknown_template"),
        ({"template": "tiny", "files": [{"path": "../x", "content": ""}]}, "files.0.path"),
        ({"template": "tiny", "files": [HELLO], "shell": True}, "shell"),
        ({"template": "tiny", "files": [HELLO], "wait_seconds": 61}, "wait_seconds"),
        ({"template": "tiny", "files": [HELLO], "limits": {"wall_ms": 10**9}}, "limits.wall_ms"),
    ]

    async def act(client: Client) -> None:
        for arguments, text in calls:
            result = await client.call_tool("run_code", arguments)
            assert result.is_error
            assert isinstance(result.content[0], types.TextContent)
            assert text in result.content[0].text, arguments
        missing = await client.call_tool("get_execution", {"id": "0198"})
        assert missing.is_error
        with pytest.raises(MCPError, match="must be one of"):
            await client.call_tool("rm", {})

    talk(web, api.secret, act)
    assert not Execution.objects.exists()


def test_a_client_sees_its_own_executions_only(api: Api, alive: object, web: str) -> None:
    made = api.submit()

    async def act(client: Client) -> types.CallToolResult:
        return await client.call_tool("get_execution", {"id": made["id"]})

    assert talk(web, make_api("other", "read").secret, act).is_error
    assert not talk(web, make_api("boss", "admin").secret, act).is_error


def test_waits_hold_no_thread(api: Api, alive: object, web: str) -> None:
    count = Bounds.threads + 8

    async def act(client: Client) -> list[str]:
        call = {"template": "tiny", "files": [HELLO], "wait_seconds": 5}
        waits = [asyncio.ensure_future(client.call_tool("run_code", call)) for _ in range(count)]
        while await sync_to_async(Execution.objects.count)() < count:
            await asyncio.sleep(0.02)
        listed = await client.call_tool("list_templates", {})
        assert not listed.is_error
        assert any(not wait.done() for wait in waits)
        return [data(await wait)["state"] for wait in waits]

    assert talk(web, api.secret, act) == ["queued"] * count
