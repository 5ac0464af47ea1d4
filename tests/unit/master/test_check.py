"""Settings that cannot work are refused in one sentence that names the flag, before files are
opened."""

from pathlib import Path

import pytest

from mesos_twisted import daemons
from mesos_twisted.config import load
from mesos_twisted.errors import MesosError
from mesos_twisted.master import main
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.net import setup
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net.authority import issue, make_authority

WRONG = [
    ("--allocator=nonesuch", "choose one of: HierarchicalDRF, hierarchical, priority"),
    ("--min_allocatable_resources=cpus", "cpus"),
    ("--min_allocatable_resources=cpus:0.01|mem:x", "'mem:x' is not an amount"),
    ("--roles=/a", "/"),
    ("--weights=a", "'a' is not role=number above zero"),
    ("--weights=a=0", "'a=0' is not role=number above zero"),
    ("--weights=a=nan", "'a=nan' is not role=number above zero"),
    ("--role_sorter=fair", "drf, random"),
    ("--offer_timeout=soon", "'soon'"),
    ("--offer_constraints_re2_max_mem=0B", "not from 1 to"),
    ("--offer_constraints_re2_max_program_size=-1", "not from 1 to"),
    ("--domain={", "not valid JSON"),
    ("--acls={", "not valid JSON"),
    ("--ip=0.0.0.0", "--advertise_ip"),
    ("--agent_removal_rate_limit=1", "write a number and a time: 1/10mins"),
    ("--agent_removal_rate_limit=0/10mins", "write a number and a time: 1/10mins"),
    ("--agent_removal_rate_limit=x/10mins", "write a number and a time: 1/10mins"),
    ("--agent_removal_rate_limit=1/soon", "'soon' is not a duration"),
    ("--agent_removal_rate_limit=1/0secs", "above zero"),
    ("--recovery_agent_removal_limit=101%", "from 0% to 100%"),
    ("--recovery_agent_removal_limit=nan%", "from 0% to 100%"),
    ("--recovery_agent_removal_limit=half", "from 0% to 100%"),
    ("--registry_max_agent_count=-1", "below 0"),
]


@pytest.mark.parametrize(("given", "words"), WRONG)
def test_a_wrong_value_is_told_before_a_missing_file(given: str, words: str) -> None:
    """No certificate exists here, and that is not what is said."""
    with pytest.raises(MesosError) as told:
        main.check(load(MasterConfig, ["--tls_ca_file=/nonexistent/ca", given], {}).config)
    sentence = str(told.value)
    assert given.partition("=")[0] in sentence and words in sentence and "\n" not in sentence
    assert "/nonexistent" not in sentence


def test_weights_must_be_of_allowed_roles() -> None:
    """As in Mesos; the default role always is."""
    good = load(MasterConfig, ["--roles=a,b", "--weights=a=2,*=3"], {}).config
    assert setup.weights(good) == {"a": 2.0, "*": 3.0}
    with pytest.raises(MesosError, match="role 'c' is not among --roles"):
        setup.weights(load(MasterConfig, ["--roles=a,b", "--weights=c=2"], {}).config)


def test_the_limits_of_removals_are_read_as_mesos_reads_them() -> None:
    """A number in a time is one in a part of it; a share may leave out its sign."""
    given = ["--agent_removal_rate_limit=2/10mins", "--recovery_agent_removal_limit=25"]
    policy = setup.policy(load(MasterConfig, given, {}).config)
    assert (policy.removal_interval_s, policy.recovery_removal_limit) == (300.0, 0.25)
    policy = setup.policy(load(MasterConfig, [], {}).config)
    assert (policy.removal_interval_s, policy.recovery_removal_limit) == (0.0, 1.0)
    assert policy.registry_max_agent_age_s == 14 * 86400.0


def test_check_config_exits_with_two_or_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown policy is one sentence on standard error; without it all is well."""
    make_authority(tmp_path, "c")
    issue(tmp_path, Role.MASTER, "master", ["localhost"])
    argv = [
        "--check-config",
        f"--tls_ca_file={tmp_path}/ca.pem",
        f"--tls_cert_file={tmp_path}/master.pem",
        f"--tls_key_file={tmp_path}/master-key.pem",
    ]
    assert daemons.start("master", argv) == 0
    capsys.readouterr()
    assert daemons.start("master", [*argv, "--allocator=nonesuch"]) == 2
    assert capsys.readouterr().err == (
        "mesos-twisted master: Bad value for --allocator: there is no allocator 'nonesuch'; "
        "choose one of: HierarchicalDRF, hierarchical, priority\n"
    )
