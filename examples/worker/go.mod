module bulkhead.dev/examples/worker

go 1.25
