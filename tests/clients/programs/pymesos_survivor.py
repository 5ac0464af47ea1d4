"""A pymesos scheduler with a long task that waits for a new master and finds its task alive."""

import getpass
import logging
import sys
import threading
import time

from pymesos import MesosSchedulerDriver, Scheduler

STEP_S = 60
logging.basicConfig(level=logging.WARNING)
COMMAND = {"value": "sleep 1000"}


class Survivor(Scheduler):
    def __init__(self):
        self.launched = False
        self.running, self.again, self.alive, self.killed = (threading.Event() for _ in range(4))

    def reregistered(self, driver, master_info):
        self.again.set()

    def resourceOffers(self, driver, offers):
        for offer in offers:
            if self.launched:
                driver.declineOffer(offer["id"])
                continue
            self.launched = True
            resources = [
                {"name": name, "type": "SCALAR", "scalar": {"value": value}}
                for name, value in (("cpus", 0.1), ("mem", 32))
            ]
            task = {"task_id": {"value": "long"}, "name": "long", "agent_id": offer["agent_id"]}
            driver.launchTasks(offer["id"], [dict(task, resources=resources, command=COMMAND)])

    def statusUpdate(self, driver, status):
        print(status["state"], status.get("reason"), status.get("message"), flush=True)
        if status["state"] == "TASK_KILLED":
            self.killed.set()
        elif status["state"] == "TASK_RUNNING":
            (self.alive if self.again.is_set() else self.running).set()


scheduler = Survivor()
framework = {
    "user": getpass.getuser(),
    "name": "survivor",
    "checkpoint": True,
    "failover_timeout": 600,
}
driver = MesosSchedulerDriver(scheduler, framework, sys.argv[1])
driver.start()
if not scheduler.running.wait(STEP_S):
    sys.exit("the task did not start")
# A call that fails inside one of its callbacks ends pymesos, so none may be under way now.
driver.suppressOffers()
time.sleep(1)
print("running", flush=True)
if not scheduler.again.wait(STEP_S):
    sys.exit("not registered again")
for _ in range(STEP_S):
    # The agents may not be back yet; until then the master does not answer.
    driver.reconcileTasks([{"task_id": {"value": "long"}}])
    if scheduler.alive.wait(1):
        break
else:
    sys.exit("the task was not found again")
driver.killTask({"value": "long"})
if not scheduler.killed.wait(STEP_S):
    sys.exit("the task was not killed")
driver.stop()
driver.join()
print("survived", flush=True)
