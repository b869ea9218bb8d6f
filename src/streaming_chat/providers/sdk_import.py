"""The import of the SDK, which is most of the time between start and request.

Who uses this package from Python gets the SDK imported as usual (`import_openai`). The program itself takes a short way:
`import openai` imports the types of every endpoint that OpenAI has: 0.3 s, on the machine of docs/performance.md. A client
needs none of them, and the modules that make one take half of that. So the package is put in place unopened, its modules are
imported by themselves, and whoever asks the package for something later opens it. Nothing of the SDK is changed. Where its
parts lie elsewhere, in a version to come, it is imported as usual.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType, SimpleNamespace
from typing import Any, Final

#: What is used of the SDK, and where it lies.
_PARTS: Final = {
    "OpenAI": "openai._client",
    "DefaultHttpxClient": "openai._base_client",
    "Stream": "openai._streaming",
    "APIConnectionError": "openai._exceptions",
}
#: What the package defines itself under a name that looks private.
_PUBLIC: Final = frozenset({"__all__", "__title__", "__version__"})


class _Unopened(ModuleType):
    """A package whose modules can be imported; its own code runs once somebody asks for what it defines."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and name not in _PUBLIC:
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment] # what importlib's own LazyLoader does
        if self.__spec__ is not None and self.__spec__.loader is not None:
            self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def import_openai() -> Any:
    """Import the SDK as usual, for a program that may use it otherwise too. ModuleNotFoundError without it."""
    return import_module("openai")


def import_sdk() -> Any:
    """Import what a client needs, for a program that has no other use for the SDK.

    Return an object with the SDK's parts by name (`_PARTS`). ModuleNotFoundError without it."""
    # The collector looks at every object made so far, again and again, while hundreds of classes are being defined: a
    # fifth of the import. None of them is garbage.
    enabled = gc.isenabled()
    gc.disable()
    try:
        return _parts()
    finally:
        if enabled:
            gc.enable()


def _parts() -> Any:
    known = set(sys.modules)
    if "openai" not in known:
        spec = find_spec("openai")
        if spec is None:
            return import_module("openai")
        package = module_from_spec(spec)
        package.__class__ = _Unopened
        sys.modules["openai"] = package
    try:
        return SimpleNamespace(**{name: getattr(import_module(module), name) for name, module in _PARTS.items()})
    except (ImportError, AttributeError):
        for name in set(sys.modules) - known:
            if name.partition(".")[0] == "openai":
                del sys.modules[name]
        return import_module("openai")
