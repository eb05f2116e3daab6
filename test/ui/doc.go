// Package ui drives the dashboard in a browser: the binary that ships, in front
// of the scripted upstream, and Chromium, which playwright-core steers. Each
// scene is a gateway with a history of its own, such as an empty ledger or one
// of a million rows. The steps of the browser are in the *.test.mjs files.
//
//	go test -tags ui ./test/ui
//
// FORWARD_UI_SCREENSHOTS names a directory for pictures of every page.
package ui
