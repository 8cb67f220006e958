"""HTTP/1.1 with an end to patience: uvicorn waits for ever for the end of a request's head."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_BODY = (
    b'{"error": {"message": "the request did not arrive in time", "type": "invalid_request_error",'
    b' "param": null, "code": null}}'
)
_LATE = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class PatientProtocol(H11Protocol):
    """Refuses a connection whose next request has begun, or is the first, and does not arrive.

    The body has a limit of its own: it is the application that reads it.
    """

    def __init__(self, patience: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = patience
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Watch for a request unless one is under way: the first byte starts the clock."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_watching()
        elif self._late is None:
            self._late = self.loop.call_later(self._patience, self._refuse)

    def _stop_watching(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_LATE)
            self.transport.close()
