"""What the word count's tasks run. Standard library only: it is fetched into sandboxes by itself.

    wordcount_task.py map PARTS FILE...         count words; part-0.json … in this sandbox
    wordcount_task.py reduce PART URL...        add up one part of every map; result.json

Maps leave their parts in their sandboxes; a reduce downloads them from the agents' files API over
mutual TLS, with the framework's certificate that was fetched beside this script.
"""

import collections
import json
import re
import ssl
import sys
import urllib.request
import zlib

WORD = re.compile(r"[a-z']+")


def split(word: str, parts: int) -> int:
    """Which part counts this word: the same for every map."""
    return zlib.crc32(word.encode()) % parts


def map_files(parts: int, names: list[str]) -> None:
    """Count the words of some files into `parts` files."""
    counts: list[collections.Counter[str]] = [collections.Counter() for _ in range(parts)]
    total = 0
    for name in names:
        with open(name, encoding="utf-8", errors="replace") as source:
            for line in source:
                for word in WORD.findall(line.lower()):
                    counts[split(word, parts)][word] += 1
                    total += 1
    for number, count in enumerate(counts):
        with open(f"part-{number}.json", "w", encoding="utf-8") as out:
            json.dump(count, out)
    print(f"mapped {total} words of {len(names)} files into {parts} parts")


def reduce_part(urls: list[str]) -> None:
    """Add up the same part of every map."""
    context = ssl.create_default_context(cafile="ca.pem")
    context.load_cert_chain("framework.pem", "framework-key.pem")
    total: collections.Counter[str] = collections.Counter()
    for url in urls:
        with urllib.request.urlopen(url, context=context, timeout=60) as answer:
            total.update(json.load(answer))
    with open("result.json", "w", encoding="utf-8") as out:
        json.dump(total, out)
    print(f"reduced {len(urls)} parts to {len(total)} words")


def main(arguments: list[str]) -> None:
    """Run one half of the job; bad arguments are a bug of the scheduler."""
    if arguments[0] == "map":
        map_files(int(arguments[1]), arguments[2:])
    elif arguments[0] == "reduce":
        reduce_part(arguments[1:])
    else:
        sys.exit(f"unknown half {arguments[0]!r}")


if __name__ == "__main__":
    main(sys.argv[1:])
