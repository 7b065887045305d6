"""What a page is started with."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
UI_VERSION = "rank-ui/1"
MAX_BODY_BYTES = 262_144
SESSION_LIFETIME = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """What the operator decides.

    Attributes:
        inbox: The inbox's file.
        hosts: Names, without port, under which browsers may ask for the page.
        is_behind_tls: Whether a proxy in front speaks https to browsers.
        lease_seconds: How long a set stays reserved for the annotator who has it.
    """

    inbox: Path
    hosts: tuple[str, ...] = LOOPBACK_HOSTS
    is_behind_tls: bool = False
    lease_seconds: float = 1800.0

    @property
    def scheme(self) -> str:
        """Of the address in the browser."""
        return "https" if self.is_behind_tls else "http"

    @property
    def cookie_name(self) -> str:
        """The prefix makes browsers refuse the cookie without https, and from other hosts."""
        return "__Host-rlhf" if self.is_behind_tls else "rlhf_session"
