# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""The fused video on a page of this machine, as a stream of JPEG images that every browser shows."""

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from PIL import Image

HOST = "127.0.0.1"
"""Nobody else in the network sees what the cameras do."""

BOUNDARY = "frame"
PAGE = (
    b"<!doctype html><title>MaeFuse</title><style>body{margin:0;background:#111}"
    b"img{display:block;margin:auto;max-width:100vw;max-height:100vh}</style>"
    b'<img src="/stream" alt="Fused infrared and visible video">'
)


class MjpegPage:
    """Serves `/`, a page, and `/stream`, the frames as they come; each viewer gets the last one.

    Args:
        port: 0 for any that is free.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int) -> None:
        self.jpeg = b""
        self.number = 0
        self.closed = False
        self.news = threading.Condition()
        try:
            self.server = ThreadingHTTPServer((HOST, port), handler_for(self))
        except (OSError, OverflowError) as error:
            raise OSError(f"Port {port} cannot be used ({error}). Choose another with --http.") from error
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, name="page", daemon=True)

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        return f"http://{HOST}:{self.server.server_address[1]}"

    def __enter__(self) -> "MjpegPage":
        self.thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self.news:
            self.closed = True
            self.news.notify_all()
        self.server.shutdown()
        self.server.server_close()

    def show(self, image: Image.Image) -> None:
        """Show the next frame."""
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        with self.news:
            self.jpeg, self.number = file.getvalue(), self.number + 1
            self.news.notify_all()

    def after(self, known: int) -> tuple[bytes, int] | None:
        """The last frame as JPEG, once it is another than that of this number, and its number.

        None at the end, when a viewer has seen the last one.
        """
        with self.news:
            self.news.wait_for(lambda: self.number > known or self.closed)
            return (self.jpeg, self.number) if self.number > known else None


def handler_for(page: MjpegPage) -> type[BaseHTTPRequestHandler]:
    """What answers a browser."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(PAGE)
            elif self.path == "/stream":
                self.stream()
            else:
                self.send_error(404)

        def stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            number = 0
            while (news := page.after(number)) is not None:
                jpeg, number = news
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                except OSError:
                    return  # the viewer has gone

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
