"""Every flag of Apache Mesos's daemons has its place here: a flag, no effect, or a refusal.

The names are those of src/master/flags.cpp, src/slave/flags.cpp, src/logging/flags.cpp and
docs/configuration/, with the deprecated spellings that Mesos still reads.
"""

import pytest

from mesos_twisted import config
from mesos_twisted.agent import config as agent
from mesos_twisted.errors import MalformedError
from mesos_twisted.master import config as master

BOTH = """
acls advertise_ip advertise_port authenticate_http_readonly authenticate_http_readwrite domain
external_log_file firewall_rules hooks hostname hostname_lookup http_authenticators
initialize_driver_logging ip ip_discovery_command log_dir logbufsecs logging_level master_detector
memory_profiling modules modules_dir port quiet version work_dir zk_session_timeout
""".split()

MASTER = """
agent_ping_timeout agent_removal_rate_limit agent_reregister_timeout allocation_interval allocator
allocator_agent_recovery_factor allocator_recovery_timeout authenticate authenticate_agents
authenticate_frameworks authenticate_http authenticate_http_frameworks authenticate_slaves
authentication_v0_timeout authenticators authorizers cluster credentials
fair_sharing_excluded_resource_names filter_gpu_resources framework_sorter
http_framework_authenticators log_auto_initialize master_contender max_agent_ping_timeouts
max_completed_frameworks max_completed_tasks_per_framework max_executors_per_agent
max_executors_per_slave max_operator_event_stream_subscribers max_slave_ping_timeouts
max_unreachable_tasks_per_framework min_allocatable_resources offer_constraints_re2_max_mem
offer_constraints_re2_max_program_size offer_timeout publish_per_framework_metrics quorum
rate_limits recovery_agent_removal_limit recovery_slave_removal_limit registry
registry_fetch_timeout registry_gc_interval registry_max_agent_age registry_max_agent_count
registry_store_timeout registry_strict require_agent_domain role_sorter roles root_submissions
slave_ping_timeout slave_removal_rate_limit slave_reregister_timeout user_sorter webui_dir weights
whitelist zk
""".split()

AGENT = """
agent_features agent_subsystems allowed_capabilities allowed_devices
appc_simple_discovery_uri_prefix appc_store_dir attributes authenticate_http_executors
authenticatee authentication_backoff_factor authentication_timeout_max authentication_timeout_min
authorizer bounding_capabilities cgroups_cpu_enable_pids_and_tids_count cgroups_destroy_timeout
cgroups_enable_cfs cgroups_hierarchy cgroups_limit_swap cgroups_net_cls_primary_handle
cgroups_net_cls_secondary_handles cgroups_root check_agent_port_range_only
container_disk_watch_interval container_logger container_ports_isolated_range
container_ports_watch_interval containerizers credential csi_plugin_config_dir
default_container_dns default_container_info default_container_shm_size default_role
disallow_sharing_agent_ipc_namespace disallow_sharing_agent_pid_namespace disk_profile_adaptor
disk_watch_interval docker docker_config docker_ignore_runtime docker_kill_orphans
docker_mesos_image docker_registry docker_remove_delay docker_socket docker_stop_timeout
docker_store_dir docker_volume_checkpoint_dir docker_volume_chown domain_socket_location
effective_capabilities egress_burst egress_ceil_limit egress_flow_classifier_parent
egress_rate_limit_per_container egress_rate_per_cpu egress_unique_flow_per_container
enforce_container_disk_quota enforce_container_ports ephemeral_ports_per_container eth0_name
executor_environment_variables executor_registration_timeout
executor_reregistration_retry_interval executor_reregistration_timeout executor_secret_key
executor_shutdown_grace_period fetcher_cache_dir fetcher_cache_size fetcher_stall_timeout
frameworks_home gc_delay gc_disk_headroom gc_non_executor_container_sandboxes hadoop_home
host_path_volume_force_creation http_command_executor http_credentials
http_executor_domain_sockets http_heartbeat_interval image_gc_config image_providers
image_provisioner_backend ingress_burst ingress_ceil_limit ingress_isolate_existing_containers
ingress_rate_limit_per_container ingress_rate_per_cpu ip6 ip6_discovery_command isolation
jwt_secret_key launcher launcher_dir lo_name master max_completed_executors_per_framework
maximum_egress_rate_limit maximum_ingress_rate_limit minimum_egress_rate_limit
minimum_ingress_rate_limit network_cni_config_dir network_cni_metrics network_cni_plugins_dir
network_cni_root_dir_persist network_enable_rate_statistics network_enable_snmp_statistics
network_enable_socket_statistics_details network_enable_socket_statistics_summary
network_link_speed network_rate_statistics_interval network_rate_statistics_window
nvidia_gpu_devices oversubscribed_resources_interval perf_duration perf_events perf_interval
qos_controller qos_correction_interval_min reconfiguration_policy recover recovery_timeout
registration_backoff_factor resource_estimator resource_provider_config_dir resources
revocable_cpu_low_priority runtime_dir sandbox_directory seccomp_config_dir seccomp_profile_name
secret_resolver slave_subsystems strict switch_user systemd_enable_support
systemd_runtime_directory volume_gid_range xfs_kill_containers xfs_project_range
xfs_quota_headroom
""".split()

DAEMONS = [
    pytest.param(master, master.MasterConfig, BOTH + MASTER, id="master"),
    pytest.param(agent, agent.AgentConfig, BOTH + AGENT, id="agent"),
]


def load(module, kind, argv, **environ):
    return config.load(
        kind,
        argv,
        environ,
        without_effect=module.WITHOUT_EFFECT,
        refused=module.REFUSED,
        aliases=module.ALIASES,
    )


@pytest.mark.parametrize(("module", "kind", "names"), DAEMONS)
def test_every_flag_of_mesos_has_one_place(module, kind, names):
    own = {item.name for item in config.declared(kind)}
    places = [own, set(module.WITHOUT_EFFECT), set(module.REFUSED), set(module.ALIASES)]
    assert {name: n for name in names if (n := sum(name in place for place in places)) != 1} == {}
    # What is said of a flag is said of one that there is, and an old name leads somewhere.
    assert set().union(*places[1:]) <= set(names)
    assert set(module.ALIASES.values()) <= set().union(*places[:3])


@pytest.mark.parametrize(("module", "kind", "names"), DAEMONS)
def test_a_flag_without_effect_is_a_warning_wherever_it_is_given(module, kind, names):
    for name, why in module.WITHOUT_EFFECT.items():
        for given in ([f"--{name}=x"], [f"--{name}", "x"], [f"--no-{name}"]):
            assert load(module, kind, given).warnings == (f"--{name} has no effect: {why}",)
        variable = f"MESOS_{name.upper()}"
        told = load(module, kind, [], **{variable: "x"}).warnings
        assert told == (f"{variable} has no effect: {why}",)


@pytest.mark.parametrize(("module", "kind", "names"), DAEMONS)
def test_a_refused_flag_says_what_to_do_and_may_be_off(module, kind, names):
    for name, why in module.REFUSED.items():
        for argv, environ, where in (
            ([f"--{name}=x"], {}, f"--{name}"),
            ([], {f"MESOS_{name.upper()}": "x"}, f"MESOS_{name.upper()}"),
        ):
            with pytest.raises(MalformedError) as error:
                load(module, kind, argv, **environ)
            assert str(error.value) == f"{where} cannot be honoured: {why}"
        for off in (f"--{name}=false", f"--no-{name}"):
            assert load(module, kind, [off]).warnings == (
                f"--{name} has no effect: it is off here in any case",
            )


def test_a_refused_setting_in_the_file_names_the_file():
    with pytest.raises(MalformedError, match=r"^seccomp_profile_name in /f cannot be honoured"):
        config.load(
            agent.AgentConfig,
            ["--config=/f"],
            {},
            refused=agent.REFUSED,
            read_file=lambda path: 'seccomp_profile_name = "p"',
        )


def test_deprecated_names_are_those_of_mesos():
    assert (
        load(master, master.MasterConfig, ["--user_sorter=random"]).config.role_sorter == "random"
    )
    assert not load(
        master, master.MasterConfig, ["--no-authenticate_http"]
    ).config.authenticate_http_readwrite
    loaded = load(agent, agent.AgentConfig, ["--executor_secret_key=/k"])
    assert loaded.config.jwt_secret_key == "/k"
    with pytest.raises(MalformedError, match="capabilities of tasks"):
        load(agent, agent.AgentConfig, ["--allowed_capabilities={}"])
