"""Files shown over HTTP: logs and sandboxes under virtual paths. Shared by master and agent."""
