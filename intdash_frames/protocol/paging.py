"""The walks through a long answer: what to ask next, without asking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from intdash_frames.errors import RemoteProtocolError
from intdash_frames.protocol.endpoints import Request

__all__ = ["PageWalk"]


class PageWalk:
    """Follow a list from page to page.

    Parameters
    ----------
    first : Request
        The request for the first page.
    base_url : str
        What the client puts before every path; a link to anywhere else is refused.

    Attributes
    ----------
    request : Request or None
        What to ask next; None at the end.

    Notes
    -----
    The link is a server path with query and is followed exactly as given. The walk also ends on an empty link and on one that was
    followed before, so that a confused server cannot hold it for ever. Source: protocol 2.1.
    """

    def __init__(self, first: Request, *, base_url: str) -> None:
        self.request: Request | None = first
        self._base_url = base_url.rstrip("/")
        self._followed: set[str] = {first.target}

    def receive(self, page: Mapping[str, Any]) -> None:
        """Take the answer to `request` and set the next one.

        Raises
        ------
        RemoteProtocolError
            If the link leads to another origin or is no path.
        """
        asked, self.request = self.request, None
        links = page.get("page") if isinstance(page, Mapping) else None
        if asked is None or not isinstance(links, Mapping) or links.get("last"):
            return
        target = self._path_of(links.get("next") or "")
        if target and target not in self._followed:
            self._followed.add(target)
            self.request = Request("GET", target, accept=asked.accept)

    def _path_of(self, link: object) -> str:
        if not isinstance(link, str):
            raise RemoteProtocolError(f"the link to the next page is {link!r}, expected a path")
        if link.startswith(f"{self._base_url}/"):
            link = link[len(self._base_url) :]
        # Joined to the base URL as text, so "@host/" or ".host/" would lead elsewhere just as "http://host/" would.
        if link and (not link.startswith("/") or link.startswith("//")):
            raise RemoteProtocolError(
                f"the link to the next page is {link[:100]!r}, expected a path on {urlsplit(self._base_url).netloc}"
            )
        return link
