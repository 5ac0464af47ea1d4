"""The sum of many resources is what adding them one to the other gives."""

from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.parse import resources_from_text


def test_a_sum_equals_adding_one_by_one() -> None:
    many = [
        resources_from_text(text)
        for text in (
            "cpus:1.5;mem:64;ports:[31000-31001]",
            "cpus:0.001;disk:10;ports:[31002-31005,32000-32000]",
            "mem(web):128;tags:{a,b}",
            "tags:{b,c};cpus:3",
        )
    ]
    added = NOTHING
    for one in many:
        added = added.add(one)
    assert Resources.sum(many) == added
    assert Resources.sum(iter(many)) == added


def test_the_sum_of_nothing_is_nothing() -> None:
    assert Resources.sum([]) is NOTHING
    assert Resources.sum([NOTHING, NOTHING]) is NOTHING
