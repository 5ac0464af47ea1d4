"""A custom executor of the standard library alone. It tells its framework all that it hears.

The first message holds its environment and the SUBSCRIBED event; then one message for each event.
A framework's message is an order: `{"update": {…}}` sends a status, `{"exit": 3}` ends the process.
Run by the tests as `python executor.py`; a file named by $HEARD gets a line for each event too.
"""

import base64
import http.client
import json
import os
import sys
import uuid
from typing import Any

ENDPOINT = os.environ["MESOS_AGENT_ENDPOINT"]
IDS = {
    "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]},
    "framework_id": {"value": os.environ["MESOS_FRAMEWORK_ID"]},
}
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Authorization": "Bearer " + os.environ["MESOS_EXECUTOR_AUTHENTICATION_TOKEN"],
}


def post(kind: str, **body: Any) -> http.client.HTTPResponse:
    """One call on a connection of its own; the answer is still to be read."""
    host, port = ENDPOINT.split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request(
        "POST", "/api/v1/executor", json.dumps({**IDS, "type": kind, **body}), HEADERS
    )
    return connection.getresponse()


def send(kind: str, **body: Any) -> None:
    """A call that is accepted."""
    answer = post(kind, **body)
    assert (answer.status, answer.read()) == (202, b""), (kind, answer.status)


def update(task_id: str, state: str, **more: Any) -> None:
    """The task is in that state."""
    status = {
        "task_id": {"value": task_id},
        "state": state,
        "source": "SOURCE_EXECUTOR",
        "uuid": base64.b64encode(uuid.uuid4().bytes).decode(),
        **more,
    }
    send("UPDATE", update={"status": status})


def tell(what: Any) -> None:
    """A message to the framework, and a line in the file."""
    if "HEARD" in os.environ:
        with open(os.environ["HEARD"], "a") as file:
            file.write(json.dumps(what) + "\n")
    send("MESSAGE", message={"data": base64.b64encode(json.dumps(what).encode()).decode()})


def hear(event: dict[str, Any]) -> None:
    """Act on one event."""
    kind = event["type"]
    if kind == "SUBSCRIBED":
        tell({"environment": dict(os.environ), **event})
        return
    if kind != "MESSAGE":
        tell(event)
    if kind == "LAUNCH":
        update(event["launch"]["task"]["task_id"]["value"], "TASK_RUNNING")
    elif kind == "LAUNCH_GROUP":
        for task in event["launch_group"]["task_group"]["tasks"]:
            update(task["task_id"]["value"], "TASK_RUNNING")
    elif kind == "KILL":
        update(event["kill"]["task_id"]["value"], "TASK_KILLED")
    elif kind == "SHUTDOWN":
        sys.exit(0)
    elif kind == "MESSAGE":
        order = json.loads(base64.b64decode(event["message"]["data"]))
        if "update" in order:
            update(**order["update"])
        if "exit" in order:
            os._exit(order["exit"])


def main() -> None:
    """Subscribe and act until told to end."""
    stream = post("SUBSCRIBE", subscribe={})
    assert stream.status == 200, (stream.status, stream.read())
    while length := stream.readline():
        hear(json.loads(stream.read(int(length))))


if __name__ == "__main__":
    main()
