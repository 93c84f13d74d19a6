from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from intdash_frames.client.credentials import (
    EdgeToken,
    PasswordLogin,
    SessionCredentials,
    SourcedToken,
    StaticTokenSource,
    TokenSource,
    credentials_from,
)
from intdash_frames.errors import RemoteProtocolError, UsageError
from intdash_frames.protocol.call import Request
from intdash_frames.transport.seam import Response

SECRET = "s3cr3t"


class Logins:
    """A server's side of logging in: gives the tokens one after the other."""

    def __init__(self, *tokens: Any) -> None:
        self.tokens, self.requests = list(tokens), list[Request]()

    def __call__(self, request: Request) -> Response:
        import json

        self.requests.append(request)
        return Response(200, {}, json.dumps({"token": self.tokens.pop(0)}).encode())


def test_a_login_is_made_once_and_again_when_it_was_refused() -> None:
    send, login = Logins("one", "two"), PasswordLogin("alice", SECRET)
    assert send.requests == []
    first = login.headers(send)
    assert login.headers(send) == first == {"Authorization": "Bearer one"}
    assert login.renew(first)
    assert login.headers(send) == {"Authorization": "Bearer two"}
    # another thread that was refused with the old token does not throw the new one away
    assert login.renew(first)
    assert login.headers(send) == {"Authorization": "Bearer two"}
    assert len(send.requests) == 2
    assert send.requests[0].body == b'{"username":"alice","password":"s3cr3t"}'


@pytest.mark.parametrize("token", [None, "", 5, "line\nend"])
def test_a_login_that_gives_no_token_is_the_servers_fault(token: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="without a usable token"):
        PasswordLogin("alice", SECRET).headers(Logins(token))


def test_a_source_is_asked_for_every_request() -> None:
    class Source(TokenSource):
        count = 0

        def token(self) -> str:
            self.count += 1
            return f"token-{self.count}"

    credentials = SourcedToken(Source())
    assert credentials.headers(Logins()) == {"Authorization": "Bearer token-1"}
    assert credentials.headers(Logins()) == {"Authorization": "Bearer token-2"}
    assert credentials.renew({})
    assert StaticTokenSource("x").token() == "x"


MAKERS: dict[str, Callable[[], Any]] = {
    "edge token": lambda: EdgeToken(SECRET),
    "login": lambda: PasswordLogin("alice", SECRET),
    "source": lambda: SourcedToken(StaticTokenSource(SECRET)),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_secret_is_not_shown_and_not_pickled(make: Callable[[], Any]) -> None:
    credentials = make()
    credentials.headers(Logins("jwt-of-mine"))
    assert SECRET not in repr(credentials)
    assert SECRET not in str(vars(credentials).get("_source", ""))
    assert credentials.redact(f"<{SECRET}>") == "<***>"
    for travel in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="not pickled"):
            travel(credentials)


def test_a_jwt_is_taken_out_of_texts_too() -> None:
    login = PasswordLogin("alice", SECRET)
    login.headers(Logins("jwt-of-mine"))
    assert login.redact("<jwt-of-mine>") == "<***>"


@pytest.mark.parametrize("secret", ["", "with space", "line\nend", "schlüssel", 5, b"x"])
def test_a_secret_that_cannot_stand_in_a_header_is_refused_unseen(secret: Any) -> None:
    for make in (EdgeToken, StaticTokenSource):
        with pytest.raises(UsageError) as caught:
            make(secret)
        assert not secret or str(secret) not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "no credentials; give edge_token="),
        ({"edge_token": "x", "username": "u", "password": "p"}, "edge_token= and username= and password= were given together"),
        ({"edge_token": "x", "token_source": StaticTokenSource("y")}, "give one of them"),
        ({"username": "u"}, "password= is missing"),
        ({"password": "p"}, "username= is missing"),
        ({"username": "u", "password": ""}, "password= is empty"),
        ({"token_source": "a token"}, r"token\(\) -> str"),
    ],
)
def test_credentials_that_cannot_work_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        credentials_from(**given)


def test_a_session_goes_alone_or_with_credentials() -> None:
    assert isinstance(credentials_from(session=object()), SessionCredentials)
    assert isinstance(credentials_from(session=object(), edge_token="x"), EdgeToken)
    assert SessionCredentials().headers(Logins()) == {}
    assert not SessionCredentials().renew({})
