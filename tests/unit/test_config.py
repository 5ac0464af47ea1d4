"""Flags, environment and file: which wins, and what a wrong one says."""

import inspect
from dataclasses import dataclass

import pytest

from mesos_twisted import config
from mesos_twisted.agent.config import AgentConfig
from mesos_twisted.config import BOOL, DURATION, INT, PATH, TEXT, flag, load
from mesos_twisted.daemon_config import DaemonConfig
from mesos_twisted.errors import MalformedError
from mesos_twisted.master.config import ALIASES, WITHOUT_EFFECT, MasterConfig


@dataclass(frozen=True, slots=True)
class Sample:
    """A few flags."""

    port: int = flag(INT, 1, "a port")
    wait: float = flag(DURATION, 15.0, "a time")
    quick: bool = flag(BOOL, True, "a choice")
    name: str | None = flag(TEXT, None, "a name")
    key: str | None = flag(TEXT, None, "a key", secret=True)
    path: str | None = flag(PATH, None, "a path")


FILES = {"/c.toml": 'port = 3\nname = "file"\nquick = false\n', "/name": "from a file\n"}


def sample(*argv: str, **environ: str) -> Sample:
    return load(Sample, argv, environ, read_file=FILES.__getitem__).config


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default() -> None:
    assert sample().port == 1
    assert sample("--config=/c.toml").port == 3
    assert sample("--config=/c.toml", MESOS_PORT="4").port == 4
    assert sample("--config=/c.toml", "--port=5", MESOS_PORT="4").port == 5


def test_the_file_may_be_named_in_the_environment() -> None:
    assert sample(MESOS_CONFIG="/c.toml").name == "file"


def test_booleans_are_written_as_mesos_writes_them() -> None:
    assert [sample(a).quick for a in ("--quick", "--no-quick", "--quick=false")] == [
        True,
        False,
        False,
    ]


def test_a_value_may_follow_its_flag() -> None:
    assert sample("--name", "x", "--wait", "1.5mins").wait == 90.0


def test_a_value_may_come_from_a_file_and_a_path_is_not_read() -> None:
    assert sample("--name=file:///name").name == "from a file"
    assert sample("--path=file:///name").path == "/name"


def test_unknown_environment_variables_are_left_alone() -> None:
    """Executors and their children have many MESOS_ variables."""
    assert sample(MESOS_EXECUTOR_ID="x").port == 1


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--nonsense=1", "Unknown flag '--nonsense'; see --help for the names"),
        ("--port=x", "Bad value for --port: 'x' is not a whole number"),
        ("--port", "The flag '--port' needs a value: --port=VALUE"),
        ("--wait=5", "Bad value for --wait: '5' is not a duration"),
        ("--quick=maybe", "Bad value for --quick: 'maybe' is not a boolean; write true or false"),
        ("stray", "Unexpected argument 'stray'; flags are written --name=value"),
    ],
)
def test_a_wrong_flag_is_one_clear_sentence(argument: str, sentence: str) -> None:
    with pytest.raises(MalformedError) as error:
        sample(argument)
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_a_flag_given_twice_is_refused() -> None:
    with pytest.raises(MalformedError, match="given twice"):
        sample("--port=1", "--port=2")


def test_an_unknown_setting_in_the_file_is_refused() -> None:
    with pytest.raises(MalformedError, match="Unknown setting 'typo' in /t"):
        load(Sample, ["--config=/t"], {}, read_file={"/t": "typo = 1"}.__getitem__)


def test_secrets_are_masked_in_documents() -> None:
    assert config.document(sample("--key=hunter2"))["key"] == "********"
    assert "hunter2" not in str(config.document(sample("--key=hunter2")))


def test_a_missing_file_is_one_clear_sentence() -> None:
    with pytest.raises(MalformedError, match=r"Cannot read /no/such/file: No such file"):
        load(Sample, ["--config=/no/such/file"], {})


def test_flags_of_mesos_without_effect_are_accepted_with_a_warning() -> None:
    loaded = load(MasterConfig, ["--quorum=2"], {}, without_effect=WITHOUT_EFFECT, aliases=ALIASES)
    assert len(loaded.warnings) == 1 and "--quorum has no effect" in loaded.warnings[0]


def test_old_spellings_still_work() -> None:
    loaded = load(MasterConfig, ["--slave_ping_timeout=3secs"], {}, aliases=ALIASES)
    assert loaded.config.agent_ping_timeout == 3.0


@pytest.mark.parametrize("kind", [MasterConfig, AgentConfig])
def test_every_default_reads_back_from_its_own_text(kind: type) -> None:
    """`/flags` shows what could be given as a flag."""
    shown = config.document(kind())
    argv = [f"--{name}={value}" for name, value in shown.items()]
    assert load(kind, argv, {}).config == kind()


@pytest.mark.parametrize("kind", [MasterConfig, AgentConfig])
def test_help_names_every_flag(kind: type) -> None:
    text = config.help_text(kind, "title")
    assert all(item.name in text for item in config.declared(kind))


def test_what_master_and_agent_share_is_declared_once_and_names_the_daemon() -> None:
    own = [set(inspect.get_annotations(kind)) for kind in (MasterConfig, AgentConfig)]
    shared = {item.name for item in config.declared(DaemonConfig)}
    # Of one name, yet each its own: the default or the meaning differs.
    assert own[0] & own[1] - {"DAEMON"} == {
        *("work_dir", "port", "zk_session_timeout", "jwt_secret_key"),
        *("max_operator_body", "external_log_file"),
    }
    assert own[0] & shared == set()
    assert own[1] & shared == {"max_stream_buffer", "max_unauthenticated_connections"}
    helps = [{i.name: i.help for i in config.declared(k)} for k in (MasterConfig, AgentConfig)]
    assert [each["hostname"] for each in helps] == [
        "the host name others reach this master by",
        "the host name others reach this agent by",
    ]


def test_a_class_shows_its_own_flags_before_those_it_inherits() -> None:
    @dataclass(frozen=True, slots=True)
    class Wider(Sample):
        speed: int = flag(INT, 3, "a speed")
        wait: float = config.another_default(Sample, "wait", 60.0)

    shown = [(item.name, item.default_text, item.help) for item in config.declared(Wider)]
    assert shown[:3] == [
        ("speed", "3", "a speed"),
        ("wait", "1mins", "a time"),
        ("port", "1", "a port"),
    ]
