"""Where requests go, as far as messages and the HTTP client need to know it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from streaming_chat.core.json_text import from_json
from streaming_chat.text.secret import holds_secret, is_secret, values_without_secret, without_secret

#: Domains for local use alone: RFC 6761 (localhost), RFC 6762 (local), RFC 8375 (home.arpa), ICANN 2024 (internal).
_NEAR = (".localhost", ".local", ".home.arpa", ".internal")


#: An address in a form that has gone out of use: whoever writes one has something to hide.
_NUMBER = re.compile(r"[0-9a-fx.]*[0-9][0-9a-fx.]*|0x[0-9a-f]*", re.IGNORECASE)


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
    def address(self) -> tuple[str, int]:
        """Host and port to connect to."""
        parts = urlsplit(self.base_url)
        return parts.hostname or "", parts.port or (443 if self.is_https else 80)

    @property
    def is_https(self) -> bool:
        """Whether what is sent is encrypted."""
        return urlsplit(self.base_url).scheme == "https"

    @property
    def proxy(self) -> str | None:
        """The proxy that the environment names for this address, without its credentials."""
        if self.is_plain_loopback:
            # A proxy in the environment is for other machines: it would get to see what is meant for this one.
            return None
        from urllib.request import getproxies, proxy_bypass

        parts = urlsplit(self.base_url)
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if not proxy or proxy_bypass(parts.netloc):
            return None
        return proxy.rpartition("@")[2].partition("//")[2] or proxy.rpartition("@")[2]

    @property
    def is_openai(self) -> bool:
        """Whether it is OpenAI's own: encrypted, at api.openai.com or a region's name below it."""
        host = urlsplit(self.base_url).hostname or ""
        return self.is_https and (host == "api.openai.com" or host.endswith(".api.openai.com"))

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

    @property
    def is_exposed(self) -> bool:
        """Whether what is sent can be read on the way: `http://` to a host that is not known to be near.

        Near are loopback, private and link-local addresses, and names that only a local network resolves.
        """
        parts = urlsplit(self.base_url)
        if parts.scheme != "http":
            return False
        # As the resolver will read it: full-width dots are dots, and 134744072 and 0x08080808 are addresses.
        host = unicodedata.normalize("NFKC", parts.hostname or "").replace("。", ".")
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            if _NUMBER.fullmatch(host):
                return True
            return ("." in host and not host.endswith(_NEAR)) or "%" in host
        return not (address.is_loopback or address.is_private or address.is_link_local)

    @property
    def secret(self) -> str:
        """The key, where it is one that is masked; else ""."""
        return self.api_key if is_secret(self.api_key) else ""

    def without_secret(self, text: str) -> str:
        """`text`, JSON or not, with the key masked."""
        return without_secret(text, self.api_key)

    def from_json(self, data: str) -> Any:
        """What `data` stands for, with the key masked in its texts. ValueError, RecursionError when it is not JSON.

        Only there: a key that looks like a piece of JSON would change what an answer says.
        """
        value = from_json(data)
        return values_without_secret(value, self.api_key) if holds_secret(data, self.api_key) else value
