"""The page. It is made with Gradio, which is imported here first, in a little more than half its usual time."""

import gc
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _WithoutStubs:
    """Lets ``gradio.component_meta`` be imported as ever, except that it writes no type stubs.

    For every component, at every start, Gradio parses its source and renders the .pyi file beside it anew, for
    editors: 40 % of its import. No setting of its turns that off.
    """

    @classmethod
    def find_spec(cls, name: str, path: list[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "gradio.component_meta" or not (spec := PathFinder.find_spec(name, path, target)):
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            module.create_or_modify_pyi = lambda *_: None

        spec.loader.exec_module = exec_module
        return spec


def _import_gradio() -> None:
    sys.meta_path.insert(0, _WithoutStubs)
    gc.disable()  # an import leaves no garbage, only half a million objects to search for some: another 10 %
    try:
        import gradio  # noqa: F401
    finally:
        gc.freeze()  # nor need later searches look there
        gc.enable()
        sys.meta_path.remove(_WithoutStubs)


_import_gradio()
