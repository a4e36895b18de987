"""Base of the agent tests' stand-ins for a server."""

from __future__ import annotations


class FormerServer:
    """A server of a version that has no key for the files of agents."""

    def key_of_site(self, _agent: int) -> None:
        """Answer that there is no key."""
