// Package docs embeds the documents that the gateway shows: they stand once, as
// readers find them in the repository.
package docs

import _ "embed"

// Clients is clients.md, which package clients reads.
//
//go:embed clients.md
var Clients string
