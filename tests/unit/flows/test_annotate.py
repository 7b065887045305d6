"""`rlhf annotate` and `rlhf annotators`: what they refuse, what they print, what they leave."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.inbox import INBOX_FILE
from data.inbox.accounts import by_token
from data.inbox.connection import open_inbox
from flows.annotate_command import link
from flows.api import free_port, is_up
from flows.spine import repository_root

START_SECONDS = 60.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "flows.cli", *arguments]


def environment(var: Path) -> dict[str, str]:
    return os.environ | {"RLHF_VAR": str(var)}


def rlhf(*arguments: str, var: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=repository_root(),
        env=environment(var),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--host", "0.0.0.0"], "--tokens FILE and --behind-tls-proxy URL"),  # noqa: S104
        (["--host", "0.0.0.0", "--tokens", "t"], "add --behind-tls-proxy URL"),  # noqa: S104
        (["--host", "10.0.0.1", "--behind-tls-proxy", "https://a.example"], "add --tokens FILE"),
        (["--host", "rank.example.org"], "--tokens FILE and --behind-tls-proxy URL"),
        (["--behind-tls-proxy", "http://a.example"], "give the address in the browser"),
        (["--behind-tls-proxy", "https://a.example/rank"], "without a path"),
        (["--lease-minutes", "0"], "give more than 0"),
        (["--port", "{taken}"], "cannot listen on 127.0.0.1"),
    ],
)
def test_what_is_not_safe_or_not_possible_is_refused(
    tmp_path: Path, arguments: list[str], text: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = rlhf("annotate", *(it.format(taken=port) for it in arguments), var=tmp_path)
    assert done.returncode == 2, done.stdout
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert "/enter/" not in done.stdout


def started(process: subprocess.Popen[str], port: int, host: str = "127.0.0.1") -> None:
    end = time.monotonic() + START_SECONDS
    while not is_up(f"http://{host}:{port}/health"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def served(
    var: Path, *arguments: str, stop: int = signal.SIGINT, host: str = "127.0.0.1"
) -> tuple[str, int]:
    """Start the page, stop it by a signal; returns its output and exit code."""
    port = free_port()
    process = subprocess.Popen(
        command("annotate", "--host", host, "--port", str(port), *arguments),
        cwd=repository_root(),
        env=environment(var),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        started(process, port, host)
        process.send_signal(stop)
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    return output, process.returncode


def links_in(text: str) -> dict[str, str]:
    return dict(re.findall(r"(\w+): (http\S+/enter/\S+)", text))


def test_the_first_start_makes_an_account_and_later_ones_show_no_link(tmp_path: Path) -> None:
    output, code = served(tmp_path)
    assert code == 0, output
    assert links_in(output).keys() == {"me"}
    assert "drafts and answers are kept" in output
    assert "Traceback" not in output
    later, _ = served(tmp_path)
    assert links_in(later) == {}
    assert "annotate --links" in later


def test_another_address_of_this_machine_is_answered_too(tmp_path: Path) -> None:
    output, code = served(tmp_path, host="127.0.0.2")
    assert code == 0, output
    assert links_in(output)["me"].startswith("http://127.0.0.2:")


def test_new_links_go_to_a_file_that_only_the_owner_reads(tmp_path: Path) -> None:
    first = rlhf("annotators", "add", "ada", "--lead", "--name", "Ada L.", var=tmp_path)
    tokens = tmp_path / "links.txt"
    tokens.write_text("old")
    tokens.chmod(0o644)
    proxy = ("--behind-tls-proxy", "https://rank.example.org")
    output, _ = served(tmp_path, "--links", "--tokens", str(tokens), *proxy, stop=signal.SIGTERM)
    assert "/enter/" not in output
    assert str(tokens) in output
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    new = links_in(tokens.read_text())["ada"]
    assert new.startswith("https://rank.example.org/enter/")
    assert new.rpartition("/")[2] != first.stdout.rpartition("/")[2].strip()


def test_links_that_cannot_be_written_leave_the_old_ones_valid(tmp_path: Path) -> None:
    added = rlhf("annotators", "add", "ada", var=tmp_path)
    missing = tmp_path / "missing" / "links.txt"
    arguments = ("--port", str(free_port()), "--links", "--tokens", str(missing))
    done = rlhf("annotate", *arguments, var=tmp_path)
    assert done.returncode == 2
    assert f"{missing} cannot be written" in done.stderr
    with open_inbox(tmp_path / INBOX_FILE) as con:
        assert by_token(con, added.stdout.rpartition("/")[2].strip())


def test_a_tokens_file_makes_no_account_unasked(tmp_path: Path) -> None:
    done = rlhf(
        "annotate", "--port", str(free_port()), "--tokens", str(tmp_path / "t"), var=tmp_path
    )
    assert done.returncode == 2
    assert "annotators add" in done.stderr


def test_accounts_are_made_listed_and_ended(tmp_path: Path) -> None:
    assert "Nobody yet" in rlhf("annotators", "list", var=tmp_path).stdout
    added = rlhf("annotators", "add", "ada", "--max-per-day", "5", var=tmp_path)
    assert re.search(r"http://127\.0\.0\.1:8765/enter/[\w-]{20,}\n", added.stdout)
    again = rlhf("annotators", "add", "ada", var=tmp_path)
    assert again.returncode == 2
    rotated = rlhf("annotators", "rotate", "ada", var=tmp_path)
    assert rotated.stdout.splitlines()[-1] != added.stdout.splitlines()[-1]
    assert rlhf("annotators", "disable", "ada", var=tmp_path).returncode == 0
    listed = rlhf("annotators", "list", var=tmp_path).stdout
    assert re.search(r"ada .* annotator .* 5 +no", listed)
    assert "/enter/" not in listed
    assert rlhf("annotators", "enable", "ada", var=tmp_path).returncode == 0
    missing = rlhf("annotators", "rotate", "eve", var=tmp_path)
    assert missing.returncode == 2
    assert "Traceback" not in missing.stderr


def test_a_second_page_on_one_inbox_is_refused(tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        command("annotate", "--port", str(port)),
        cwd=repository_root(),
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
    )
    try:
        started(process, port)
        second = rlhf("annotate", "--port", str(free_port()), var=tmp_path)
        made = rlhf("annotators", "add", "ada", var=tmp_path)
    finally:
        process.kill()
        process.wait()
    assert second.returncode == 2
    assert f"http://127.0.0.1:{port}" in second.stderr
    assert f"http://127.0.0.1:{port}/enter/" in made.stdout


@pytest.mark.parametrize(
    "arguments", [["annotate"], ["annotators"], ["annotators", "add"], ["annotators", "rotate"]]
)
def test_help_teaches(arguments: list[str], tmp_path: Path) -> None:
    done = rlhf(*arguments, "--help", var=tmp_path)
    assert done.returncode == 0
    assert len(done.stdout) > 300
    assert not list(tmp_path.iterdir())


def test_a_link_holds_the_token() -> None:
    assert link("http://127.0.0.1:8765", "abc") == "http://127.0.0.1:8765/enter/abc"
