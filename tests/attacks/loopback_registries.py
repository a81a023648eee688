"""Serve registries of npm and PyPI's simple index on loopback, for attacks on the fetch step.

Each keeps the requests with their headers. A registry that requires a token repeats the received
one in its errors, as some real registries do.
"""

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Registry:
    """Answers by path; `token` is the Authorization header that it requires, if any."""

    port: int = 0
    token: str = ""
    answers: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)  # path, Authorization

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def publish_npm(
        self, name: str, version: str, files: Mapping[str, str], **fields: object
    ) -> str:
        """Publish a version of a package; return its integrity."""
        manifest = {"name": name, "version": version, **fields}
        tarball = pack({"package.json": json.dumps(manifest), **files})
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
        path = f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        self.answers[path] = tarball
        dist = {"tarball": self.url + path, "integrity": integrity}
        packument = json.loads(self.answers.get(f"/{name}", b"{}")) or {
            "name": name, "versions": {}, "dist-tags": {},
        }  # fmt: skip
        packument["versions"][version] = {**manifest, "dist": dist}
        packument["dist-tags"]["latest"] = version
        self.answers[f"/{name}"] = json.dumps(packument).encode()
        return integrity

    def publish_wheel(self, name: str, file: str, content: bytes) -> None:
        """Publish a file of a package in the simple index."""
        digest = hashlib.sha256(content).hexdigest()
        self.answers[f"/files/{file}"] = content
        line = f'<a href="{self.url}/files/{file}#sha256={digest}">{file}</a>'.encode()
        self.answers[f"/simple/{name}/"] = self.answers.get(f"/simple/{name}/", b"") + line


def pack(files: Mapping[str, str]) -> bytes:
    """Return a tarball as npm packs it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        for path, text in files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size, member.mode = len(text.encode()), 0o755
            packed.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Registry

    def do_GET(self) -> None:
        registry, given = self.registry, self.headers.get("Authorization", "")
        path = self.path.partition("?")[0].replace("%2f", "/").replace("%2F", "/")
        registry.asked.append((self.path, given))
        if registry.token and given != registry.token:
            self._say(
                401, f"no entry for {given or 'nobody'} here, wanted {registry.token}".encode()
            )
        elif path in registry.redirects:
            self._say(302, b"", location=registry.redirects[path])
        elif path in registry.answers:
            self._say(200, registry.answers[path])
        else:
            said = {"error": f"{given} asked for {self.path}, which is not here"}
            self._say(404, json.dumps(said).encode())

    def _say(self, status: int, body: bytes, location: str = "") -> None:
        self.send_response(status)
        kind = "text/html" if self.path.startswith("/simple/") else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("npm-notice", f"you sent {self.headers.get('Authorization', '')}")
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serve(token: str = "") -> Iterator[Registry]:
    """Serve a registry until the context ends."""
    registry = Registry(token=token)
    handler = type("OneHandler", (Handler,), {"registry": registry})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        registry.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()
