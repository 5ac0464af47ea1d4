"""What an operator can set: defaults, argument specs and the daemons' flags say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mesos_twisted.agent.config import AgentConfig
from mesos_twisted.config import Declared, declared
from mesos_twisted.connect.config import ConnectConfig
from mesos_twisted.master.config import MasterConfig

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parent.parent.name for path in ROOT.glob("roles/*/meta/main.yml"))
DAEMONS = {"master": MasterConfig, "agent": AgentConfig, "connector": ConnectConfig}
#: Flags that a role sets otherwise than the daemon would; the variable's description says why.
OTHERWISE = {
    "master": {
        *("work_dir", "ip", "port", "hostname", "cluster", "zk", "zk_tls", "zk_acl"),
        *("tls_cert_file", "tls_ca_file", "tls_crl_file"),
    },
    "agent": {
        *(
            "master",
            "zk_tls",
            "work_dir",
            "runtime_dir",
            "launcher_start",
            "ip",
            "port",
            "hostname",
        ),
        *("tls_cert_file", "tls_ca_file", "tls_crl_file"),
    },
    "connector": {"master", "zk_tls", "tls_cert_file", "tls_ca_file", "tls_crl_file"},
}
#: Variables that are no flags.
OWN = {
    "master": {
        *("config", "limit_nofile", "memory_max", "service_manage"),
        *("health_host", "health_retries", "health_delay_s"),
    },
    "agent": {
        *("config", "limit_nofile", "memory_max", "service_manage"),
        *("tasks_limit_nofile", "rolling_batch", "ended_states"),
        *("health_host", "health_retries", "health_delay_s"),
    },
    "connector": {"config", "tls_key_source", "limit_nofile", "service_manage"},
}
TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "path": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "list": list,
    "dict": dict,
    "raw": object,
}


def read(role: str, file: str) -> Any:
    return yaml.safe_load((ROOT / "roles" / role / file).read_text()) or {}


def options(role: str) -> dict[str, Any]:
    """Every option of every entry point, each once."""
    found: dict[str, Any] = {}
    for entry in read(role, "meta/argument_specs.yml")["argument_specs"].values():
        found |= entry.get("options", {})
    return found


def computed(value: object) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_is_specified(role: str) -> None:
    """Defaults and specs name the same variables, but for those that must be given."""
    specified = options(role)
    given = {name for name, option in specified.items() if option.get("required")}
    assert set(read(role, "defaults/main.yml")) == set(specified) - given


@pytest.mark.parametrize("role", ROLES)
def test_specified_defaults_are_the_defaults(role: str) -> None:
    """A default that is a value is the one that the specs show, and of the type they say."""
    specified = options(role)
    for name, value in read(role, "defaults/main.yml").items():
        option = specified[name]
        if computed(value):
            assert option.get("default"), f"{name} is computed: say from what, as its default"
            continue
        assert option.get("default") == value, name
        if value is not None:
            assert isinstance(value, TYPES[option["type"]]), name


@pytest.mark.parametrize("role", ROLES)
def test_variables_carry_their_role(role: str) -> None:
    """Every variable begins with its role's name and is described."""
    for name, option in options(role).items():
        assert name.startswith(f"{role}_"), name
        assert option["description"], name
        assert option["type"] != "list" or "elements" in option, name


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_shows_the_variables(role: str) -> None:
    """Each variable has its row; `tools/generate_docs.py --check` says whether it is fresh."""
    text = (ROOT / "roles" / role / "README.md").read_text()
    assert [name for name in options(role) if f"| `{name}` |" not in text] == []


def flags(role: str) -> dict[str, Declared]:
    return {flag.name: flag for flag in declared(DAEMONS[role])}


@pytest.mark.parametrize("role", DAEMONS)
def test_every_variable_is_a_flag(role: str) -> None:
    """A variable is a flag of the daemon by that name, or one of the role's own."""
    names = {name.removeprefix(f"{role}_") for name in options(role)}
    assert names - set(flags(role)) == OWN[role]


@pytest.mark.parametrize("role", DAEMONS)
def test_every_flag_among_the_variables_is_rendered(role: str) -> None:
    """The file that the daemon reads is made of exactly these variables."""
    typed = read(role, "vars/main.yml")[f"__{role}_typed"]
    names = {name.removeprefix(f"{role}_") for name in options(role)} - OWN[role]
    assert typed == {name: f"{{{{ {role}_{name} }}}}" for name in names}


@pytest.mark.parametrize("role", DAEMONS)
def test_defaults_are_the_daemons(role: str) -> None:
    """Who sets nothing gets what the daemon does by itself, where the role has no reason."""
    known, otherwise = flags(role), set()
    for name, value in read(role, "defaults/main.yml").items():
        flag = known.get(name.removeprefix(f"{role}_"))
        if flag is None:
            continue
        if computed(value) or default(flag, value) != flag.default:
            otherwise.add(flag.name)
    assert otherwise == OTHERWISE[role]


def default(flag: Declared, value: Any) -> object:
    """A variable's value as the daemon would read it."""
    if value is None:
        return None
    if isinstance(value, list):
        return tuple(value)
    return flag.kind.parse(str(value).lower() if isinstance(value, bool) else str(value))
