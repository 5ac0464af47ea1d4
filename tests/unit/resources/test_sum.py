"""The sum of many resources is what adding them one to the other gives."""

from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.convert import from_messages, to_messages
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


def test_equal_messages_give_the_same_object() -> None:
    text = "cpus:1.5;mem:64;ports:[31000-31001]"
    one, two = (to_messages(resources_from_text(text), refined=True) for _ in range(2))
    assert one == two and from_messages(one) is from_messages(two)


def test_messages_without_a_hash_are_read_too() -> None:
    csi = m.VolumeSourceCSIVolume(
        plugin_name="p",
        static_provisioning=m.VolumeSourceCSIVolumeStaticProvisioning(
            volume_id="v",
            volume_capability=m.VolumeSourceCSIVolumeVolumeCapability(
                access_mode=m.VolumeSourceCSIVolumeVolumeCapabilityAccessMode(
                    mode=m.VolumeSourceCSIVolumeVolumeCapabilityAccessModeMode.SINGLE_NODE_WRITER
                )
            ),
            volume_context={"a": "b"},
        ),
    )
    volume = m.Volume(
        container_path="path",
        mode=m.VolumeMode.RW,
        source=m.VolumeSource(type=m.VolumeSourceType.CSI_VOLUME, csi_volume=csi),
    )
    disk = m.Resource(
        name="disk",
        type=m.ValueType.SCALAR,
        scalar=m.ValueScalar(value=5),
        disk=m.ResourceDiskInfo(volume=volume),
    )
    assert from_messages((disk,)) == from_messages([disk])
