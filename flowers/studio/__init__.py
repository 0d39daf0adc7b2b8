"""The page. It is made with Gradio, which is imported here first, in a little more than half its usual time."""

import gc
import importlib
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _Spared:
    """Lets Gradio be imported as ever, except for two things that no setting of its turns off.

    ``gradio.component_meta`` writes no type stubs. For every component, at every start, Gradio parses its source and
    renders the .pyi file beside it anew, for editors: 40 % of its import.

    ``mcp`` seems not to be installed. Gradio imports it whether it serves it or not: a fifth of a second. See
    ``allow_mcp``.
    """

    @classmethod
    def find_spec(cls, name: str, path: list[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "mcp":
            raise ModuleNotFoundError("left out until it is asked for", name="mcp")
        if name != "gradio.component_meta" or not (spec := PathFinder.find_spec(name, path, target)):
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            module.create_or_modify_pyi = lambda *_: None

        spec.loader.exec_module = exec_module
        return spec


def _import_gradio() -> None:
    sys.meta_path.insert(0, _Spared)
    gc.disable()  # an import leaves no garbage, only half a million objects to search for some: another 10 %
    try:
        import gradio  # noqa: F401
    finally:
        gc.freeze()  # nor need later searches look there
        gc.enable()
        sys.meta_path.remove(_Spared)


def allow_mcp() -> None:
    """Let Gradio have the package that its MCP server needs. Raises ImportError where it is not installed."""
    import mcp  # noqa: F401

    importlib.reload(sys.modules["gradio.mcp"])


_import_gradio()
