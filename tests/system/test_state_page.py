"""The state page in a real browser that reaches only the master and knows only a secret."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mesos_twisted.testing.browser import Browser
from mesos_twisted.testing.processes import RunningCluster, wait_until

pytestmark = pytest.mark.system

TOOLS = Path(__file__).resolve().parents[2] / "tools"
EVIL = "<img src=x onerror=\"document.title='owned'\">"
SCRIPT = "<script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium; the tests fail when it can neither be found nor installed."""
    made = subprocess.run([TOOLS / "browser.sh"], capture_output=True, text=True, timeout=110)
    assert made.returncode == 0, made.stderr
    opened = Browser.start(tmp_path_factory.mktemp("browser"))
    yield opened
    opened.stop()


def secret(cluster: RunningCluster) -> str:
    return (cluster.root / "operator.secret").read_text().strip()


def address(cluster: RunningCluster, hash_: str = "") -> str:
    """The page, with the user and the secret in its address."""
    return f"https://operator:{secret(cluster)}@{cluster.master}/{hash_}"


def basic(cluster: RunningCluster) -> dict[str, str]:
    pair = base64.b64encode(f"operator:{secret(cluster)}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


@contextmanager
def running(cluster: RunningCluster, *arguments: str) -> Iterator[dict[str, Any]]:
    """A task that runs meanwhile, as /tasks shows it."""
    command = [sys.executable, "-m", "mesos_twisted", "run", "--master", cluster.master]
    command += ["--cacert", str(cluster.ca), "--cert", str(cluster.cert("operator"))]
    command += ["--key", str(cluster.key("operator")), *arguments]
    known = {task["id"] for task in tasks(cluster)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def started() -> Any:
        assert process.poll() is None, process.communicate()[0]
        new = [one for one in tasks(cluster) if one["id"] not in known]
        return next((one for one in new if one["state"] == "TASK_RUNNING"), None)

    try:
        yield wait_until(started, "the task runs")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def tasks(cluster: RunningCluster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.request("GET", "/tasks").json()["tasks"]
    return found


def page_of(task: dict[str, Any]) -> str:
    return f"#task/{quote(task['framework_id'])}/{quote(task['id'])}"


def go(browser: Browser, cluster: RunningCluster, hash_: str) -> None:
    """That view of the page, opened anew."""
    browser.open("about:blank")
    browser.open(address(cluster, hash_))


def test_an_empty_cluster_says_what_to_do(cluster: RunningCluster, browser: Browser) -> None:
    """Opened with user and secret in the address, every view shows itself without a complaint."""
    go(browser, cluster, "")
    browser.wait_for("No framework is subscribed. Try: mesos-twisted run -- 'echo hello'")
    assert "2 active" in browser.text()
    for name in ("agents", "frameworks", "tasks", "overview"):
        browser.click(f'nav a[href="#{name}"]')
        browser.wait_for(name.capitalize(), "h2")
        assert browser.run("return document.querySelector('[aria-current]').hash") == f"#{name}"
    browser.click('nav a[href="#agents"]')
    browser.wait_for("Registered agents (2)")
    assert browser.complaints() == []
    assert not browser.run("return document.cookie")


def test_without_a_secret_nothing_is_shown(cluster: RunningCluster, tmp_path: Path) -> None:
    """The answer is a challenge, so the browser asks by itself; files of the page hold no data."""
    answer = cluster.request("GET", "/", identity=None)
    assert answer.status == 401 and "Basic" in answer.headers["www-authenticate"]
    page = cluster.request("GET", "/", headers=basic(cluster), identity=None)
    assert page.status == 200 and page.headers["x-frame-options"] == "DENY"
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in page.headers


def test_a_task_with_a_hostile_name(
    cluster: RunningCluster, browser: Browser, tmp_path: Path
) -> None:
    """Name, label, output and file names are text; the sandbox can be walked."""
    command = (
        f'mkdir "{EVIL.split()[0]} b" sub; echo deep > sub/deep.txt; echo "{SCRIPT}"; sleep 600'
    )
    group = {
        "tasks": [
            {
                "name": EVIL,
                "task_id": {"value": "hostile"},
                "agent_id": {"value": ""},
                "resources": [
                    {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                    {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
                ],
                "command": {"value": command},
                "labels": {"labels": [{"key": "<b>k</b>", "value": SCRIPT}]},
            }
        ]
    }
    path = tmp_path / "group.json"
    path.write_text(json.dumps(group))
    with running(cluster, "--task-group", str(path)) as task:
        go(browser, cluster, "#tasks")
        browser.wait_for(EVIL)
        browser.click("tbody a")
        text = browser.wait_for(SCRIPT, "pre")
        assert text.strip() == SCRIPT
        text = browser.text()
        assert EVIL in text and f"Label <b>k</b>\n{SCRIPT}" in text and "State history" in text
        assert "<img b/" in text
        browser.click('a[href$="%2Fsub"]')
        browser.wait_for("deep.txt")
        browser.click('a[href$="deep.txt"]')
        browser.wait_for("deep", "pre")
        browser.click(".crumbs a")
        browser.wait_for("State history")
        assert "owned" not in browser.run("return document.title").replace(EVIL, "")
        assert browser.run("return document.querySelectorAll('main img, main script').length") == 0
        assert browser.complaints() == []
        agent = cluster.request("GET", f"/slaves?slave_id={task['slave_id']}").json()["slaves"][0]
        # Nothing was asked of the agent itself.
        asked = browser.run(
            "return performance.getEntriesByType('resource').map((e) => new URL(e.name).host)"
        )
        assert set(asked) == {cluster.master} and f"localhost:{agent['port']}" not in asked


def test_a_log_is_followed(cluster: RunningCluster, browser: Browser) -> None:
    """New lines come by themselves while the task runs, also letters of several bytes."""
    loop = "i=0; while :; do i=$((i+1)); echo line-$i-é; echo oops-$i >&2; sleep 0.3; done"
    with running(cluster, "--name", "talker", "--", loop) as task:
        go(browser, cluster, page_of(task))
        browser.wait_for("line-1-é", "pre")
        browser.wait_for("line-20-é", "pre")
        browser.wait_for("oops-20")
        numbers = [int(line.split("-")[1]) for line in browser.text("pre").split()]
        assert numbers == list(range(1, len(numbers) + 1))
        link = browser.run("return document.querySelector('a[download]').getAttribute('href')")
        target = link.removeprefix(f"https://{cluster.master}")
        saved = cluster.request("GET", target, headers=basic(cluster), identity=None)
        assert saved.headers["content-disposition"].startswith('attachment; filename="stdout"')
        assert saved.headers["x-content-type-options"] == "nosniff"
        assert saved.body.decode().startswith("line-1-é\n")
    go(browser, cluster, page_of(task))
    browser.wait_for("killed")
    browser.wait_for("line-20-é", "pre")


def test_unknown_things_are_sentences(cluster: RunningCluster, browser: Browser) -> None:
    for hash_, sentence in (
        ("#task/F/T", "No task of this id is known here any more."),
        ("#framework/F", "No framework of this id is known here any more."),
        ("#agent/A", "No agent of this id is registered now"),
    ):
        go(browser, cluster, hash_)
        browser.wait_for(sentence)
    go(browser, cluster, "#files/A/%2Fframeworks%2FF%2Fexecutors%2FE%2Fruns%2Flatest")
    browser.wait_for("No agent of that id is registered here", "#trouble")
    # Any view a stranger's link can name is one of ours.
    go(browser, cluster, "#constructor/__proto__/%E0%A4%A")
    browser.wait_for("Overview")


LARGE = """
const slaves = [], tasks = [];
for (let i = 0; i < 1000; i += 1) {
  slaves.push({ id: `S${i}`, hostname: `host-${i}`, port: 1, active: true, TASK_RUNNING: i,
    resources: { cpus: 8, mem: 64, disk: 9 }, used_resources: { cpus: i % 9 },
    offered_resources: {}, registered_time: 1 });
}
for (let i = 0; i < 10000; i += 1) {
  tasks.push({ id: `t-${i}`, name: `task ${i}`, framework_id: 'F', slave_id: `S${i % 1000}`,
    state: i % 2 ? 'TASK_RUNNING' : 'TASK_FINISHED', resources: { cpus: i % 7, mem: i },
    statuses: [{ state: 'TASK_RUNNING', timestamp: i + 1 }] });
}
const body = { '/state-summary': { slaves, frameworks: [] }, '/tasks': { tasks } };
window.fetch = async (url) => new Response(JSON.stringify(body[new URL(url).pathname]));
"""


def test_a_large_cluster_stays_usable(cluster: RunningCluster, browser: Browser) -> None:
    """1,000 agents and 10,000 tasks: 200 rows of each, sorted and filtered while one types."""
    go(browser, cluster, "")
    browser.wait_for("Overview")
    browser.run(LARGE)
    browser.click('nav a[href="#agents"]')
    browser.wait_for("The first 200 of 1,000 are shown.")
    assert browser.run("return document.querySelectorAll('tbody tr').length") == 200
    browser.click('nav a[href="#tasks"]')
    browser.wait_for("Live tasks (5,000)")
    for _ in range(2):
        browser.click('button[data-sort="live"][data-column="6"]')
    first = "return document.querySelector('tbody tr').innerText"
    assert "task 9999" in browser.run(first)
    assert browser.run("return document.querySelector('[aria-sort]').ariaSort") == "descending"
    browser.type('input[data-filter="live"]', "task 77 running")
    browser.wait_for("match")
    assert browser.run("return document.activeElement.dataset.filter") == "live"
    assert "task 9977" in browser.run(first)
    took_ms = browser.run(
        "const input = document.querySelector('input'); const began = performance.now();"
        "input.value = '99'; input.dispatchEvent(new Event('input', { bubbles: true }));"
        "document.body.getBoundingClientRect(); return performance.now() - began"
    )
    assert took_ms < 1000


def test_a_refresh_keeps_focus_and_pauses(cluster: RunningCluster, browser: Browser) -> None:
    """The keyboard works, and what is on the screen is changed, not made anew."""
    go(browser, cluster, "#agents")
    browser.wait_for("Registered agents (2)")
    browser.run("window.kept = document.querySelector('thead button'); window.kept.focus()")
    browser.press("\ue007")
    wait_until(
        lambda: browser.run("return !!document.querySelector('[aria-sort]')"), "it is sorted"
    )
    before = browser.text("#asof")
    wait_until(lambda: browser.text("#asof") != before, "it is refreshed")
    assert browser.run("return document.activeElement === window.kept")
    browser.click("#pause")
    assert browser.text("#pause") == "Resume"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_can_be_read(
    cluster: RunningCluster, browser: Browser, scheme: str
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.devtools("Emulation.setEmulatedMedia", features=features)
    go(browser, cluster, "")
    browser.wait_for("Overview")
    style = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    text, page = ([int(v) for v in c[4:-1].split(",")] for c in browser.run(style))
    assert abs(sum(text) - sum(page)) > 400
    assert (sum(page) < sum(text)) == (scheme == "dark")


@pytest.mark.parametrize("path", ["/teardown", "/api/v1"])
def test_other_sites_cannot_act_for_the_reader(
    cluster: RunningCluster, browser: Browser, path: str
) -> None:
    """The browser adds the secret it knows; the master sees whose page asks."""
    go(browser, cluster, "")
    browser.wait_for("Overview")
    own = browser.run(
        "return fetch(new URL(arguments[0], location.origin), { method: 'POST' })"
        ".then((answer) => answer.status)",
        path,
    )
    # Judged, and refused only because nothing is asked for.
    assert own == 400
    answer = cluster.request(
        "POST",
        path,
        b"frameworkId=x",
        {**basic(cluster), "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        identity=None,
    )
    assert answer.status == 403 and b"other sites" in answer.body
    agent = cluster.agent_urls()[0]
    foreign = browser.run(
        "return fetch(arguments[0], { method: 'POST', mode: 'no-cors', credentials: 'include' })"
        ".then(() => 'sent', (problem) => String(problem))",
        f"{agent}/api/v1",
    )
    # The page's own policy lets it ask nobody but its master.
    assert "TypeError" in foreign
    browser.complaints()


def test_a_strangers_form_is_refused(cluster: RunningCluster, browser: Browser) -> None:
    """A page from elsewhere sends a form; the browser adds the reader's secret; nothing happens."""
    with running(cluster, "--name", "victim", "--", "sleep 600") as task:
        go(browser, cluster, "")
        browser.wait_for("Overview")
        page = (
            f'<form method="post" action="{cluster.url}/teardown">'
            f'<input name="frameworkId" value="{task["framework_id"]}"></form>'
        )
        browser.open("data:text/html," + quote(page))
        browser.run("document.forms[0].submit()")
        browser.wait_for("Pages of other sites may not ask this master in your name.", "body")
        alive = {one["id"]: one["state"] for one in tasks(cluster)}
        assert alive[task["id"]] == "TASK_RUNNING"
