Add `mesos-twisted connect`, a loopback door to the cluster for clients that cannot speak TLS.
