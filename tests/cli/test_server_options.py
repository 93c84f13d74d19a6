import pytest
import typer

from intdash_frames import LocalServer
from intdash_frames.cli.server_options import connect
from tests.cli.conftest import Run


def test_a_client_is_made_from_the_two_options(server: LocalServer) -> None:
    with connect(server.url, "s3cret") as client:
        assert client.edges.me().name == "demo"


@pytest.mark.parametrize(
    ("url", "token", "missing"), [(None, "t", "INTDASH_URL"), ("http://127.0.0.1:1", "", "INTDASH_EDGE_TOKEN")]
)
def test_a_missing_option_is_named_with_its_variable(url: str | None, token: str | None, missing: str) -> None:
    with pytest.raises(typer.BadParameter, match=missing):
        connect(url, token)


def test_the_environment_stands_in_for_the_options(run: Run, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("edges").code == 2
    monkeypatch.setenv("INTDASH_URL", server.url)
    assert run("edges").code == 2
    monkeypatch.setenv("INTDASH_EDGE_TOKEN", "s3cret")
    assert run("edges").code == 0
    assert run("edges", "--token", "wrong").code == 1


def test_help_shows_no_token(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTDASH_EDGE_TOKEN", "s3cret")
    ran = run("edges", "--help")
    assert "INTDASH_EDGE_TOKEN" in ran.out
    assert "s3cret" not in ran.out + ran.err
