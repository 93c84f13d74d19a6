"""Who may call: edges by token, users by password and a signed token of limited life.

Nothing secret is stored as it is: tokens as SHA-256 digests (they are random, so a plain digest will do), passwords by scrypt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Mapping

import duckdb

from intdash_frames.errors import UsageError
from intdash_frames.model import EdgeType
from intdash_frames.server.store import Refused, Store, one

__all__ = ["Accounts"]

_SECRET = "jwt_secret"  # name of the row in `settings`
_HEADER = {"alg": "HS256", "typ": "JWT"}


class Accounts:
    """The accounts of one store and the checks of their credentials.

    Parameters
    ----------
    store : Store
    edges : mapping of str to str
        Edge name -> token. An edge that is not there yet is made; a token that differs from the stored one replaces it. Edges of
        the store that are not named keep the token they have.
    users : mapping of str to str
        User name -> password, likewise. A user is an edge of type ``user``.
    token_lifetime_s : float
        Life of the token that a login gives [s].

    Raises
    ------
    UsageError
        An empty name, token or password, or one token for two edges.
    """

    def __init__(
        self, store: Store, edges: Mapping[str, str], users: Mapping[str, str], *, token_lifetime_s: float = 3600
    ) -> None:
        for kind, given in (("edge", edges), ("user", users)):
            for name, secret in given.items():
                if not name or not secret:
                    raise UsageError(
                        f"{kind} {name!r}: the name and its {'token' if kind == 'edge' else 'password'} must not be empty"
                    )
        self._store, self._token_lifetime_s = store, token_lifetime_s
        with store.change() as cursor:
            self._secret = _signing_secret(cursor)
            for name, token in edges.items():
                cursor.execute(
                    "UPDATE edges SET token_digest = ? WHERE uuid = ?", [_digest(token), _account(cursor, name, EdgeType.device)]
                )
            for name, password in users.items():
                edge_uuid, salt = _account(cursor, name, EdgeType.user), secrets.token_bytes(16)
                cursor.execute("DELETE FROM users WHERE edge_uuid = ?", [edge_uuid])
                cursor.execute("INSERT INTO users VALUES (?, ?, ?)", [edge_uuid, salt, _scrypt(password, salt)])
            rows = cursor.execute("SELECT token_digest, uuid FROM edges WHERE token_digest IS NOT NULL").fetchall()
            if len(dict(rows)) < len(rows):
                raise UsageError("two edges have the same token; each edge needs its own")
        self._edge_of_digest: dict[bytes, str] = dict(rows)

    def caller(self, headers: Mapping[str, str]) -> str:
        """Find the edge that calls.

        Parameters
        ----------
        headers : mapping
            Case-insensitive. An ``X-Edge-Token`` decides, whatever ``Authorization`` says (protocol 1.2).

        Returns
        -------
        str
            Edge uuid.

        Raises
        ------
        Refused
            401.
        """
        token = headers.get("x-edge-token")
        if token is not None:
            given, found = _digest(token), None
            for digest, edge_uuid in self._edge_of_digest.items():  # all of them, so that the time taken tells nothing
                if hmac.compare_digest(digest, given):
                    found = edge_uuid
            if found is None:
                raise Refused(401, "X-Edge-Token: no edge has this token")
            return found
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(401, "no credentials: send X-Edge-Token, or Authorization: Bearer with the token of POST /api/v1/authn")
        return self._verify(bearer.strip())

    def login(self, username: str, password: str) -> str:
        """Give a signed token for a name and password (protocol 1.2).

        Raises
        ------
        Refused
            401.
        """
        with self._store.read() as cursor:
            row = one(
                cursor,
                "SELECT e.uuid, u.salt, u.digest FROM users u JOIN edges e ON e.uuid = u.edge_uuid WHERE e.name = ?",
                [username],
            )
        edge_uuid, salt, digest = row or ("", b"", b"")
        # A name that is not there takes as long as a wrong password.
        if not hmac.compare_digest(_scrypt(password, salt), digest):
            raise Refused(401, "wrong username or password")
        with self._store.change() as cursor:
            cursor.execute("UPDATE edges SET last_login_ns = ? WHERE uuid = ?", [time.time_ns(), edge_uuid])
        return self.token_of(edge_uuid)

    def token_of(self, edge_uuid: str) -> str:
        """Give a signed token of an edge."""
        claims = {"sub": edge_uuid, "exp": time.time() + self._token_lifetime_s}
        signed = ".".join(_encode(json.dumps(part).encode()) for part in (_HEADER, claims))
        return f"{signed}.{_encode(self._signature(signed))}"

    def _verify(self, token: str) -> str:
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(_decode(signature), self._signature(signed)):
            raise Refused(401, "Authorization: the token was not signed by this server")
        claims = json.loads(_decode(signed.partition(".")[2]))  # ours: nobody else can sign
        if claims["exp"] <= time.time():
            raise Refused(401, "Authorization: the token has expired; log in again")
        return str(claims["sub"])

    def _signature(self, signed: str) -> bytes:
        return hmac.digest(self._secret, signed.encode(), "sha256")


def _account(cursor: duckdb.DuckDBPyConnection, name: str, kind: EdgeType) -> str:
    row = one(cursor, "SELECT uuid FROM edges WHERE name = ?", [name])
    if row is not None:
        return str(row[0])
    edge_uuid, now_ns = str(uuid.uuid4()), time.time_ns()
    cursor.execute(
        "INSERT INTO edges VALUES (?, ?, '', ?, ?, false, ?, ?, NULL, NULL)", [edge_uuid, name, name, kind.value, now_ns, now_ns]
    )
    return edge_uuid


def _signing_secret(cursor: duckdb.DuckDBPyConnection) -> bytes:
    row = one(cursor, "SELECT value FROM settings WHERE name = ?", [_SECRET])
    if row is None:
        row = (secrets.token_bytes(32),)
        cursor.execute("INSERT INTO settings VALUES (?, ?)", [_SECRET, row[0]])
    return bytes(row[0])


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""  # equal to no signature
