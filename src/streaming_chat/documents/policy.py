"""What a browser may do with a page of this program: show it."""

from __future__ import annotations

import base64
import hashlib


def policy(style: str, *scripts: str) -> str:
    """A Content-Security-Policy (Level 3) that allows this style and these scripts, by their hashes, and nothing else."""
    allowed = f"; script-src {' '.join(map(_hash, scripts))}" if scripts else ""
    return f"default-src 'none'; style-src {_hash(style)}{allowed}; base-uri 'none'; form-action 'none'"


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
