"""What can be done: every authorizable action, its ACL keys, and which roles may ever do it.

The names follow Mesos's authorization actions; the keys are those of its `--acls` document.
The role gate is ours and comes before any rule: what a role may not do, no ACL can grant.
"""

from __future__ import annotations

import enum
from typing import Final

from mesos_twisted.security.core.principal import Role


class ObjectKind(enum.Enum):
    """Which part of an object an action's rules look at."""

    ROLES = "roles"
    USERS = "users"
    PRINCIPALS = "principals"
    PATHS = "paths"
    IMPLICIT = "implicit"


class Action(enum.Enum):
    """One thing a principal may ask for."""

    REGISTER_FRAMEWORK = "register a framework"
    RUN_TASK = "run a task"
    TEARDOWN_FRAMEWORK = "tear down a framework"
    KILL_TASK = "kill a task of a framework"
    RESERVE_RESOURCES = "reserve resources"
    UNRESERVE_RESOURCES = "unreserve resources"
    CREATE_VOLUME = "create a persistent volume"
    DESTROY_VOLUME = "destroy a persistent volume"
    RESIZE_VOLUME = "resize a persistent volume"
    CREATE_BLOCK_DISK = "create a block disk"
    DESTROY_BLOCK_DISK = "destroy a block disk"
    CREATE_MOUNT_DISK = "create a mount disk"
    DESTROY_MOUNT_DISK = "destroy a mount disk"
    DESTROY_RAW_DISK = "destroy a raw disk"
    GET_QUOTA = "read quota"
    UPDATE_QUOTA = "change quota"
    UPDATE_WEIGHT = "change weights"
    VIEW_ROLE = "view a role"
    GET_ENDPOINT = "read an endpoint"
    VIEW_FRAMEWORK = "view a framework"
    VIEW_TASK = "view a task"
    VIEW_EXECUTOR = "view an executor"
    VIEW_CONTAINER = "view a container"
    VIEW_FLAGS = "view flags"
    ACCESS_SANDBOX = "access a sandbox"
    ACCESS_MESOS_LOG = "access the daemon's log"
    SET_LOG_LEVEL = "set the log level"
    LAUNCH_NESTED_CONTAINER = "launch a nested container"
    LAUNCH_NESTED_CONTAINER_SESSION = "launch a nested container session"
    KILL_NESTED_CONTAINER = "kill a nested container"
    WAIT_NESTED_CONTAINER = "wait for a nested container"
    REMOVE_NESTED_CONTAINER = "remove a nested container"
    ATTACH_CONTAINER_INPUT = "attach to a container's input"
    ATTACH_CONTAINER_OUTPUT = "attach to a container's output"
    LAUNCH_STANDALONE_CONTAINER = "launch a standalone container"
    KILL_STANDALONE_CONTAINER = "kill a standalone container"
    WAIT_STANDALONE_CONTAINER = "wait for a standalone container"
    REMOVE_STANDALONE_CONTAINER = "remove a standalone container"
    VIEW_STANDALONE_CONTAINER = "view a standalone container"
    REGISTER_AGENT = "register an agent"
    DRAIN_AGENT = "drain an agent"
    DEACTIVATE_AGENT = "deactivate an agent"
    REACTIVATE_AGENT = "reactivate an agent"
    MARK_AGENT_GONE = "mark an agent gone"
    UPDATE_MAINTENANCE_SCHEDULE = "change the maintenance schedule"
    GET_MAINTENANCE_SCHEDULE = "read the maintenance schedule"
    START_MAINTENANCE = "start maintenance"
    STOP_MAINTENANCE = "stop maintenance"
    GET_MAINTENANCE_STATUS = "read the maintenance status"
    MODIFY_RESOURCE_PROVIDER_CONFIG = "change a resource provider's configuration"
    MARK_RESOURCE_PROVIDER_GONE = "mark a resource provider gone"
    VIEW_RESOURCE_PROVIDER = "view a resource provider"
    PRUNE_IMAGES = "prune images"
    #: Ours, without an ACL key: an executor's own subscription and updates.
    SPEAK_AS_EXECUTOR = "speak as an executor"

    # Members are singletons, and Enum's own hash goes through the name on every look-up.
    __hash__ = object.__hash__


_R, _U, _P, _X = ObjectKind.ROLES, ObjectKind.USERS, ObjectKind.PRINCIPALS, ObjectKind.IMPLICIT

#: ACL key -> (its action, the kind of its objects, the JSON name of its objects).
ACL_KEYS: Final[dict[str, tuple[Action, ObjectKind, str]]] = {
    "register_frameworks": (Action.REGISTER_FRAMEWORK, _R, "roles"),
    "run_tasks": (Action.RUN_TASK, _U, "users"),
    "teardown_frameworks": (Action.TEARDOWN_FRAMEWORK, _P, "framework_principals"),
    # Ours: Mesos has no such call. A framework kills its own tasks on its stream, unasked.
    "kill_tasks": (Action.KILL_TASK, _P, "framework_principals"),
    "reserve_resources": (Action.RESERVE_RESOURCES, _R, "roles"),
    "unreserve_resources": (Action.UNRESERVE_RESOURCES, _P, "reserver_principals"),
    "create_volumes": (Action.CREATE_VOLUME, _R, "roles"),
    "destroy_volumes": (Action.DESTROY_VOLUME, _P, "creator_principals"),
    "resize_volumes": (Action.RESIZE_VOLUME, _R, "roles"),
    "create_block_disks": (Action.CREATE_BLOCK_DISK, _R, "roles"),
    "destroy_block_disks": (Action.DESTROY_BLOCK_DISK, _R, "roles"),
    "create_mount_disks": (Action.CREATE_MOUNT_DISK, _R, "roles"),
    "destroy_mount_disks": (Action.DESTROY_MOUNT_DISK, _R, "roles"),
    "destroy_raw_disks": (Action.DESTROY_RAW_DISK, _R, "roles"),
    "get_quotas": (Action.GET_QUOTA, _R, "roles"),
    "update_quotas": (Action.UPDATE_QUOTA, _R, "roles"),
    "update_weights": (Action.UPDATE_WEIGHT, _R, "roles"),
    "view_roles": (Action.VIEW_ROLE, _R, "roles"),
    "get_endpoints": (Action.GET_ENDPOINT, ObjectKind.PATHS, "paths"),
    "view_frameworks": (Action.VIEW_FRAMEWORK, _U, "users"),
    "view_tasks": (Action.VIEW_TASK, _U, "users"),
    "view_executors": (Action.VIEW_EXECUTOR, _U, "users"),
    "view_containers": (Action.VIEW_CONTAINER, _U, "users"),
    "view_flags": (Action.VIEW_FLAGS, _X, "flags"),
    "access_sandboxes": (Action.ACCESS_SANDBOX, _U, "users"),
    "access_mesos_logs": (Action.ACCESS_MESOS_LOG, _X, "logs"),
    "set_log_level": (Action.SET_LOG_LEVEL, _X, "level"),
    "launch_nested_containers_as_user": (Action.LAUNCH_NESTED_CONTAINER, _U, "users"),
    "launch_nested_container_sessions_as_user": (
        Action.LAUNCH_NESTED_CONTAINER_SESSION,
        _U,
        "users",
    ),
    "kill_nested_containers": (Action.KILL_NESTED_CONTAINER, _U, "users"),
    "wait_nested_containers": (Action.WAIT_NESTED_CONTAINER, _U, "users"),
    "remove_nested_containers": (Action.REMOVE_NESTED_CONTAINER, _U, "users"),
    "attach_containers_input": (Action.ATTACH_CONTAINER_INPUT, _U, "users"),
    "attach_containers_output": (Action.ATTACH_CONTAINER_OUTPUT, _U, "users"),
    "launch_standalone_containers": (Action.LAUNCH_STANDALONE_CONTAINER, _X, "users"),
    "kill_standalone_containers": (Action.KILL_STANDALONE_CONTAINER, _X, "users"),
    "wait_standalone_containers": (Action.WAIT_STANDALONE_CONTAINER, _X, "users"),
    "remove_standalone_containers": (Action.REMOVE_STANDALONE_CONTAINER, _X, "users"),
    "view_standalone_containers": (Action.VIEW_STANDALONE_CONTAINER, _X, "users"),
    "register_agents": (Action.REGISTER_AGENT, _X, "agents"),
    "drain_agents": (Action.DRAIN_AGENT, _X, "agents"),
    "deactivate_agents": (Action.DEACTIVATE_AGENT, _X, "agents"),
    "reactivate_agents": (Action.REACTIVATE_AGENT, _X, "agents"),
    "mark_agents_gone": (Action.MARK_AGENT_GONE, _X, "agents"),
    "update_maintenance_schedules": (Action.UPDATE_MAINTENANCE_SCHEDULE, _X, "machines"),
    "get_maintenance_schedules": (Action.GET_MAINTENANCE_SCHEDULE, _X, "machines"),
    "start_maintenances": (Action.START_MAINTENANCE, _X, "machines"),
    "stop_maintenances": (Action.STOP_MAINTENANCE, _X, "machines"),
    "get_maintenance_statuses": (Action.GET_MAINTENANCE_STATUS, _X, "machines"),
    "modify_resource_provider_configs": (
        Action.MODIFY_RESOURCE_PROVIDER_CONFIG,
        _X,
        "resource_providers",
    ),
    "mark_resource_providers_gone": (Action.MARK_RESOURCE_PROVIDER_GONE, _X, "resource_providers"),
    "view_resource_providers": (Action.VIEW_RESOURCE_PROVIDER, _X, "resource_providers"),
    "prune_images": (Action.PRUNE_IMAGES, _X, "images"),
}

#: The second key of a nested launch: rules on the user the parent container runs as.
PARENT_ACL_KEYS: Final[dict[str, Action]] = {
    "launch_nested_containers_under_parent_with_user": Action.LAUNCH_NESTED_CONTAINER,
    "launch_nested_container_sessions_under_parent_with_user": (
        Action.LAUNCH_NESTED_CONTAINER_SESSION
    ),
}

#: Action -> the kind of object its rules look at.
OBJECT_KINDS: Final[dict[Action, ObjectKind]] = {a: kind for a, kind, _ in ACL_KEYS.values()}

#: The only paths `get_endpoints` can name.
AUTHORIZABLE_PATHS: Final = frozenset(
    {
        "/containers",
        "/containerizer/debug",
        "/files/debug",
        "/logging/toggle",
        "/metrics/snapshot",
        "/monitor/statistics",
    }
)

#: What an executor's token can ever be good for, and only on its own container.
EXECUTOR_ACTIONS: Final = frozenset(
    {
        Action.SPEAK_AS_EXECUTOR,
        Action.LAUNCH_NESTED_CONTAINER,
        Action.LAUNCH_NESTED_CONTAINER_SESSION,
        Action.KILL_NESTED_CONTAINER,
        Action.WAIT_NESTED_CONTAINER,
        Action.REMOVE_NESTED_CONTAINER,
        Action.ATTACH_CONTAINER_OUTPUT,
    }
)

_FRAMEWORK_ACTIONS: Final = frozenset(
    {
        Action.REGISTER_FRAMEWORK,
        Action.RUN_TASK,
        Action.TEARDOWN_FRAMEWORK,
        Action.RESERVE_RESOURCES,
        Action.UNRESERVE_RESOURCES,
        Action.CREATE_VOLUME,
        Action.DESTROY_VOLUME,
        Action.RESIZE_VOLUME,
        Action.CREATE_BLOCK_DISK,
        Action.DESTROY_BLOCK_DISK,
        Action.CREATE_MOUNT_DISK,
        Action.DESTROY_MOUNT_DISK,
        Action.DESTROY_RAW_DISK,
        Action.GET_QUOTA,
        Action.VIEW_ROLE,
        Action.GET_ENDPOINT,
        Action.VIEW_FRAMEWORK,
        Action.VIEW_TASK,
        Action.VIEW_EXECUTOR,
        Action.VIEW_CONTAINER,
        Action.ACCESS_SANDBOX,
        Action.LAUNCH_NESTED_CONTAINER,
        Action.LAUNCH_NESTED_CONTAINER_SESSION,
        Action.KILL_NESTED_CONTAINER,
        Action.WAIT_NESTED_CONTAINER,
        Action.REMOVE_NESTED_CONTAINER,
        Action.ATTACH_CONTAINER_INPUT,
        Action.ATTACH_CONTAINER_OUTPUT,
    }
)

#: Who may ever ask what. An action missing from a role's set is refused before any rule is read.
ROLE_GATE: Final[dict[Role, frozenset[Action]]] = {
    Role.OPERATOR: frozenset(Action) - {Action.REGISTER_AGENT, Action.SPEAK_AS_EXECUTOR},
    Role.FRAMEWORK: _FRAMEWORK_ACTIONS,
    Role.AGENT: frozenset({Action.REGISTER_AGENT}),
    Role.EXECUTOR: EXECUTOR_ACTIONS,
    Role.ZOOKEEPER: frozenset(),
    # A master answers; it asks nothing of anyone through an authorised call.
    Role.MASTER: frozenset(),
}
