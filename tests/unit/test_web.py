"""Servers that don't send what they should."""

import gzip
from pathlib import Path

import pytest

from mnist_vae import web
from mnist_vae.download import fetch
from tests.support.mirrors import (
    CONTENT,
    FILES,
    FIRST,
    LIMITS,
    Answer,
    Handler,
    Server,
    assert_whole,
    body,
    cut_without_length,
    drip,
    drip_header,
    fill,
    half,
    hang,
    hang_half_way,
    in_turn,
    mirror,
    refusal,
    serve,
    status,
)

IMPATIENT = web.Limits(connect=5, read=0.5, total=30, pauses=(0.01, 0.01))


def test_web_page_instead_of_the_file(server: Server) -> None:
    server.answers[f"/data/{FIRST.name}.gz"] = body(b"\n<!DOCTYPE html><p>Please log in" * 20)
    assert refusal(mirror(server.url)) == "a web page instead of the file"


@pytest.mark.parametrize(
    ("answer", "reason", "tries"),
    [
        (body(b"\0" * FIRST.size), "wrong SHA-256", 1),
        (body(CONTENT[FIRST.name] + b"\0"), f"more than {FIRST.size:,} bytes", 1),
        (body(CONTENT[FIRST.name][:-1]), f"only {FIRST.size - 1:,} of {FIRST.size:,} bytes", 1),
        (body(b"\0" * 1_000_000), f"sent more than {FIRST.size + (1 << 16):,} bytes", 1),
        (body(gzip.compress(bytes(50_000_000))), f"unpacks to more than {FIRST.size:,} bytes", 1),
        (body(b"\x1f\x8bjunk"), "damaged or truncated .gz", 1),
        (cut_without_length(gzip.compress(CONTENT[FIRST.name])), "damaged or truncated .gz", 1),
        (body(b"junk", Content_Encoding="gzip"), "cannot be fetched (ContentDecodingError)", 1),
        (status(401), "HTTP 401", 1),
        (status(429), "HTTP 429", 3),
        (status(503), "HTTP 503", 3),
        (half(CONTENT[FIRST.name]), "connection lost", 3),
        (lambda handler: None, "connection lost", 3),
        (hang, "sent nothing for 0.5 s", 3),
        (hang_half_way, "sent nothing for 0.5 s", 3),
    ],
)
def test_bad_answer(server: Server, answer: Answer, reason: str, tries: int) -> None:
    server.answers[f"/data/{FIRST.name}.gz"] = answer
    limits = IMPATIENT if answer in (hang, hang_half_way) else LIMITS
    assert refusal(mirror(server.url, limits)) == reason
    assert server.asked == [f"/data/{FIRST.name}.gz"] * tries


def test_faults_that_pass_are_tried_again(tmp_path: Path, server: Server) -> None:
    whole = CONTENT[FIRST.name]
    server.answers[f"/data/{FIRST.name}.gz"] = in_turn(status(503), half(whole), body(whole))
    fetch([FIRST], tmp_path, [mirror(server.url)])
    assert_whole(tmp_path, (FIRST,))


@pytest.mark.parametrize("answer", [drip, drip_header])
def test_dripping_server_is_left(tmp_path: Path, server: Server, answer: Answer) -> None:
    serve(server, ".gz")
    server.answers[f"/data/{FIRST.name}.gz"] = answer
    slow = mirror(server.url, web.Limits(connect=5, read=5, total=0.5, pauses=()))
    folder = mirror(str(fill(tmp_path / "folder", "")))
    fetch(FILES, tmp_path / "raw", [slow, folder])
    assert_whole(tmp_path / "raw")
    assert set(server.asked) <= {f"/data/{FIRST.name}.gz"}  # the others were not asked of it


def test_redirect_loop(server: Server) -> None:
    def loop(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", handler.path)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.answers[f"/data/{FIRST.name}.gz"] = loop
    assert refusal(mirror(server.url)) == "cannot be fetched (TooManyRedirects)"


@pytest.mark.parametrize("url", ["http://", "http://[", "http://..", "https://:x/", "http://a b/"])
def test_impossible_url(url: str) -> None:
    assert refusal(mirror(url))
