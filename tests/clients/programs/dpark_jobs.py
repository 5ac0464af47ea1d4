"""Two jobs of dpark: the words of a text counted, and pi estimated; prints the results."""

import json
import os
import random
import sys
import time

from dpark import DparkContext

MASTER, TEXT = sys.argv[1:]
sys.argv = sys.argv[:1]
SPLITS, DARTS = 12, 20000


def where(_):
    """Which work directory, so which machine, a task runs on."""
    time.sleep(0.5)
    return os.environ["MESOS_SLAVE_ID"]


def hits(seed):
    """How many darts hit the quarter of a circle."""
    dice = random.Random(seed)
    return sum(dice.random() ** 2 + dice.random() ** 2 < 1 for _ in range(DARTS))


context = DparkContext(MASTER)
words = (
    context.textFile(TEXT, splitSize=200)
    .flatMap(lambda line: line.split())
    .map(lambda word: (word, 1))
    .reduceByKey(lambda x, y: x + y, 4)
    .collectAsMap()
)
inside = context.parallelize(range(SPLITS), SPLITS).map(hits).reduce(lambda x, y: x + y)
agents = context.parallelize(range(SPLITS), SPLITS).map(where).collect()
context.stop()
print(
    json.dumps(
        {"words": words, "pi": 4.0 * inside / (SPLITS * DARTS), "agents": sorted(set(agents))}
    )
)
