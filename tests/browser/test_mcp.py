"""The studio as an MCP server, asked by the protocol's own client."""

import ast
import asyncio
import base64
import json

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from flowers.data.garden import render_flower
from flowers.studio.share import EXAMPLES


def test_the_api_is_listed_as_tools_and_classify_answers(studio, tmp_path):
    render_flower("tulip", 5, 256).save(tmp_path / "tulip.png")

    async def ask():
        async with (
            streamablehttp_client(f"{studio.url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            photo = "data:image/png;base64," + base64.b64encode((tmp_path / "tulip.png").read_bytes()).decode()
            answer = await session.call_tool("classify", {"photo": photo, "checkpoint": "flowers-resnet18"})
            status = await session.call_tool("training_status", {})
            wrong = await session.call_tool("classify", {"photo": photo, "checkpoint": "/etc"})
            return tools, answer, status, wrong

    tools, answer, status, wrong = asyncio.run(ask())
    # One tool for each name of the API, and none of the page's own events.
    assert len(tools) == len(EXAMPLES)
    assert {"classify", "explain", "start_training"} <= {tool.name for tool in tools}
    assert all(tool.description for tool in tools)
    assert not answer.isError, answer.content
    told = ast.literal_eval(answer.content[0].text)
    assert told["label"] in told["confidences"]
    assert told["checkpoint"] == "flowers-resnet18"
    assert "state" in status.content[0].text
    assert wrong.isError
    assert "no checkpoint called" in json.dumps([part.text for part in wrong.content])
