"""Fixtures of the tests of the bridge."""

from __future__ import annotations

import pytest


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Refuse every connection, and give the list of those that were tried."""
    import socket

    from pyimgano_anomalib import pretrained

    tried: list[object] = []

    def refuse(*args: object, **_: object) -> None:
        tried.append(args)
        raise PermissionError("the network is blocked")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(pretrained, "_silent_until", {})
    return tried
