"""One attempt of a delivery: resolve, check, connect to the checked address, send, read the answer.

The connection is made to the address that was checked, so a second answer of the resolver changes
nothing. Host, SNI and the verification of the certificate use the name. Proxies of the environment
are not used. Each redirect goes the same way.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from execapp.deliveries import addresses, urls
from execapp.deliveries.rules import MAX_REDIRECTS, Rules

ANSWER_BYTES = 1000  # of the receiver's answer on record
BODY_SECONDS = 2.0  # for these bytes, once the status is known
MOST_ADDRESSES = 3  # of one host that an attempt tries
ENDED = "The attempt was ended."
FOLLOWED = frozenset({301, 302, 307, 308})  # with the same method; 303 would drop the body


@dataclass(frozen=True, kw_only=True)
class Message:
    """A request to send."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The outcome of one attempt. Without a status no answer came, and `error` says why."""

    duration_ms: float
    status: int | None = None
    error: str = ""
    text: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the receiver has taken the message."""
        return not self.error and self.status is not None and 200 <= self.status < 300


class AttemptError(Exception):
    """The attempt failed; the message is a sentence for the record."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Cutter:
    """Ends the connection of one attempt from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.was_cut = self.stopped = False

    def watch(self, connected: socket.socket) -> None:
        """Cut this connection from now on. Raise AttemptError if `cut` was called before."""
        with self._lock:
            self._socket = connected
            if self.was_cut:
                raise AttemptError(ENDED)

    def cut(self, *, stopping: bool = False) -> None:
        """End the connection: whoever reads or writes it gets an error at once. Any thread.

        `stopping`: not the receiver is the reason, but the end of the executor.
        """
        with self._lock:
            self.was_cut = True
            self.stopped = self.stopped or stopping
            if self._socket is not None:
                with suppress(OSError):  # it is closed already
                    self._socket.shutdown(socket.SHUT_RDWR)


def send(message: Message, *, rules: Rules, cutter: Cutter) -> Answer:
    """Send one message, and return the outcome. It never takes longer than the rules allow.

    Only the machine's resolver has time-outs of its own. Never raises for anything that a
    receiver does.
    """
    started = time.monotonic()
    watchdog = threading.Timer(rules.seconds, cutter.cut)
    watchdog.daemon = True
    watchdog.start()
    status, error, text = None, "", ""
    try:
        status, text = _follow(message, rules, started + rules.seconds, cutter)
    except AttemptError as failure:
        status, error = failure.status, str(failure)
    except (HTTPError, http.client.HTTPException, OSError, ValueError) as failure:
        error = _explain(failure)
    finally:
        watchdog.cancel()
    if error and cutter.was_cut:
        error = f"There was no complete answer within {rules.seconds:g} seconds."
    duration = round((time.monotonic() - started) * 1000, 3)
    return Answer(duration_ms=duration, status=status, error=error, text=text)


def _follow(message: Message, rules: Rules, deadline: float, cutter: Cutter) -> tuple[int, str]:
    """Return the status and the first bytes of the last answer."""
    status: int | None = None
    try:
        target = urls.parse(message.url, rules.networks)
        for _ in range(MAX_REDIRECTS + 1):
            status, location, text = _exchange(target, message, rules, deadline, cutter)
            if status not in FOLLOWED or not location:
                return status, text
            target = urls.redirected(target, location, rules.networks)
    except urls.UrlError as refused:
        what = "The redirect is refused: " if status else ""
        raise AttemptError(f"{what}{refused.message}", status) from refused
    except addresses.BlockedError as refused:
        what = "The redirect is refused: the" if status else "The"
        raise AttemptError(f"{what} host has no public address.", status) from refused
    text = f"There are more than {MAX_REDIRECTS} redirects."
    raise AttemptError(text, status)


def _exchange(
    target: urls.Target, message: Message, rules: Rules, deadline: float, cutter: Cutter
) -> tuple[int, str, str]:
    """Return the status, the header Location and the first bytes of one answer."""
    connection = _connect(target, rules, deadline)
    try:
        assert connection.sock is not None  # noqa: S101 - connected above
        connection.sock.settimeout(_left(deadline))
        cutter.watch(connection.sock)
        headers = {
            **message.headers,
            "Host": target.authority,
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        connection.request(
            message.method,
            target.path,
            body=message.body,
            headers=headers,
            preload_content=False,
            decode_content=False,
        )
        response = connection.getresponse()
        if cutter.was_cut:  # the end of the connection also ends the headers
            raise AttemptError(ENDED)
        location = response.headers.get("Location", "")
        return response.status, location, _first_bytes(response, connection.sock, deadline)
    finally:
        connection.close()


def _connect(target: urls.Target, rules: Rules, deadline: float) -> HTTPConnection:
    """Return a connection to one of the allowed addresses of the host."""
    try:
        found = addresses.resolve(target.host, target.port, rules.networks)
    except (OSError, UnicodeError) as failure:
        message = "The name of the host could not be resolved."
        raise AttemptError(message) from failure
    last: Exception | None = None
    for address in found[:MOST_ADDRESSES]:
        connection = _made(target, address, _left(deadline))
        try:
            connection.connect()
        except (HTTPError, OSError) as failure:
            connection.close()
            last = failure
        else:
            return connection
    assert last is not None  # noqa: S101 - there is at least one address
    raise last


def _made(target: urls.Target, address: str, seconds: float) -> HTTPConnection:
    if target.scheme == "http":
        return HTTPConnection(address, target.port, timeout=seconds)
    return HTTPSConnection(
        address,
        target.port,
        timeout=seconds,
        server_hostname=target.host,
        ssl_context=ssl.create_default_context(),
    )


def _first_bytes(
    response: BaseHTTPResponse, connected: socket.socket | None, deadline: float
) -> str:
    """Return the beginning of the answer's body. Its status counts, also if the body breaks off."""
    until, data = min(deadline, time.monotonic() + BODY_SECONDS), b""
    with suppress(HTTPError, http.client.HTTPException, OSError, ValueError, AttemptError):
        while len(data) < ANSWER_BYTES:
            if connected is not None:
                connected.settimeout(_left(until))
            read = response.read1(ANSWER_BYTES - len(data))
            if not read:
                break
            data += read
    return data[:ANSWER_BYTES].decode("utf-8", "replace").replace("\0", "�")


def _left(deadline: float) -> float:
    """Return the seconds until then. Raise AttemptError if the time is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        message = "The time for the attempt is over."
        raise AttemptError(message)
    return left


def _explain(failure: Exception) -> str:
    """Return a sentence without the address, which may come from the resolver of this network."""
    seen: BaseException | None = failure
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"The certificate of the host is not valid: {seen.verify_message}"[:300]
        if isinstance(seen, ssl.SSLError):
            return f"TLS failed: {seen.reason or 'the connection was closed'}"[:300]
        if isinstance(seen, TimeoutError):
            return "The receiver did not answer in time."
        if isinstance(seen, OSError) and seen.strerror:
            return f"The connection failed: {seen.strerror}."[:300]
        seen = seen.__cause__ or seen.__context__ or _reason(seen)
    return f"The receiver did not answer as HTTP/1.1 ({type(failure).__name__})."


def _reason(failure: BaseException) -> BaseException | None:
    for each in failure.args:
        if isinstance(each, BaseException):
            return each
    return None
