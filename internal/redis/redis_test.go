package redis_test

import (
	"strings"
	"testing"

	"forward/internal/redis"
)

func TestARedisURLIsNotRepeated(t *testing.T) {
	for _, url := range []string{
		"localhost:6379", "redis://:s3cret@host:port", "redis://:s3cret@[::1/0", "http://:s3cret@host", "redis://u:s3cret@h/notanumber", "redis://:s3cret%zz@h",
	} {
		c, err := redis.Open(redis.Options{URL: url})
		if err == nil {
			c.Close()
			t.Errorf("%s: no error", url)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the password is in %q", err)
		}
	}
}
