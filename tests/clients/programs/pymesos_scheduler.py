"""What a pymesos scheduler can do, step by step, on its own driver; prints what was seen."""

import getpass
import json
import logging
import queue
import sys
import time

from pymesos import MesosSchedulerDriver, Scheduler, decode_data, encode_data

MASTER, EXECUTOR, *CREDENTIALS = sys.argv[1:]
STEP_S = 20
logging.basicConfig(level=logging.WARNING)


class Recording(Scheduler):
    """Every callback goes into a queue; offers nobody waits for are declined."""

    def __init__(self):
        self.events = queue.Queue()

    def registered(self, driver, framework_id, master_info):
        self.events.put(("registered", framework_id["value"]))

    def reregistered(self, driver, master_info):
        self.events.put(("reregistered", driver.framework_id))

    def resourceOffers(self, driver, offers):
        self.events.put(("offers", offers))

    def statusUpdate(self, driver, status):
        self.events.put(("update", status))

    def frameworkMessage(self, driver, executor_id, agent_id, message):
        self.events.put(("message", decode_data(message).decode()))

    def executorLost(self, driver, executor_id, agent_id, status):
        self.events.put(("executorLost", executor_id["value"]))

    def error(self, driver, message):
        self.events.put(("error", message))

    def expect(self, what, *accepted):
        """The first of each accepted (name, test) that comes, in their order."""
        missing = dict(enumerate(accepted))
        found = {}
        until = time.time() + STEP_S
        while missing:
            try:
                name, value = self.events.get(timeout=max(0.0, until - time.time()))
            except queue.Empty:
                sys.exit(f"{what}: not within {STEP_S} s")
            print(name, json.dumps(value)[:600], flush=True)
            if name == "error":
                sys.exit(f"ERROR event: {value}")
            for number, (wanted, test) in list(missing.items()):
                if wanted == name and test(value):
                    found[number] = value
                    del missing[number]
                    break
        return [found[number] for number in sorted(found)]


def any_value(value):
    return True


def state(task, wanted, **more):
    def test(status):
        return (
            status["task_id"]["value"] == task
            and status["state"] == wanted
            and all(status.get(key) == value for key, value in more.items())
        )

    return ("update", test)


def scalar(name, value):
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}}


def task(offer, name, **more):
    resources = [scalar("cpus", 0.5), scalar("mem", 64)]
    return dict(
        task_id={"value": name}, name=name, agent_id=offer["agent_id"], resources=resources, **more
    )


def custom(offer, name):
    executor = {
        "executor_id": {"value": "obedient"},
        "name": "obedient",
        "command": {"value": f"{sys.executable} {EXECUTOR}"},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32)],
    }
    return task(offer, name, executor=executor, data=encode_data(name.encode()))


def start(framework):
    scheduler = Recording()
    principal, secret = CREDENTIALS or (None, None)
    driver = MesosSchedulerDriver(scheduler, framework, MASTER, principal=principal, secret=secret)
    driver.start()
    return scheduler, driver


def offers_of_two_agents(scheduler, driver):
    """Offers of both agents; driver.declineOffer gives back what is left later."""
    by_agent = {}
    while len(by_agent) < 2:
        (offers,) = scheduler.expect("offers", ("offers", any_value))
        for offer in offers:
            by_agent.setdefault(offer["agent_id"]["value"], offer)
    return sorted(by_agent.values(), key=lambda offer: offer["hostname"])


def roomy_offer(scheduler, driver):
    """An offer with room for two tasks; what an ended task leaves is offered at once, by itself."""
    while True:
        (offers,) = scheduler.expect("more offers", ("offers", any_value))
        for offer in offers:
            cpus = [r["scalar"]["value"] for r in offer["resources"] if r["name"] == "cpus"]
            if sum(cpus) >= 1:
                return offer
            driver.declineOffer(offer["id"], filters={"refuse_seconds": 0})


framework = {
    "user": getpass.getuser(),
    "name": "pymesos",
    "checkpoint": True,
    "failover_timeout": 60,
}
scheduler, driver = start(framework)
(framework_id,) = scheduler.expect("registration", ("registered", any_value))
first, second = offers_of_two_agents(scheduler, driver)
agents = [first["hostname"], second["hostname"]]

# Custom executors on both agents, messages both ways, a result.
driver.launchTasks(first["id"], [custom(first, "a")], filters={"refuse_seconds": 1})
driver.launchTasks(second["id"], [custom(second, "b")], filters={"refuse_seconds": 1})
scheduler.expect(
    "both tasks run",
    state("a", "TASK_RUNNING"),
    state("b", "TASK_RUNNING"),
    ("message", "started a".__eq__),
    ("message", "started b".__eq__),
)
driver.sendFrameworkMessage({"value": "obedient"}, first["agent_id"], encode_data(b"finish a"))
_, finished = scheduler.expect(
    "the task obeys the message",
    ("message", "finish a".__eq__),
    state("a", "TASK_FINISHED", source="SOURCE_EXECUTOR"),
)
result = decode_data(finished["data"]).decode()

# Command tasks without an executor.
offer = roomy_offer(scheduler, driver)
good = task(offer, "good", command={"value": "echo good; true"})
bad = task(offer, "bad", command={"value": "exit 3"})
driver.launchTasks(offer["id"], [good, bad], filters={"refuse_seconds": 1})
_, failed = scheduler.expect(
    "command tasks end", state("good", "TASK_FINISHED"), state("bad", "TASK_FAILED")
)

# Reconciliation, of one and of all.
driver.reconcileTasks([{"task_id": {"value": "b"}}])
scheduler.expect("b is known", state("b", "TASK_RUNNING", reason="REASON_RECONCILIATION"))
driver.reconcileTasks([])
scheduler.expect("all are known", state("b", "TASK_RUNNING", reason="REASON_RECONCILIATION"))
driver.reconcileTasks([{"task_id": {"value": "never"}}])
scheduler.expect("lost", state("never", "TASK_LOST", reason="REASON_RECONCILIATION"))

# No offers while suppressed, and offers again. Everything held is given back first.
driver.suppressOffers()
time.sleep(2)
while not scheduler.events.empty():
    name, value = scheduler.events.get()
    if name == "offers":
        for offer in value:
            driver.declineOffer(offer["id"], filters={"refuse_seconds": 0})
time.sleep(3)
while_suppressed = [name for name, _ in list(scheduler.events.queue)]
driver.reviveOffers()
(offers,) = scheduler.expect("offers after revive", ("offers", any_value))
for offer in offers:
    driver.declineOffer(offer["id"], filters={"refuse_seconds": 4294967295})

# The framework comes back under its id and finds its task.
driver.stop(failover=True)
driver.join()
scheduler, driver = start(dict(framework, id={"value": framework_id}))
scheduler.expect("it is the same framework", ("reregistered", framework_id.__eq__))
driver.reconcileTasks([{"task_id": {"value": "b"}}])
scheduler.expect("b lives", state("b", "TASK_RUNNING", reason="REASON_RECONCILIATION"))
driver.killTask({"value": "b"})
scheduler.expect("b is killed", state("b", "TASK_KILLED", source="SOURCE_EXECUTOR"))
driver.stop()
driver.join()

print(
    json.dumps(
        {
            "framework_id": framework_id,
            "agents": agents,
            "result": result,
            "failed": failed["message"],
            "while_suppressed": while_suppressed,
            "version": driver.version,
        }
    )
)
