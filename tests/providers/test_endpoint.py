"""Which addresses are near enough for a key without encryption."""

from __future__ import annotations

import pytest

from streaming_chat.providers.endpoint import Endpoint


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("https://api.example.com/v1", False),
        ("http://api.example.com/v1", True),
        ("http://8.8.8.8/v1", True),
        ("http://[2001:4860:4860::8888]/v1", True),
        ("http://localhost:8080/v1", False),
        ("http://127.0.0.1/v1", False),
        ("http://127.9.9.9/v1", False),
        ("http://[::1]:80/v1", False),
        ("http://192.168.1.5:11434/v1", False),
        ("http://10.0.0.1/v1", False),
        ("http://172.20.0.2/v1", False),
        ("http://169.254.1.1/v1", False),
        ("http://[fe80::1%25eth0]/v1", False),
        ("http://ollama:11434/v1", False),
        ("http://box.local/v1", False),
        ("http://box.home.arpa/v1", False),
        ("http://notlocal/v1", False),
        ("http://local.example.com/v1", True),
        # As a resolver reads them, and a reader does not.
        ("http://134744072/v1", True),
        ("http://0x08080808/v1", True),
        ("http://010.8.8.8/v1", True),
        ("http://evil。example/v1", True),
        ("http://evil.example%2f.local/v1", True),
    ],
)
def test_a_key_is_exposed_on_plain_http_to_a_public_host(url: str, exposed: bool) -> None:
    assert Endpoint(url, "sk-key", "OPENAI_API_KEY", 1.0).is_exposed is exposed


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost/v1", True),
        ("http://127.0.0.1:1/v1", True),
        ("http://[::1]/v1", True),
        ("https://127.0.0.1/v1", False),
        ("http://192.168.1.5/v1", False),
        ("http://localhost.example.com/v1", False),
    ],
)
def test_only_this_machine_is_loopback(url: str, loopback: bool) -> None:
    assert Endpoint(url, "", "OPENAI_API_KEY", 1.0).is_plain_loopback is loopback


def test_the_key_is_cut_down_wherever_a_server_repeats_it() -> None:
    endpoint = Endpoint("https://x.test/v1", "sk-secret-1234", "OPENAI_API_KEY", 1.0)
    assert endpoint.without_secret("no sk-secret-1234 here, sk-secret-1234") == "no …1234 here, …1234"
    assert Endpoint("https://x.test/v1", "", "K", 1.0).without_secret("text") == "text"
