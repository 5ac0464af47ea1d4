Serve the executor API on a Unix socket as well: `--http_executor_domain_sockets` and `--domain_socket_location`; executors find it in `MESOS_DOMAIN_SOCKET`.
