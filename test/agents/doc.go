// Package agents holds the tests that run coding agents of npm, as they are
// shipped, against the binary and a scripted upstream. They need -tags agents,
// and node_modules beside them:
//
//	npm install --no-save --ignore-scripts --prefix test/agents
//	go test -tags agents ./test/agents
//
// A run is a tool loop: the model asks for a command, the agent executes it,
// and the model ends. A recorder stands on both sides of the gateway, so that
// each body can be compared. Everything happens in a network namespace that has
// loopback only, where the system allows one to be made.
package agents
