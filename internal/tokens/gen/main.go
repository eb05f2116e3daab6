// Command gen packs OpenAI's vocabularies for embedding. It reads the rank
// files that the module tiktoken-go-loader carries (base64 text, 6.97 MB for
// four encodings) and writes vocab/*.zst beside the package tokens (1.5 MB for
// the same four). Nothing is downloaded: the module's checksum in go.sum pins
// the content.
//
// A packed vocabulary is, before zstd: the number n of ranks as a little-endian
// uint32, n bytes with the length of each token in rank order (0: no such
// rank), and the tokens' bytes one after the other.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pkoukk/tiktoken-go-loader/assets"
)

func main() {
	if err := run("vocab"); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run writes the packed vocabularies into dir. r50k_base is not written: it is
// p50k_base without the runs of spaces above rank 50256, which run proves
// before it relies on it.
func run(dir string) error {
	for _, name := range []string{"o200k_base", "cl100k_base", "p50k_base"} {
		tokens, err := read(name)
		if err != nil {
			return err
		}
		if err := write(filepath.Join(dir, name+".zst"), tokens); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	r50k, err := read("r50k_base")
	if err != nil {
		return err
	}
	p50k, err := read("p50k_base")
	if err != nil {
		return err
	}
	for rank, token := range r50k {
		if !bytes.Equal(token, p50k[rank]) {
			return fmt.Errorf("r50k_base is not the head of p50k_base: rank %d differs", rank)
		}
	}
	fmt.Printf("r50k_base is the first %d ranks of p50k_base\n", len(r50k))
	return nil
}

// read returns the tokens of one encoding, indexed by rank.
func read(name string) ([][]byte, error) {
	text, err := assets.Assets.ReadFile(name + ".tiktoken")
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	var tokens [][]byte
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		coded, number, ok := strings.Cut(lines.Text(), " ")
		rank, err := strconv.Atoi(number)
		if !ok || err != nil || rank < 0 || rank >= 1<<24 {
			return nil, fmt.Errorf("reading %s: no rank in %q", name, lines.Text())
		}
		token, err := base64.StdEncoding.DecodeString(coded)
		if err != nil || len(token) == 0 || len(token) > math.MaxUint8 {
			return nil, fmt.Errorf("reading %s: no token in %q", name, lines.Text())
		}
		for len(tokens) <= rank {
			tokens = append(tokens, nil)
		}
		tokens[rank] = token
	}
	return tokens, lines.Err()
}

// write packs tokens into the file path.
func write(path string, tokens [][]byte) error {
	packed := binary.LittleEndian.AppendUint32(nil, uint32(len(tokens)))
	for _, token := range tokens {
		packed = append(packed, byte(len(token)))
	}
	for _, token := range tokens {
		packed = append(packed, token...)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	squeezed := enc.EncodeAll(packed, nil)
	fmt.Printf("%s: %d ranks, %d bytes, %d packed\n", path, len(tokens), len(packed), len(squeezed))
	return os.WriteFile(path, squeezed, 0o644)
}
