"""A job of dpark that takes a while: each part says in a file that it began; prints the sum."""

import json
import os
import sys
import time

from dpark import DparkContext

MASTER, BEGUN = sys.argv[1:]
sys.argv = sys.argv[:1]
PARTS = 12


def part(number):
    """Long enough for another master to lead."""
    with open(os.path.join(BEGUN, str(number)), "a") as out:
        out.write("begun\n")
    time.sleep(15.0)
    return number * number


context = DparkContext(MASTER)
total = context.parallelize(range(PARTS), PARTS).map(part).reduce(lambda x, y: x + y)
again = context.parallelize(range(PARTS), PARTS).reduce(lambda x, y: x + y)
context.stop()
print(json.dumps({"total": total, "again": again, "parts": PARTS}))
