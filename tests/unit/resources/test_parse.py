"""What operators may write for resources and attributes, and what they are told otherwise."""

from __future__ import annotations

import pytest

from mesos_twisted.errors import MalformedError, Problem
from mesos_twisted.resources.attributes import format_attributes, parse_attributes
from mesos_twisted.resources.parse import format_resources, parse_resources, resources_from_text
from mesos_twisted.resources.quantities import format_quantities, parse_quantities
from mesos_twisted.resources.roles import check_role, is_strict_subrole, lineage


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpus:4;mem(web):1024;ports:[31000-32000]", "cpus:4; mem(web):1024; ports:[31000-32000]"),
        (" cpus : 0.5 ; mem:12.3456 ", "cpus:0.5; mem:12.346"),
        ("cpus:1;cpus:2", "cpus:3"),
        ("ports:[5-9, 1-4,20-20]", "ports:[1-9, 20-20]"),
        ("bugs(debug_role):{c,a,b}", "bugs(debug_role):{a, b, c}"),
        ("cpus(*):1", "cpus:1"),
        ("cpus:0;mem:1", "mem:1"),
        ("", "{}"),
        ("cpus:1e2", "cpus:100"),
        ('[{"name":"cpus","type":"SCALAR","scalar":{"value":24}}]', "cpus:24"),
        (
            '[{"name":"p","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]},"role":"r"}]',
            "p(r):[1-2]",
        ),
    ],
)
def test_text_is_read(text: str, expected: str) -> None:
    """The documented grammar, with blanks and repeated names, and JSON."""
    assert format_resources(resources_from_text(text)) == expected


def test_default_role_applies_to_both_forms() -> None:
    """Only resources without a role get the default one."""
    assert (
        format_resources(resources_from_text("cpus:1;mem(a):2", "ops")) == "cpus(ops):1; mem(a):2"
    )
    json = '[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]'
    assert format_resources(resources_from_text(json, "ops")) == "cpus(ops):1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cpus", "must be a name"),
        ("cpus:1:2", "must be a name"),
        ("cpus:-1", "not a number of zero or more"),
        ("cpus:many", "not a number"),
        ("cpus:[1-", "brackets"),
        ("ports:[1-2,3]", "pairs of whole numbers"),
        ("ports:[9-1]", "begins after it ends"),
        ("cpus(a:1", "parentheses"),
        ("cpus(a/):1", "empty component"),
        ("cpus(..):1", "not allowed"),
        (":1", "must be a name"),
        ("cpus:1;cpus:{a}", "two types"),
        ("[1]", "JSON"),
        ('[{"name":"cpus","type":"SCALAR","scalar":{"value":0.0001}}]', "the least is 0.001"),
        ('[{"name":"cpus","type":"SCALAR"}]', "its value is not just that"),
        ('[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"revocable":{}}]', "revocable"),
        (
            '[{"name":"disk","type":"SCALAR","scalar":{"value":1},'
            '"disk":{"persistence":{"id":"x"}}}]',
            "CREATE",
        ),
        (
            '[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"role":"a",'
            '"reservation":{"principal":"p"}}]',
            "RESERVE",
        ),
        (
            '[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"disk":{}}]',
            "only scalar 'disk' may",
        ),
    ],
)
def test_bad_text_is_refused_with_a_reason(text: str, words: str) -> None:
    """The sentence names what is wrong; the raising form says the same."""
    found = parse_resources(text)
    assert isinstance(found, Problem) and words in found.sentence
    with pytest.raises(MalformedError):
        resources_from_text(text)


def test_attributes_are_typed() -> None:
    """Numbers, ranges and words; a set or a lone name is refused."""
    found = parse_attributes("rack:abc;zone:west;os:centos5;level:10;keys:[1000-1500]")
    assert not isinstance(found, Problem)
    assert [one.kind.value for one in found] == ["TEXT", "TEXT", "TEXT", "SCALAR", "RANGES"]
    assert format_attributes(found) == "rack:abc;zone:west;os:centos5;level:10;keys:[1000-1500]"
    for text in ("rack", "rack:", ":x", "a:{b}"):
        assert isinstance(parse_attributes(text), Problem)


def test_quantities_are_read() -> None:
    """As in `--min_allocatable_resources`, one alternative at a time."""
    found = parse_quantities("cpus:0.01;mem:32")
    assert not isinstance(found, Problem)
    assert format_quantities(found) == "cpus:0.01; mem:32"
    for text in ("cpus", "cpus:-1", "cpus:1;cpus:2", "cpus:x"):
        assert isinstance(parse_quantities(text), Problem)


@pytest.mark.parametrize("role", ["*", "a", "a/b", "a.b", "a_b/c-d", "ä"])
def test_good_roles(role: str) -> None:
    """The default role, plain and hierarchical names."""
    assert check_role(role) is None


@pytest.mark.parametrize("role", ["", "/a", "a/", "a//b", ".", "a/..", "a/*", "-a", "a b", "a\t"])
def test_bad_roles(role: str) -> None:
    """Names that could not be told apart or written on a command line."""
    assert isinstance(check_role(role), Problem)


def test_lineage() -> None:
    """A role's ancestors come outermost first; no role lies below itself or a namesake."""
    assert lineage("a/b/c") == ("a", "a/b", "a/b/c")
    assert is_strict_subrole("a/b", "a")
    assert not is_strict_subrole("a", "a")
    assert not is_strict_subrole("ab", "a")
