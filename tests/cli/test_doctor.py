import platform
from importlib import metadata

import pytest

from intdash_frames import LocalServer
from intdash_frames.cli import doctor
from tests.cli.conftest import Run
from tests.transport.loopback import Loopback


def found(out: str) -> dict[str, str]:
    """What stands beside each name; a mark before it is kept."""
    lines = [line.split(maxsplit=2 if line.startswith("!") else 1) for line in out.splitlines()]
    return {" ".join(line[:-1]): line[-1] for line in lines}


def test_versions_are_those_installed_and_developers_tools_are_left_out(run: Run) -> None:
    ran = run("doctor")
    assert (ran.code, ran.err) == (0, "")
    lines = found(ran.out)
    assert lines["python"].startswith(platform.python_version())
    for name in ("intdash-frames", "pandas", "numba", "duckdb"):
        assert lines[name] == metadata.version(name)
    assert "pytest" not in lines
    assert "INTDASH_URL" in lines["server"]
    assert len(lines) == len(ran.out.splitlines()), "a name stands there twice"


def test_a_server_that_lets_us_in_is_fine(run: Run, server: LocalServer) -> None:
    ran = run("doctor", "--url", server.url, "--token", "s3cret")
    assert (ran.code, ran.err) == (0, "")
    assert found(ran.out)["server"].startswith(f"{server.url}, version ")
    assert "'demo'" in found(ran.out)["token"]
    assert "s3cret" not in ran.out


def test_a_refused_token_is_told_from_a_server_that_is_not_there(run: Run, server: LocalServer) -> None:
    refused = run("doctor", "--url", server.url, "--token", "hunter2")
    assert refused.code == 1
    assert found(refused.out)["server"].endswith("answers")
    assert "401" in found(refused.out)["! token"]
    assert "hunter2" not in refused.out + refused.err

    with Loopback() as listener:
        gone = listener.url
    absent = run("doctor", "--url", gone, "--token", "hunter2")
    assert absent.code == 1
    assert "no connection" in found(absent.out)["! server"]
    assert "! token" not in found(absent.out)


def test_a_server_without_a_token_to_try_is_incomplete_advice(run: Run, server: LocalServer) -> None:
    ran = run("doctor", "--url", server.url)
    assert ran.code == 1
    assert "--token" in found(ran.out)["! token"]


def test_an_address_that_is_none_is_said(run: Run) -> None:
    ran = run("doctor", "--url", "ftp://example.org", "--token", "t")
    assert ran.code == 1
    assert "ftp" in found(ran.out)["! server"]


def test_what_is_missing_names_the_extra_or_is_a_fault(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["no-such-thing>=1", 'no-such-extra>=1; extra == "server"', 'no-such-tool>=1; extra == "dev"']
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: needs)
    ran = run("doctor")
    assert ran.code == 1
    lines = found(ran.out)
    assert "! no-such-thing" in lines
    assert "intdash-frames[server]" in lines["no-such-extra"]
    assert not any("no-such-tool" in name for name in lines)
