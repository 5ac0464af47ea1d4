The state page shows a task's sandbox and follows its output from a browser that reaches only the
master, which passes agents' files on at `/agent/<agent id>/files/{browse,read,download}` to whoever
may see them. Requests that other sites' pages make a browser send are refused by master and agents.
