"""Every read call of pymesos's operator drivers, and the master's event stream; prints it all."""

import getpass
import json
import logging
import sys
import threading
import time

from pymesos import (
    MesosOperatorAgentDriver,
    MesosOperatorMasterDriver,
    MesosSchedulerDriver,
    OperatorMaster,
    Scheduler,
)

FRAMEWORK, MASTER, AGENT = sys.argv[1:]
STEP_S = 30
logging.basicConfig(level=logging.WARNING)


class Recording(OperatorMaster):
    def __init__(self):
        self.events = []

    def taskAdded(self, task_info):
        self.events.append(("task added", task_info["task_id"]["value"], task_info["state"]))

    def taskUpdated(self, task_info):
        status = task_info["status"]
        self.events.append(("task updated", status["task_id"]["value"], task_info["state"]))

    def frameworkAdded(self, framework_info):
        self.events.append(("framework added", framework_info["framework_info"]["name"]))

    def frameworkUpdated(self, framework_info):
        self.events.append(("framework updated", framework_info["framework_info"]["name"]))

    def frameworkRemoved(self, framework_info):
        self.events.append(("framework removed", framework_info["name"]))

    def agentAdded(self, agent_info):
        self.events.append(("agent added", agent_info["agent_info"]["hostname"]))

    def agentRemoved(self, agent_info):
        self.events.append(("agent removed", agent_info))

    def __getattr__(self, name):
        raise AttributeError(name)


class OneTask(Scheduler):
    """Runs one command and tears down."""

    def __init__(self):
        self.done = threading.Event()
        self.launched = False

    def resourceOffers(self, driver, offers):
        for offer in offers:
            if self.launched or offer["hostname"] != "localhost":
                driver.declineOffer(offer["id"])
                continue
            self.launched = True
            resources = [
                {"name": name, "type": "SCALAR", "scalar": {"value": value}}
                for name, value in (("cpus", 0.1), ("mem", 32))
            ]
            task = {
                "task_id": {"value": "seen"},
                "name": "seen",
                "agent_id": offer["agent_id"],
                "resources": resources,
                "command": {"value": "echo of the task"},
            }
            driver.launchTasks(offer["id"], [task])

    def statusUpdate(self, driver, status):
        if status["state"] == "TASK_FINISHED":
            self.done.set()


watcher = Recording()
watching = MesosOperatorMasterDriver(MASTER, watcher)
watching.start()
until = time.time() + STEP_S
while not watching.connected and time.time() < until:
    time.sleep(0.05)
scheduler = OneTask()
driver = MesosSchedulerDriver(scheduler, {"user": getpass.getuser(), "name": "watched"}, FRAMEWORK)
driver.start()
assert scheduler.done.wait(STEP_S), "the task did not finish"
time.sleep(0.5)

master, agent = MesosOperatorMasterDriver(MASTER), MesosOperatorAgentDriver(AGENT)
answers = {}
for name, daemon in (("master", master), ("agent", agent)):
    answers[name] = {
        "health": daemon.getHealth(),
        "flags": daemon.getFlags(),
        "version": daemon.getVersion(),
        "metrics": daemon.getMetrics(1000000000),
        "logging": daemon.getLoggingLevel(),
        "set_logging": daemon.setLoggingLevel(1, 1000000000),
        "state": daemon.getState(),
        "frameworks": daemon.getFrameworks(),
        "executors": daemon.getExecutors(),
        "tasks": daemon.getTasks(),
    }
answers["master"].update(
    agents=master.getAgents(),
    roles=master.getRoles(),
    weights=master.getWeights(),
    master=master.getMaster(),
    maintenance_status=master.getMaintenanceStatus(),
    maintenance_schedule=master.getMaintenanceSchedule(),
    quota=master.getQuota(),
)
answers["agent"].update(containers=agent.getContainers())
master.updateWeights([{"role": "watched", "weight": 2.5}])
until = time.time() + STEP_S
while "get_weights" not in master.getWeights() and time.time() < until:
    time.sleep(0.05)
answers["weights_after"] = master.getWeights()
master.updateWeights([{"role": "watched", "weight": 1.0}])

sandbox = f"/frameworks/{driver.framework_id}/executors/seen/runs/latest"
answers["files"] = agent.listFiles(sandbox)
answers["file"] = agent.readFile(sandbox + "/stdout", 100, 3)

driver.stop()
driver.join()
until = time.time() + STEP_S
while ("framework removed", "watched") not in watcher.events and time.time() < until:
    time.sleep(0.05)
watching.stop()
answers["events"] = watcher.events
print(json.dumps(answers))
