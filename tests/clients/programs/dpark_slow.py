"""A job of dpark whose parts say in a file that they began, and wait; prints the sum."""

import json
import os
import sys
import time

import dpark.job
from dpark import DparkContext

MASTER, BEGUN, GO = sys.argv[1:]
sys.argv = sys.argv[:1]
PARTS = 12
# In seconds: else it starts a part again that does not yet run, as on a busy machine.
dpark.job.WAIT_FOR_RUNNING = 1000


def part(number):
    """Until it is told that another master leads."""
    with open(os.path.join(BEGUN, str(number)), "a") as out:
        out.write("begun\n")
    while not os.path.exists(GO):
        time.sleep(0.1)
    return number * number


context = DparkContext(MASTER)
total = context.parallelize(range(PARTS), PARTS).map(part).reduce(lambda x, y: x + y)
again = context.parallelize(range(PARTS), PARTS).reduce(lambda x, y: x + y)
context.stop()
print(json.dumps({"total": total, "again": again, "parts": PARTS}))
