"""The connector as a process: what it refuses, and how it starts and ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mesos_twisted.config import load
from mesos_twisted.connect.config import ConnectConfig
from mesos_twisted.connect.main import start
from mesos_twisted.connect.settings import allowed_users, check
from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.security.net import authority


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"master": ("a:1",)}, "--tls_ca_file is required"),
        ({"tls_ca_file": "x"}, "Give either --master"),
        ({"tls_ca_file": "x", "master": ("a:1",), "agent": "b:2"}, "Give either --master"),
        ({"tls_ca_file": "x", "master": ("a",)}, "--master=a is not an address"),
        ({"tls_ca_file": "x", "agent": "a"}, "--agent=a is not an address"),
        ({"tls_ca_file": "x", "agent": "a:1", "listen": ()}, "--listen is empty"),
        ({"tls_ca_file": "x", "agent": "a:1", "listen": ("10.1.1.1:1",)}, "loopback only"),
        ({"tls_ca_file": "x", "master": ("a:1",), "zk_acl": "x:y"}, "--zk_acl needs --announce"),
        ({"tls_ca_file": "x", "agent": "a:1", "announce": "zk://a:1/x"}, "needs --master"),
        (
            {"tls_ca_file": "x", "master": ("a:1",), "announce": "zk://a:1/x", "zk_acl": "y"},
            "Bad value for --zk_acl",
        ),
        (
            {
                "tls_ca_file": "x",
                "master": ("a:1",),
                "announce": "zk://a:1/x",
                "listen": ("unix:/x",),
            },
            "IPv4 loopback",
        ),
        (
            {"tls_ca_file": "x", "master": ("zk://a:1/x",), "announce": "zk://a:1/x"},
            "where the masters contend",
        ),
        ({"tls_ca_file": "x", "agent": "a:1", "allow_uid": ("no such",)}, "no such user"),
    ],
)
def test_wrong_settings_are_one_sentence(settings, sentence):
    with pytest.raises(MalformedError, match=sentence):
        check(ConnectConfig(**settings))


def test_root_and_our_own_user_may_always_connect():
    settings = ConnectConfig(allow_uid=("1234", "root"))
    assert allowed_users(settings) == {0, os.geteuid(), 1234}


def test_help_needs_no_settings(capsys):
    assert start(["--help"]) == 0
    assert "--allow_uid" in capsys.readouterr().out


def test_it_tells_systemd_reads_certificates_again_and_ends_when_asked(tmp_path):
    authority.make_authority(tmp_path / "certs", "test")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(20)
        command = [sys.executable, "-m", "mesos_twisted", "connect", "--master=localhost:1"]
        command += [f"--tls_ca_file={tmp_path}/certs/ca.pem", f"--listen=unix:{tmp_path}/door"]
        process = subprocess.Popen(
            command,
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stderr=subprocess.DEVNULL,
        )
        try:
            assert notify.recv(500).startswith(b"READY=1\nSTATUS=serving unix:")
            process.send_signal(signal.SIGHUP)
            assert notify.recv(500).startswith(b"RELOADING=1")
            assert notify.recv(500).startswith(b"READY=1")
            process.send_signal(signal.SIGTERM)
            assert notify.recv(500) == b"STOPPING=1"
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
    assert not (tmp_path / "door").exists()


@pytest.mark.parametrize("url", ["zk://a:1,b:2/mesos", "zk://u:p@a:1/mesos"])
def test_masters_may_be_found_in_zookeeper(url: str, tmp_path: Path) -> None:
    """The URL is taken whole, though it holds commas; what is wrong after it is told next."""
    settings = load(ConnectConfig, [f"--master={url}", f"--tls_ca_file={tmp_path}/none"], {})
    with pytest.raises((UnavailableError, MalformedError), match="none"):
        check(settings.config)


def test_a_bad_zookeeper_url_is_refused() -> None:
    """Without its password."""
    settings = load(ConnectConfig, ["--master=zk://u:hunter2@a:1", "--tls_ca_file=x"], {})
    with pytest.raises(MalformedError) as refused:
        check(settings.config)
    assert "hunter2" not in str(refused.value)
