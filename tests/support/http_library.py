"""The library whose client the SDK's own derives from: httpx up to SDK 2, another one with the same names from 3 on."""

from __future__ import annotations

import importlib

import openai

_PACKAGES = [base.__module__.partition(".")[0] for base in openai.DefaultHttpxClient.__mro__]
httpx = importlib.import_module(next(name for name in _PACKAGES if name != "openai"))
