module bulkhead.dev/test/cluster/images/probe

go 1.25
