"""A mesoshttp scheduler: runs one task to its end, kills another; prints what was seen."""

import getpass
import json
import logging
import sys
import threading
import time

from mesoshttp.client import MesosClient

URL, *PRINCIPAL = sys.argv[1:]
STEP_S = 60
logging.basicConfig(level=logging.WARNING)
updates, offered, driver, problems = [], [], [], []


def task(offer, name, command):
    return {
        "name": name,
        "task_id": {"value": name},
        "agent_id": offer["agent_id"],
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
        "command": {"value": command},
    }


def on_offers(offers):
    for wrapped in offers:
        if offered:
            wrapped.decline({"filters": {"refuse_seconds": 1}})
            continue
        offer = wrapped.get_offer()
        offered.append(offer)
        wrapped.accept([task(offer, "short", "true"), task(offer, "long é", "sleep 1000")])


def on_update(update):
    status = update["status"]
    updates.append((status["task_id"]["value"], status["state"]))
    if updates[-1] == ("long é", "TASK_RUNNING"):
        driver[0].kill(status["agent_id"]["value"], "long é")


client = MesosClient(
    [URL], frameworkName="mesoshttp ☃", frameworkUser=getpass.getuser(), max_reconnect=1
)
if PRINCIPAL:
    client.set_credentials(*PRINCIPAL)
client.on(MesosClient.SUBSCRIBED, driver.append)
client.on(MesosClient.OFFERS, on_offers)
client.on(MesosClient.UPDATE, on_update)
client.on(MesosClient.ERROR, problems.append)
thread = threading.Thread(target=client.register, daemon=True)
thread.start()
wanted = {("short", "TASK_FINISHED"), ("long é", "TASK_KILLED")}
until = time.time() + STEP_S
while thread.is_alive() and not wanted <= set(updates) and not problems and time.time() < until:
    time.sleep(0.05)
if driver:
    driver[0].tearDown()
print(
    json.dumps(
        {
            "updates": updates,
            "problems": problems,
            "framework": client.frameworkId,
            "master": (client.get_master_info() or {}).get("hostname"),
        }
    )
)
