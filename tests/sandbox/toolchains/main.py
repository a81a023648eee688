"""For Python: a server, a client, threads, and processes with what they share."""

import http.server
import multiprocessing
import subprocess
import threading
import urllib.request


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"talked")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def product(numbers: tuple[int, int]) -> int:
    return numbers[0] * numbers[1]


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/") as answer:
        said = answer.read().decode()
    subprocess.run(["/bin/true"], check=True)
    with multiprocessing.get_context("forkserver").Pool(2) as pool:
        print(said, pool.map(product, [(6, 7)])[0])
