"""A custom executor on pymesos's own driver: tasks run until they are told otherwise."""

import sys

from pymesos import Executor, MesosExecutorDriver, decode_data, encode_data


class Obedient(Executor):
    def __init__(self):
        self.tasks = {}

    def registered(self, driver, executor_info, framework_info, agent_info):
        print("registered at", agent_info["hostname"], flush=True)

    def launchTask(self, driver, task):
        self.tasks[task["task_id"]["value"]] = task
        self.tell(driver, task, "TASK_RUNNING")
        driver.sendFrameworkMessage(encode_data(b"started " + decode_data(task["data"])))

    def frameworkMessage(self, driver, message):
        word, _, name = decode_data(message).decode().partition(" ")
        driver.sendFrameworkMessage(message)
        if word == "finish":
            self.tell(driver, self.tasks.pop(name), "TASK_FINISHED", b"the result")

    def killTask(self, driver, task_id):
        self.tell(driver, self.tasks.pop(task_id["value"]), "TASK_KILLED")

    def tell(self, driver, task, state, data=b""):
        status = {"task_id": task["task_id"], "agent_id": task["agent_id"], "state": state}
        if data:
            status["data"] = encode_data(data)
        driver.sendStatusUpdate(status)

    def shutdown(self, driver):
        print("shutdown", flush=True)


sys.exit(MesosExecutorDriver(Obedient()).run())
