// Package e2e runs the binary that ships, in a process of its own, between real
// clients and a scripted upstream that is a process of its own too. What can be
// shown inside one process is tested in internal/forward; here is what cannot:
// bytes lost between schedulers, kill -9, signals, memory of a whole process,
// the command line, and the official SDKs.
//
// The tests carry the build tag e2e because they take minutes:
//
//	go test -tags e2e ./test/e2e
//
// The binary is built by the very line of the Dockerfile. With CI=true a
// missing tool fails a test instead of skipping it.
package e2e
