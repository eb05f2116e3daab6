// Package depstmp pins the modules while the rooms are being built; it goes before the first release.
package depstmp

import (
	_ "github.com/DeRuina/timberjack"
	_ "github.com/alicebob/miniredis/v2"
	_ "github.com/dgraph-io/badger/v4"
	_ "github.com/gin-gonic/gin"
	_ "github.com/goccy/go-yaml"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/jedib0t/go-pretty/v6/table"
	_ "github.com/joho/godotenv"
	_ "github.com/klauspost/compress/zstd"
	_ "github.com/maypok86/otter/v2"
	_ "github.com/pkoukk/tiktoken-go"
	_ "github.com/redis/go-redis/v9"
	_ "github.com/schollz/progressbar/v3"
	_ "github.com/spf13/cobra"
	_ "github.com/tidwall/gjson"
	_ "github.com/ulule/limiter/v3"
	_ "go.uber.org/goleak"
	_ "golang.org/x/net/http/httpguts"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
	_ "pgregory.net/rapid"
	_ "github.com/ulule/limiter/v3/drivers/store/redis"
	_ "github.com/pkoukk/tiktoken-go-loader"
)
