"""Files that a disk, a kill or another version has damaged: what hypothesis draws in their place."""

import json
from typing import Any

from hypothesis import strategies as st

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes, values: bool = True) -> bytes:
    """The content of a file with a byte flipped, or (``values``) with another value somewhere in its JSON."""
    if not values or draw(st.booleans()):
        place = draw(st.integers(0, len(content) - 1))
        return content[:place] + bytes([content[place] ^ draw(st.integers(1, 255))]) + content[place + 1 :]
    lines = content.splitlines() if content.startswith(b'{"') else [content]  # one object a line, or one over many
    number = draw(st.integers(0, len(lines) - 1))
    lines[number] = json.dumps(other(draw, json.loads(lines[number]))).encode()
    return b"\n".join(lines)


def other(draw: st.DrawFn, value: Any) -> Any:
    """The value with another one in its place, or somewhere within it."""
    within = isinstance(value, list | dict) and value and draw(st.integers(0, 9))
    if not within:
        return draw(VALUES)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = draw(st.sampled_from(keys))
    if isinstance(value, dict) and draw(st.integers(0, 5)) == 0:
        return {name: one for name, one in value.items() if name != key}
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[key] = other(draw, value[key])
    return changed
