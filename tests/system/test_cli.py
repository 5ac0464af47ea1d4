"""The command line against a live cluster: what it prints, and what it exits with."""

import json
import os
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from mesos_twisted.testing.commands import CommandLine, Done
from mesos_twisted.testing.processes import RunningCluster, wait_until

pytestmark = pytest.mark.system

LISTS = (
    ("ps", "--all"),
    ("task", "list", "--all"),
    ("agent", "list"),
    ("framework", "list", "--all"),
)


@pytest.fixture
def tool(cluster: RunningCluster) -> CommandLine:
    return CommandLine(cluster)


def fresh(word: str) -> str:
    return f"{word}-{uuid.uuid4().hex[:6]}"


def live_task(tool: CommandLine, name: str) -> dict[str, Any]:
    """The running task of that name, once it runs."""

    def found() -> dict[str, Any] | None:
        tasks = tool("ps", "--output", "json").json()
        return next((t for t in tasks if t["name"] == name and t["state"] == "TASK_RUNNING"), None)

    task: dict[str, Any] = wait_until(found, f"the task {name} runs")
    return task


def gone(tool: CommandLine, name: str) -> None:
    wait_until(
        lambda: all(t["name"] != name for t in tool("ps", "--output", "json").json()),
        f"the task {name} is gone",
    )


class TestRun:
    @pytest.mark.parametrize(
        ("script", "status"),
        [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
    )
    def test_the_task_s_end_is_the_exit_status(
        self, tool: CommandLine, script: str, status: int
    ) -> None:
        done = tool("run", "--", f"echo to-out; echo to-err >&2; {script}")
        assert (done.status, done.out) == (status, "to-out\n")
        assert "to-err\n" in done.err

    def test_output_comes_byte_for_byte_while_the_task_runs(self, tool: CommandLine) -> None:
        process = tool.start("run", "--", r"printf '\377\303'; sleep 600")
        try:
            assert process.stdout is not None
            assert process.stdout.read(2) == b"\xff\xc3"
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)

    def test_more_output_than_one_answer_holds(self, tool: CommandLine) -> None:
        done = tool("run", "--", "yes | head -c 500001")
        assert done.status == 0 and done.out == "y\n" * 250_000 + "y"

    def test_environment_words_and_files(self, tool: CommandLine, tmp_path: Path) -> None:
        (tmp_path / "given.txt").write_text("in the sandbox\n")
        done = tool("run", "--env", "A=1", "--env", "B=x y=z", "--uri", f"{tmp_path}/given.txt",
                    "--", 'echo "$A|$B"; cat given.txt')  # fmt: skip
        assert (done.status, done.out) == (0, "1|x y=z\nin the sandbox\n")
        done = tool("run", "--no-shell", "--", "/bin/echo", "a  b", "$HOME;")
        assert (done.status, done.out) == (0, "a  b $HOME;\n")

    def test_a_missing_file_is_said(self, tool: CommandLine) -> None:
        done = tool("run", "--uri", "/no/such/file", "--", "true")
        assert done.status == 1 and "'/no/such/file': no such file" in done.err

    def test_users(self, tool: CommandLine) -> None:
        done = tool("run", "--user", "no-such-user", "--", "id")
        assert done.status == 1
        if os.geteuid() == 0:
            assert "'no-such-user' does not exist" in done.err

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root's agents can switch users")
    def test_another_user_s_task(self, tmp_path: Path) -> None:
        # Not below pytest's directories: others cannot pass through those.
        root = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
        root.chmod(0o711)
        running = RunningCluster.start(root / "cluster", agents=1)
        try:
            done = CommandLine(running, "framework")("run", "--user", "nobody", "--", "id -un; pwd")
            assert (done.status, done.out.splitlines()[:1]) == (0, ["nobody"]), done
            secrets = " ".join(
                str(running.root / name)
                for name in ("certs/ca-key.pem", "operator.secret", "credentials", "logs",
                             "work/master/registry.sqlite", "work/agent-1/meta")
            )  # fmt: skip
            script = f"for f in {secrets}; do test -r $f && echo $f; done; true"
            done = CommandLine(running)("run", "--user", "nobody", "--", script)
            assert (done.status, done.out) == (0, "")
        finally:
            running.stop()
            subprocess.run(["rm", "-rf", str(root)], check=True)

    @pytest.mark.parametrize(
        ("option", "reason"),
        [
            (("--attribute", "rack=7"), "attribute rack: wants 7, the agent has none"),
            (("--cpus", "100000"), "cpus: wants 100000, the offer has"),
        ],
    )
    def test_no_fitting_offer_is_6_and_says_why(
        self, tool: CommandLine, option: tuple[str, str], reason: str
    ) -> None:
        done = tool("run", *option, "--offer-timeout", "1.5", "--", "true")
        assert done.status == 6 and reason in done.err and "within 1.5 s" in done.err

    def test_a_task_group_ends_with_its_worst_task(self, tool: CommandLine, tmp_path: Path) -> None:
        def task(word: str, script: str) -> dict[str, Any]:
            amounts = {"cpus": 0.1, "mem": 32}
            return {
                "name": word,
                "task_id": {"value": word},
                "resources": [
                    {"name": n, "type": "SCALAR", "scalar": {"value": v}}
                    for n, v in amounts.items()
                ],
                "command": {"value": script},
            }

        path = tmp_path / "group.json"
        path.write_text(json.dumps({"tasks": [task("a", "echo A"), task("b", "echo B")]}))
        done = tool("run", "--task-group", str(path))
        assert (done.status, sorted(done.out.split())) == (0, ["A", "B"]), done
        path.write_text(json.dumps({"tasks": [task("a", "sleep 600"), task("b", "exit 4")]}))
        done = tool("run", "--task-group", str(path))
        assert done.status >= 4 and "b: TASK_FAILED Command exited with status 4" in done.err

    @pytest.mark.parametrize("text", ["{", "[]", '{"tasks": []}', '{"tasks": [7]}', "\udcff"])
    def test_a_bad_task_group_is_2(self, tool: CommandLine, tmp_path: Path, text: str) -> None:
        path = tmp_path / "group.json"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        done = tool("run", "--task-group", str(path))
        assert done.status == 2 and done.err.count("\n") == 1, done

    @pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
    def test_ctrl_c_kills_the_task(self, tool: CommandLine, signo: signal.Signals) -> None:
        name = fresh("interrupted")
        process = tool.start("run", "--name", name, "--", "echo up; sleep 600")
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        process.send_signal(signo)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (130, b"")
        gone(tool, name)

    def test_a_reader_that_leaves_kills_the_task(self, tool: CommandLine) -> None:
        name = fresh("unread")
        process = tool.start("run", "--name", name, "--", "yes; sleep 600")
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(2)
        process.stdout.close()
        assert process.wait(60) == 1 and process.stderr.read() == b""
        process.stderr.close()
        gone(tool, name)

    @pytest.mark.parametrize(
        "words",
        [(), ("--cpus", "0", "--", "true"), ("--env", "A", "--", "true"), ("--nonsense",),
         ("--cpus", "nan", "--", "true"), ("--offer-timeout", "-1", "--", "true")],
    )  # fmt: skip
    def test_wrong_usage_is_2(self, tool: CommandLine, words: tuple[str, ...]) -> None:
        assert tool("run", *words).status == 2


class TestSeeing:
    def test_a_task_from_ps_to_kill(self, tool: CommandLine) -> None:
        name = fresh("seen")
        script = "echo one; echo problem >&2; sleep 600"
        process = tool.start("run", "--name", name, "--", script)
        try:
            task = live_task(tool, name)
            task_id, framework_id = task["id"], task["framework_id"]
            assert f"{task_id}  {name}" in tool("task", "list").out
            assert tool("task", "inspect", task_id).json()["id"] == task_id
            assert tool("task", "inspect", task_id[:-2]).json()["id"] == task_id
            assert (tool("task", "logs", task_id).out) == "one\n"
            assert (tool("task", "logs", task_id, "stderr").out) == "problem\n"
            frameworks = tool("framework", "list", "--output", "json").json()
            assert framework_id in [one["id"] for one in frameworks]
            assert tool("framework", "inspect", framework_id).json()["name"] == name
            killed = tool("task", "kill", task_id)
            assert killed.status == 0 and task_id in killed.out
        finally:
            _, err = process.communicate(timeout=30)
        assert process.returncode == 143, err
        gone(tool, name)
        assert task_id in tool("ps", "--all").out
        assert tool("task", "kill", task_id).status == 1
        listed = tool("framework", "list", "--output", "json").json()
        assert framework_id not in [one["id"] for one in listed]
        assert framework_id in tool("framework", "list", "--all").out
        assert tool("framework", "inspect", framework_id).json()["active"] is False

    def test_logs_f_follows_to_the_end(self, tool: CommandLine) -> None:
        name = fresh("followed")
        script = "echo first; while ! test -e go; do sleep 0.1; done; echo last"
        process = tool.start("run", "--name", name, "--", script)
        task = live_task(tool, name)
        follower = tool.start("task", "logs", "-f", task["id"])
        assert follower.stdout is not None and follower.stdout.readline() == b"first\n"
        directories = list(
            tool.cluster.root.glob(
                f"work/agent-*/slaves/*/frameworks/*/executors/{task['id']}/runs/latest"
            )
        )
        (directories[0] / "go").touch()
        out, err = follower.communicate(timeout=30)
        assert (follower.returncode, out, err) == (0, b"last\n", b"")
        assert process.communicate(timeout=30)[0] == b"first\nlast\n"

    def test_teardown_ends_a_framework(self, tool: CommandLine) -> None:
        name = fresh("torn")
        process = tool.start("run", "--name", name, "--", "sleep 600")
        task = live_task(tool, name)
        done = tool("framework", "teardown", task["framework_id"])
        assert done.status == 0 and "is torn down" in done.out
        process.communicate(timeout=30)
        gone(tool, name)
        assert tool("framework", "teardown", task["framework_id"]).status == 3

    def test_agents(self, tool: CommandLine) -> None:
        agents = tool("agent", "list", "--output", "json").json()
        assert [one["active"] for one in agents] == [True, True]
        table = tool("agent", "list").out.splitlines()
        assert len(table) == 3 and table[0].split()[:3] == ["AGENT", "HOST", "STATE"]
        assert tool("agent", "inspect", agents[0]["id"]).json() == agents[0] | {
            key: value
            for key, value in tool("agent", "inspect", agents[0]["id"]).json().items()
            if key in ("used_resources", "offered_resources", "unreserved_resources_full")
        }

    @pytest.mark.parametrize("words", LISTS)
    def test_json_is_json_and_stable(self, tool: CommandLine, words: tuple[str, ...]) -> None:
        first = tool(*words, "--output", "json")
        assert first.status == 0 and isinstance(first.json(), list)
        keys = [list(row) for row in first.json()]
        assert keys == [list(row) for row in tool(*words, "--output", "json").json()]

    def test_a_hostile_name_steers_no_terminal(self, tool: CommandLine) -> None:
        name = "evil\x1b[2J\x1b]0;owned\x07\r\n\x9b31m\u202e" + uuid.uuid4().hex[:6]
        assert tool("run", "--name", name, "--", "exit 1").status == 1
        found = [t for t in tool("ps", "--all", "--output", "json").json() if t["name"] == name]
        assert len(found) == 1
        hidden = set("\x1b\x07\r\x9b\u202e")
        inspect = ("task", "inspect", found[0]["id"])
        for words in (*LISTS, ("ps", "--all", "--output", "json"), inspect):
            if words == ("agent", "list"):
                continue
            shown = tool(*words).out
            assert name[-6:] in shown and not hidden & set(shown), words
        assert not hidden & set(tool("task", "inspect", "\x1b[2J").err)


class TestExitCodes:
    @pytest.mark.parametrize(
        ("words", "status", "sentence"),
        [
            (("task", "inspect", "nosuch"), 3, "No task 'nosuch'"),
            (("task", "logs", "nosuch"), 3, "No task 'nosuch'"),
            (("task", "kill", "nosuch"), 3, "No task 'nosuch'"),
            (("framework", "inspect", "nosuch"), 3, "No framework 'nosuch'"),
            (("framework", "teardown", "nosuch"), 3, "No framework 'nosuch'"),
            (("agent", "inspect", "nosuch"), 3, "No agent 'nosuch'"),
            (("nosuch",), 2, "No such command 'nosuch'"),
            (("agent", "list", "--output", "yaml"), 2, "'yaml' is not one of"),
            (("ps", "--master", "localhost"), 2, "write host:port"),
            (("ps", "--cert", "/no/such.pem"), 2, "/no/such.pem"),
            (("ps", "--cacert", "/no/such.pem"), 2, "/no/such.pem"),
            (("ps", "--master", "localhost:1"), 5, "localhost:1"),
            (("run", "--master", "localhost:1", "--offer-timeout", "1", "--", "x"), 6, "1 s"),
        ],
    )  # fmt: skip
    def test_a_failure_is_a_sentence_and_its_code(
        self, tool: CommandLine, words: tuple[str, ...], status: int, sentence: str
    ) -> None:
        done = tool(*words)
        assert (done.status, done.out) == (status, ""), done
        assert sentence in done.err and "Traceback" not in done.err

    @pytest.mark.parametrize("words", [("ps",), ("agent", "list"), ("run", "--", "true")])
    def test_nobody_is_denied(self, tool: CommandLine, words: tuple[str, ...]) -> None:
        done = CommandLine(tool.cluster, None)(*words)
        assert done.status == 4 and "Authenticate" in done.err

    def test_other_roles_are_denied(self, tool: CommandLine) -> None:
        done = CommandLine(tool.cluster, "agent-1")("run", "--", "true")
        assert done.status == 4 and "may not register a framework" in done.err
        name = fresh("operators")
        process = tool.start("run", "--name", name, "--", "sleep 600")
        framework_id = live_task(tool, name)["framework_id"]
        other = CommandLine(tool.cluster, "framework")
        assert other("ps").out.count("\n") == 1
        assert other("framework", "teardown", framework_id).status in (3, 4)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


class TestSettings:
    def test_flags_win_over_environment_over_file(self, tool: CommandLine, tmp_path: Path) -> None:
        cluster = tool.cluster
        folder = tmp_path / "home" / ".config" / "mesos-twisted"
        folder.mkdir(parents=True)
        good = (
            f'master = ["localhost:1", "{cluster.master}"]\ncacert = "{cluster.ca}"\n'
            f'cert = "{cluster.cert("operator")}"\nkey = "{cluster.key("operator")}"\n'
        )
        (folder / "config.toml").write_text(good)

        def ps(*words: str, **more: str) -> Done:
            names = ("MASTER", "CACERT", "CERT", "KEY")
            none = {f"MESOS_TWISTED_{name}": "" for name in names}
            return tool("ps", *words, **none | {"HOME": str(tmp_path / "home")} | more)

        assert ps().status == 0
        assert ps(MESOS_TWISTED_MASTER="localhost:1").status == 5
        assert ps("--master", cluster.master, MESOS_TWISTED_MASTER="localhost:1").status == 0
        assert ps(HOME="/nonexistent").status == 2
        (folder / "config.toml").write_text(good + "colour = 1\n")
        done = ps()
        assert done.status == 2 and "Unknown setting 'colour'" in done.err
        (folder / "config.toml").write_text("master = [")
        assert ps().status == 2
        other = ps(MESOS_TWISTED_CONFIG=str(tmp_path / "absent.toml"))
        assert other.status == 2 and "does not exist" in other.err

    def test_a_principal_with_a_secret(self, tool: CommandLine) -> None:
        secret = str(tool.cluster.root / "operator.secret")
        known = {"MESOS_TWISTED_PRINCIPAL": "operator", "MESOS_TWISTED_SECRET_FILE": secret}
        nobody = CommandLine(tool.cluster, None)
        assert nobody("agent", "list", **known).out.count("\n") == 3
        done = nobody("run", "--", "echo by secret", **known)
        assert (done.status, done.out) == (0, "by secret\n"), done


class TestCompletion:
    def test_bash_completes(self, tool: CommandLine, tmp_path: Path) -> None:
        script = tmp_path / "complete.sh"
        script.write_text(tool("completion", "bash").out)
        asked = f"source {script} && complete -p mesos-twisted"
        done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True)
        assert done.returncode == 0 and "mesos-twisted" in done.stdout, done.stderr

    @pytest.mark.parametrize("shell", ["zsh", "fish"])
    def test_other_shells(self, tool: CommandLine, shell: str) -> None:
        done = tool("completion", shell)
        assert done.status == 0 and "_MESOS_TWISTED_COMPLETE" in done.out

    def test_words_are_offered(self, tool: CommandLine) -> None:
        done = tool(
            _MESOS_TWISTED_COMPLETE="bash_complete",
            COMP_WORDS="mesos-twisted framework ",
            COMP_CWORD="2",
        )
        assert {line.partition(",")[2] for line in done.out.split()} == {
            "inspect", "list", "teardown"
        }, done  # fmt: skip
