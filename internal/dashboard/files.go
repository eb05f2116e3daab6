//go:build !no_ui

package dashboard

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var embedded embed.FS

// dist are the built pages.
var dist = func() fs.FS {
	files, err := fs.Sub(embedded, "dist")
	if err != nil {
		panic(err) // the name of the directory is wrong
	}
	return files
}()
