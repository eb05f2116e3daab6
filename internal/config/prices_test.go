package config_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestPricesInYAML reads prices the way people write them, with a comment and
// numbers that are not text.
func TestPricesInYAML(t *testing.T) {
	dir(t, map[string]string{"forward.yaml": `
prices:
  openai/gpt-4o: {input: 2.50, output: 10, cached_read: 1.25}
  my-model: # of the machine in the cellar
    input: 0
    output: 0
    tiers:
      - above: 200000
        input: 0.075
        output: 1
        batch: {input: 0.0375, output: 0.5}
        priority: {input: 0.15, output: 2}
  team-model: openai/gpt-4o
  our-claude: {input: 3, call/web_search: 0.01, image/1024x1024/hd: 0.08, times: {speed/fast: 2, inference_geo/us: 1.1}}
`})
	c, _ := mustLoad(t)
	want := "[{openai/gpt-4o  [{0 map[cached_read:$1.25 input:$2.50 output:$10.00] map[] map[]}] map[]} " +
		"{my-model  [{0 map[input:$0.00 output:$0.00] map[] map[]} {200000 map[input:$0.075 output:$1.00] map[input:$0.0375 output:$0.50] map[input:$0.15 output:$2.00]}] map[]} {team-model openai/gpt-4o [] map[]} " +
		"{our-claude  [{0 map[call/web_search:$0.01 image/1024x1024/hd:$0.08 input:$3.00] map[] map[]}] map[inference_geo/us:1.1 speed/fast:2]}]"
	if got := fmt.Sprint(c.Ledger.Prices); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	dir(t, map[string]string{"forward.yaml": "prices:\n  a:\n    inptu: 1\n"})
	found := problems(t)
	if len(found) != 1 || !strings.Contains(found[0].Fix, "input") || !strings.HasPrefix(found[0].Where, "forward.yaml:") {
		t.Errorf("%+v", found)
	}
}
