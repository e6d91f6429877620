"""Fetch one file over HTTP in bounded time and memory."""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread

import requests
from tqdm import tqdm
from urllib3.exceptions import MaxRetryError, ReadTimeoutError


@dataclass(frozen=True)
class Limits:
    """Seconds: to connect, without a byte, for one file in all, and before each further try."""

    connect: float
    read: float
    total: float
    pauses: tuple[float, ...]


LIMITS = Limits(connect=10, read=30, total=600, pauses=(1, 4))


class FetchError(Exception):
    """Why a source did not give a file.

    `retry`: trying again may help. `give_up`: the source won't give any other file either.
    """

    def __init__(self, reason: str, *, retry: bool = False, give_up: bool = False) -> None:
        super().__init__(reason)
        self.retry = retry
        self.give_up = give_up


class _NotThereError(FetchError):
    """The server says that it has no such file."""


def get(urls: Sequence[str], most: int, name: str, limits: Limits) -> bytes:
    """Return the content of the first of `urls` that is there, of up to `most` bytes.

    Faults that may pass (a lost connection, silence, HTTP 429 and 5xx) are tried again. A terminal
    sees a progress bar called `name`. Raises FetchError.
    """
    deadline = time.monotonic() + limits.total

    def first() -> bytes:
        for url in urls[:-1]:
            try:
                return _persist(url, most, name, limits, deadline)
            except _NotThereError:
                continue
        return _persist(urls[-1], most, name, limits, deadline)

    return _within(limits.total, first)


def _within(seconds: float, work: Callable[[], bytes]) -> bytes:
    """Do `work`, but wait for it no longer than `seconds`.

    Only a thread of its own can do that: a server that drips single bytes passes every time limit
    of a socket, and the look-up of a name has none.
    """
    result: Future[bytes] = Future()

    def target() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    Thread(target=target, daemon=True).start()
    try:
        return result.result(seconds)
    except TimeoutError:
        raise FetchError(f"took more than {seconds:g} s", give_up=True) from None


def _persist(url: str, most: int, name: str, limits: Limits, deadline: float) -> bytes:
    for pause in limits.pauses:
        try:
            return _try(url, most, name, limits, deadline)
        except FetchError as error:
            if not error.retry or time.monotonic() > deadline:
                raise
        time.sleep(pause)
    return _try(url, most, name, limits, deadline)


def _try(url: str, most: int, name: str, limits: Limits, deadline: float) -> bytes:
    try:
        with requests.get(
            url,
            stream=True,
            timeout=(limits.connect, limits.read),
            headers={"Accept-Encoding": "identity"},
        ) as response:
            status = response.status_code
            if status in (403, 404, 410):  # 403 is S3's answer for what isn't there
                raise _NotThereError(f"HTTP {status}")
            if status != 200:
                raise FetchError(f"HTTP {status}", retry=status == 429 or status >= 500)
            return _body(response, most, name, deadline)
    except requests.RequestException as error:
        raise _explain(error, limits) from None
    except ValueError:  # requests lets some through for impossible host names
        raise FetchError("not a valid URL", give_up=True) from None


def _body(response: requests.Response, most: int, name: str, deadline: float) -> bytes:
    length = response.headers.get("Content-Length", "")
    body = bytearray()
    with tqdm(
        total=int(length) if length.isdecimal() else None,
        desc=name,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=not sys.stderr.isatty(),
    ) as bar:
        for chunk in response.iter_content(1 << 16):
            body += chunk
            bar.update(len(chunk))
            if len(body) > most:
                raise FetchError(f"sent more than {most:,} bytes")
            if time.monotonic() > deadline:  # nobody waits any more
                raise FetchError("too slow", give_up=True)
    return bytes(body)


def _explain(error: requests.RequestException, limits: Limits) -> FetchError:
    """Put requests' error into words, without the URL: it may hold a password."""
    inner = error.args[0] if error.args else None
    if isinstance(error, requests.ConnectTimeout):
        return FetchError(f"no connection within {limits.connect:g} s", give_up=True)
    if isinstance(inner, MaxRetryError):  # the only one that means: not connected
        reason = inner.reason or inner
        cause = reason.__cause__ or next(iter(reason.args), None)  # SSLError has it as argument
        why = getattr(cause, "strerror", None) or type(reason).__name__
        return FetchError(f"cannot connect: {why}", give_up=True)
    if isinstance(error, requests.Timeout) or isinstance(inner, ReadTimeoutError):
        return FetchError(f"sent nothing for {limits.read:g} s", retry=True, give_up=True)
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return FetchError("connection lost", retry=True)
    return FetchError(f"cannot be fetched ({type(error).__name__})", give_up=True)
