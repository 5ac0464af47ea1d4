"""A real cluster under faults at random instants: real processes, networks and disks.

    python -m mesos_twisted.testing.chaos --minutes 3 --seed 1

`enclosure` is the world it all happens in, `cluster` the processes, `framework` who launches tasks,
`plan` which faults come when, `faults` how they are done, `verdict` whether promises held.
"""
