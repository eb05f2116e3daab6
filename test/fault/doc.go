// Package fault runs the fault table against the binary that ships, with
// everything on: managed keys with budgets, limits, the lines of models,
// quotas, the ledger, the chat log, the cache, metrics. After each scenario the
// invariants of invariants_test.go hold: every call that the upstream saw has
// its row in the ledger, every remembered answer is whole, no API key and no
// prompt that a policy forbids to keep is in any answer, log or file,
// goroutines and descriptors are back where they were, and the gateway serves
// on and ends well.
//
//	make fault   # all; what needs root (network namespaces, small file systems, limits of the kernel) only as root
//	make soak    # half an hour of mixed load with faults, and where memory, goroutines and descriptors go
//
// The first writes docs/FAULTS.md. CI runs the same scenarios and leaves the
// file alone, but the table test fails where the file and the table differ.
//
// # Adding a scenario
//
// A row of the table is a scenario in the list of its subject's file
// (upstream_test.go, client_test.go, …, disk_root_test.go), which table_test.go
// joins. It has the fault, the promise to a user in one sentence, whether it
// needs root, and a function that makes the fault and looks at what the user
// gets:
//
//	{id: "F05", fault: "reset after the request, before headers", promise: "…", run: func(s *scene) {
//		g := s.start(setup{})
//		a := g.chat("reset-before-headers", "")      // the script of internal/upstreamtest that the upstream plays
//		s.refused(a, 502, "upstream_reset")
//		s.calls(a, 1)                                // how often the upstream has seen it
//	}}
//
// A scene has an upstream of its own (s.up), which counts, and as many gateways
// as are started; each has a directory of its own unless setup.dir names
// otherwise. The invariants are checked by the table's runner when the function
// returns: there is nothing to call. Scenarios run side by side on few cores,
// so nothing may depend on the machine being fast. What cannot be tried
// honestly has a notRun instead of a run, with the reason.
package fault
