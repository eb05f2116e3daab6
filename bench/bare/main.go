// Command bare is a proxy that takes an afternoon to write: gin and a
// ReverseProxy, with a buffer pool and enough idle connections. The bench
// measures it beside forward, because it is the alternative to a gateway.
package main

import (
	"flag"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"

	"github.com/gin-gonic/gin"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	upstream := flag.String("upstream", "", "base URL to forward to")
	flag.Parse()
	base, err := url.Parse(*upstream)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(*listen, handler(base)))
}

func handler(base *url.URL) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(base) },
		Transport:     &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true},
		FlushInterval: -1,
		BufferPool:    &buffers{},
	}
	e := gin.New()
	e.NoRoute(func(c *gin.Context) {
		c.Status(http.StatusOK) // gin's default here is 404
		// The transport may still read the body when the answer is over, which
		// the server forbids; a reader that ends by itself does not.
		c.Request.Body = io.NopCloser(io.LimitReader(c.Request.Body, c.Request.ContentLength))
		proxy.ServeHTTP(c.Writer, c.Request)
	})
	return e
}

// buffers is an httputil.BufferPool.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
