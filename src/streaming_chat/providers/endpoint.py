"""Where requests go, as far as messages and the HTTP client need to know it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Endpoint:
    """An address that speaks the Chat Completions API. `timeout` is in seconds."""

    base_url: str
    api_key: str
    key_variable: str
    timeout: float

    @property
    def host(self) -> str:
        """Host, and port where it is given."""
        return urlsplit(self.base_url).netloc or self.base_url

    @property
    def is_plain_loopback(self) -> bool:
        """Whether it is `http://` on this very machine."""
        parts = urlsplit(self.base_url)
        if parts.scheme != "http":
            return False
        try:
            return parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
        except ValueError:
            return False

    def without_key(self, text: str) -> str:
        """`text` with the key cut down to its last four characters."""
        return text.replace(self.api_key, f"…{self.api_key[-4:]}") if len(self.api_key) > 4 else text
