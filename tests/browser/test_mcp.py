"""The studio as an MCP server, asked by the protocol's own client."""

import ast
import asyncio
import base64
import io
import json

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from flowers.data.garden import render_flower
from flowers.studio.share import EXAMPLES


@pytest.fixture
def ask(studio):
    """``ask(name, **arguments)`` is a tool's answer; ``ask()`` are the tools."""

    def ask(name: str = "", **arguments):
        async def asking():
            async with (
                streamablehttp_client(f"{studio.url}/gradio_api/mcp/") as (read, write, _),
                ClientSession(read, write) as session,
            ):
                await session.initialize()
                return await (session.call_tool(name, arguments) if name else session.list_tools())

        return asyncio.run(asking())

    return ask


@pytest.fixture(scope="module")
def photo() -> str:
    file = io.BytesIO()
    render_flower("tulip", 5, 256).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def test_there_is_a_tool_for_each_name_of_the_api_and_none_for_the_pages_own_events(ask):
    tools = ask().tools
    assert len(tools) == len(EXAMPLES)
    assert {"classify", "explain", "start_training", "evaluate_checkpoint"} <= {tool.name for tool in tools}
    assert all(tool.description for tool in tools)


def test_classify_answers(ask, photo):
    answer = ask("classify", photo=photo, checkpoint="flowers-resnet18")
    assert not answer.isError, answer.content
    told = ast.literal_eval(answer.content[0].text)
    assert told["label"] in told["confidences"]
    assert told["checkpoint"] == "flowers-resnet18"


def test_what_takes_no_arguments_answers(ask):
    assert "state" in ask("training_status").content[0].text


def test_a_mistake_is_told_in_a_sentence(ask, photo):
    wrong = ask("classify", photo=photo, checkpoint="/etc")
    assert wrong.isError
    assert "no checkpoint called" in json.dumps([part.text for part in wrong.content])
