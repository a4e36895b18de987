"""Stand-in for a mail server on loopback: it speaks as much SMTP as a client of `smtplib` needs, and stores the mails.

It is not a mail server: it checks no address, relays nothing and knows no TLS.
"""

from __future__ import annotations

import base64
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

POLL_S = 0.02


@dataclass
class StoredMail:
    """A mail as it came, with the addresses of its envelope."""

    sender: str
    recipients: list[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        found = message_from_bytes(self.content, policy=default)
        assert isinstance(found, EmailMessage)
        return found


@dataclass
class MailServer:
    """Mails that came; `refuses` are recipients that are refused, `answer` replaces that to the whole mail."""

    port: int = 0
    refuses: frozenset[str] = frozenset()
    answer: str = "250 taken"
    logins: list[str] = field(default_factory=list)
    mails: list[StoredMail] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """A running server on a free port."""
    told = MailServer()
    with _Server(("127.0.0.1", 0), _handler(told)) as server:
        told.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_S})
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


def _handler(told: MailServer) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.sender, self.recipients = "", list[str]()
            self._say("220 stand-in")
            while line := self.rfile.readline().decode("ascii").strip():
                if line.upper() == "QUIT":
                    self._say("221 bye")
                    return
                self._say(self._answer(line))

        def _answer(self, line: str) -> str:
            verb = line.split(":", maxsplit=1)[0].split(maxsplit=1)[0].upper()
            if verb == "EHLO":
                return "250-stand-in\r\n250 AUTH PLAIN"
            if verb == "AUTH":
                told.logins.append(base64.b64decode(line.split()[2]).decode())
                return "235 welcome"
            if verb == "MAIL":
                self.sender = line.partition("<")[2].partition(">")[0]
            if verb == "RCPT":
                recipient = line.partition("<")[2].partition(">")[0]
                if recipient in told.refuses:
                    return "550 unknown"
                self.recipients.append(recipient)
            return self._take() if verb == "DATA" else "250 well"

        def _take(self) -> str:
            self._say("354 go on")
            lines = []
            while (line := self.rfile.readline()) != b".\r\n":
                lines.append(line.removeprefix(b"."))
            if told.answer.startswith("2"):
                told.mails.append(StoredMail(self.sender, self.recipients, b"".join(lines)))
            return told.answer

        def _say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode("ascii"))

    return Handler
