#!/bin/sh
# Two laboratories of bare nodes side by side: every fault does what it says, and nothing is left.
# Needs root and changes nothing but what `./lab` makes: sudo -E tests/lab/trial.sh
set -eu
cd "$(dirname "$0")/../.."
LAB_GOLDEN=no LAB_MEMORY=512
export LAB_GOLDEN LAB_MEMORY
one="t$$a" two="t$$b"

fail() { echo "FAILED: $*" >&2; exit 1; }
step() { echo "-- $*"; }
lab() { name=$1; shift; ./lab --name "$name" "$@" </dev/null; }
reaches() { lab "$1" ssh "$2" "ping -q -c 2 -i 0.2 -W 1 $3" >/dev/null; }
remains() {
    ip -o link | grep -e " $1-" || true
    nft list tables | grep -e "mesos_lab_$1" || true
    ls -d "/var/lib/mesos-twisted-lab/$1" 2>/dev/null || true
    grep -e "mesos-twisted-lab/$1/" /proc/mounts || true
    pgrep -a -f "^.lxc monitor. /var/lib/mesos-twisted-lab/$1/" || true
}
trap 'lab "$one" destroy; lab "$two" destroy' EXIT

step "the Vagrantfile"
if command -v vagrant >/dev/null; then
    vagrant validate --ignore-provider >/dev/null </dev/null || fail "vagrant validate"
else
    echo "   vagrant is not installed: not validated"
fi

step "two laboratories with the same names of nodes"
lab "$one" nodes up m1:masters a1:agents b1:agents >/dev/null
lab "$two" nodes up m1:masters a1:agents >/dev/null
for name in "$one" "$two"; do
    [ "$(lab "$name" ssh a1 hostname -f)" = a1 ] || fail "a node does not know its name"
    [ "$(lab "$name" ssh a1 systemctl is-system-running --wait)" = running ] || fail "a1 is not well"
    reaches "$name" a1 m1 || fail "a1 does not reach m1"
done
lab "$one" inventory | grep -q '"mesos_address"' || fail "the inventory lacks addresses"

step "a node sees its own memory, and cannot have more"
[ "$(lab "$one" ssh a1 "free -m | awk '/^Mem/ {print \$2}'")" = 512 ] || fail "lxcfs does not serve a1"
lab "$one" ssh a1 "python3 -c 'bytearray(700 << 20)'" 2>/dev/null && fail "a1 had more than its limit"

step "the world is reached, in both"
for name in "$one" "$two"; do lab "$name" ssh m1 apt-get -qq update || fail "no way out"; done

step "a cut, one way and both, in one laboratory only"
lab "$one" partition m1 a1
! reaches "$one" m1 a1 || fail "the cut lets through"
reaches "$one" m1 b1 || fail "the cut is too wide"
reaches "$two" m1 a1 || fail "the cut is in the other laboratory too"
lab "$one" kill a1
lab "$one" start a1
! reaches "$one" m1 a1 || fail "a restart healed the cut"
lab "$one" heal
reaches "$one" m1 a1 || fail "heal did not"
lab "$one" partition m1
! reaches "$one" b1 m1 || fail "m1 is not alone"
lab "$one" heal

step "kill, freeze and thaw"
lab "$one" kill m1
lab "$one" status | grep -q '^m1 *stopped' || fail "m1 is not stopped"
lab "$one" start m1
lab "$one" freeze m1
# Its kernel, which is the host's, goes on: ping and connect are answered, and no program is.
greets() { lab "$1" ssh "$2" "timeout 5 nc -w 3 $3 22 </dev/null | grep -q SSH-"; }
! greets "$one" a1 m1 || fail "a frozen node answers"
lab "$one" thaw m1
greets "$one" a1 m1 || fail "a thawed node does not answer"
lab "$one" logs m1 -n 5 | grep -q m1 || fail "no journal"

step "nothing is left, and the other laboratory lives"
lab "$one" destroy
left=$(remains "$one"); [ -z "$left" ] || fail "left behind: $left"
reaches "$two" m1 a1 || fail "the other laboratory was harmed"
lab "$two" destroy
left=$(remains "$two"); [ -z "$left" ] || fail "left behind: $left"
trap - EXIT
echo "all as it should be"
