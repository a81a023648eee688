"""Class 3: a submission reaches no address that the host reaches."""

import json
import socket
from typing import Any

import pytest

from execapp.deliveries import attempts, outbox
from execapp.deliveries.rules import rules
from execapp.deliveries.sending import Cutter
from tests import minimal_template
from tests.attacks.attack import Attack, call, program, shell, tries
from tests.attacks.conftest import Assault
from tests.execapp.conftest import Api

NOBODY = ("ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH", "EACCES", "EADDRNOTAVAIL", "EINVAL")
PLACES = {
    "the host's loopback": "@PORT@, '127.0.0.1'",
    "the host's loopback, another address of it": "@PORT@, '127.1.2.3'",
    "the host's loopback by zero": "@PORT@, '0.0.0.0'",
    "the host's loopback by IPv6": "@PORT@, '::1'",
    "the host's loopback, mapped": "@PORT@, '::ffff:127.0.0.1'",
    "the host's own address": "@PORT@, '@ADDRESS@'",
    "PostgreSQL": "5432, '127.0.0.1'",
    "Redis": "6379, '127.0.0.1'",
    "the service itself": "8000, '127.0.0.1'",
    "cloud metadata": "80, '169.254.169.254'",
    "cloud metadata, AWS by IPv6": "80, 'fd00:ec2::254'",
    "container metadata": "80, '169.254.170.2'",
    "cloud metadata, Alibaba": "80, '100.100.100.200'",
    "docker's bridge": "2375, '172.17.0.1'",
    "a private network": "80, '10.0.0.1'",
    "the internet": "443, '1.1.1.1'",
    "the internet by IPv6": "443, '2606:4700:4700::1111'",
}
DATAGRAM = """await new Promise((done) => { const socket = dgram.createSocket('udp4');
    socket.on('error', (error) => done(error.code));
    socket.bind(() => { try { @SETUP@ } catch (error) { done(error.code) }
      socket.send('x', @TO@, (error) => {
        done(error ? error.code : 'OK'); socket.close(); }); }); })"""


def datagram(name: str, to: str, setup: str = "") -> Attack:
    return tries(name, DATAGRAM.replace("@TO@", to).replace("@SETUP@", setup), *NOBODY, "EPERM")


ATTACKS: tuple[Attack, ...] = (
    *(tries(name, f"reach({at})", *NOBODY) for name, at in PLACES.items()),
    tries("a Unix socket of the host", "reach('@SOCKET@')", "ENOENT", "EACCES"),
    tries("docker's socket", "reach('/var/run/docker.sock')", "ENOENT", "EACCES"),
    tries("the system bus", "reach('/run/dbus/system_bus_socket')", "ENOENT", "EACCES"),
    tries("the executor's socket", "reach('@HOME@/var/executor.sock')", "ENOENT", "EACCES"),
    tries("an abstract socket of the host", r"reach('\0@ABSTRACT@')", "ECONNREFUSED"),
    datagram("a name server", "53, '8.8.8.8'"),
    datagram("the local name server", "53, '169.254.1.1'"),
    datagram("a broadcast", "9, '255.255.255.255'", "socket.setBroadcast(true);"),
    datagram("a multicast", "5353, '224.0.0.251'"),
    tries(
        "a name by the resolver",
        "new Promise((done) => import('node:dns').then((dns) => dns.lookup('example.com',"
        " (error) => done(error ? 'refused' : 'OK'))))",
        "refused",
    ),
    program("interfaces", "say(Object.keys(os.networkInterfaces()));", ["lo"]),
    program("names of the host's sockets", "say(/@ABSTRACT@|host.sock/.test("
            "fs.readFileSync('/proc/net/unix', 'utf8')));", False),
    program("routes of the host", "say(fs.readFileSync('/proc/net/route', 'utf8').trim()"
            ".split('\\n').length);", 1),
    program("connections of the host", "say(fs.readFileSync('/proc/net/tcp', 'utf8').trim()"
            ".split('\\n').length);", 1),
    shell("bash's own network", "bash -c 'exec 4<>/dev/tcp/127.0.0.1/@PORT@' 2>/dev/null"
          " && echo reached || echo refused", "refused"),
    call("vsock", "EPERM"),
    call("new_link", "EPERM"),
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_no_address_is_reached(attack: Attack, assault: Assault) -> None:
    assault(attack)


URLS = [
    "http://127.0.0.1:6379/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:127.0.0.1]/",
    "http://0x7f.1/",
    "http://2130706433/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "file:///etc/passwd",
    "http://example.com@127.0.0.1/",
]


@pytest.mark.parametrize("url", URLS)
def test_no_callback_reaches_what_the_host_reaches(url: str, api: Api) -> None:
    """Check that such an address is refused at the submission. Names: tests/execapp/deliveries."""
    body = {**minimal_template.HELLO.body(), "callback_url": url}
    response = api.call("POST", "/executions", json.dumps(body))
    assert response.status_code == 422, response.content
    assert response.json()["error"]["details"]["fields"][0]["path"] == "callback_url"


def test_no_name_of_a_private_address_is_called_back(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that the resolver's answer is judged before a connection is made."""
    real = socket.getaddrinfo

    def resolver(host: str, *args: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == "localtest.me" else host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        url = f"http://localtest.me:{trap.getsockname()[1]}/"
        made = api.submit(callback_url=url)
        api.call("POST", f"/executions/{made['id']}/cancel")
        claimed = outbox.claim(worker="w")
        assert claimed is not None
        attempts.run(delivery=claimed, rules=rules(), cutter=Cutter())
        (found,) = api.get(f"/executions/{made['id']}/deliveries")["items"]
        assert found["attempts"][0]["error"] == "The host has no public address."
        with pytest.raises(BlockingIOError):
            trap.accept()
