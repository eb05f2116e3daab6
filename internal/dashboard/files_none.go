//go:build no_ui

package dashboard

import "embed"

// dist are no pages.
var dist embed.FS
