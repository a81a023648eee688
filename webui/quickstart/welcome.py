"""The message that says that Stencil is ready: its address, how to sign in, a request to paste."""

import json
import shlex
import threading
from collections.abc import Callable

from core.database import connections
from webui.playground import examples
from webui.playground.examples import Example
from webui.quickstart import credentials
from webui.quickstart.credentials import Credentials


class Welcome:
    """Say that Stencil is ready once the first template can run, or when none is left to build.

    `created` are the credentials if they were made by this start. `missing` are the templates that
    are built beside. Its methods may be called from any thread.
    """

    def __init__(
        self, *, created: Credentials | None, missing: list[str], say: Callable[[str], None]
    ) -> None:
        self._created, self._say = created, say
        self._left = len(missing)
        self._lock = threading.Lock()
        self._said = False

    def serving(self) -> None:
        """Note that web and executor answer."""
        if self._left and example_to_paste() is None:
            url = credentials.base_url()
            self._say(f"web and executor answer at {url}; building {self._left} templates")
        else:
            self._say_once()

    def ended(self, name: str, good: bool) -> None:
        """Note that the build of a template has ended, and whether it has a version now."""
        if not good:
            self._say(
                f"{name}: not built. Its log is on the template's page of the dashboard; try again "
                f"there, or with: manage.py build_template {name} --promote"
            )
        with self._lock:
            self._left -= 1
        if good or self._left == 0:
            self._say_once()

    def _say_once(self) -> None:
        with self._lock:
            if self._said:
                return
            self._said = True
        self._say(ready_message(self._created))


def ready_message(created: Credentials | None) -> str:
    """Return the message: where Stencil is, how to sign in, and a request to paste.

    Password and token are in it only if this start made them, because the output of `up` often
    ends in a log. Otherwise it says where they are kept.
    """
    kept = credentials.load()
    lines = [f"\nStencil is ready: {credentials.base_url()}"]
    if created is not None:
        lines += [f"  user      {created.admin.username}"]
        lines += [
            f"  password  {created.admin.password}",
            f"  kept in   {credentials.path()}\n",
        ]
    elif kept is not None:
        lines += [f"  user      {kept.admin.username}"]
        lines += [f"  password and token are kept in {credentials.path()}\n"]
    else:
        lines.append(
            f"The admin exists, but {credentials.path()} is gone. Set a password with\n"
            "manage.py changepassword admin, make a token with manage.py create_token."
        )
    if kept is not None:
        example = example_to_paste()
        token = created.token if created else token_from_file()
        if example is not None:
            lines += [f"Try it:\n\n{curl(kept.url, token, example)}\n"]
        else:
            lines.append("Nothing is built yet: build a template in the dashboard.\n")
    lines.append("Ctrl-C stops it.")
    return "\n".join(lines)


def example_to_paste() -> Example | None:
    """Return an example of a built template: if possible one with a failing and a passing test."""
    try:
        groups = examples.example_groups()
    finally:
        connections.release()  # threads that build call this, too
    shown = [examples.to_show(groups, group.template) for group in groups]
    others = [example for group in groups for example in group.examples]
    return next((example for example in (*shown, *others) if example is not None), None)


def token_from_file() -> str:
    """Return a shell expression that reads the token from its file, so that it is not printed."""
    path = shlex.quote(str(credentials.path()))
    return f'$(sed -n \'s/.*"token": *"\\([^"]*\\)".*/\\1/p\' {path})'


def curl(url: str, token: str, example: Example) -> str:
    """Return a request to paste into a shell. Quotes within the JSON are escaped.

    `token` may be a shell expression; its header then stands in double quotes.
    """
    quote = "'" if token.isalnum() or "$" not in token else '"'
    files = [{"path": path, "content": content} for path, content in example.files]
    request = {"template": example.template, "mode": example.mode, "wait": True, "files": files}
    request |= {"args": list(example.args)} if example.args else {}
    request |= {"stdin": example.stdin} if example.stdin else {}
    body = json.dumps(request, indent=1).replace("'", "\\u0027")
    return (
        f"curl -s {url}/api/v1/executions \\\n"
        f"  -H {quote}Authorization: Bearer {token}{quote} \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )
