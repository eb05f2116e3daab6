package clients

import (
	"regexp"
	"strings"
)

var (
	about  = regexp.MustCompile(`^Wire: (.+) · Source: <(https://\S+)>$`)
	inFile = regexp.MustCompile("`([^`]+)`:$")
	others = regexp.MustCompile(`[^a-z0-9]+`)
)

// read returns the clients of the document.
func read(text string) (list []Client) {
	group := ""
	for part := range strings.SplitSeq("\n"+text, "\n## ") {
		heading, rest, _ := strings.Cut(part, "\n")
		if strings.TrimSpace(heading) != "" {
			group = strings.TrimSpace(heading)
		}
		sections := strings.Split("\n"+rest, "\n### ")
		for _, section := range sections[1:] {
			if c, ok := readClient(section); ok {
				c.Group = group
				list = append(list, c)
			}
		}
	}
	return list
}

// readClient reads one section; ok is false if it is no recipe.
func readClient(section string) (c Client, ok bool) {
	title, rest, _ := strings.Cut(section, "\n")
	line, text, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	found := about.FindStringSubmatch(line)
	if found == nil {
		return c, false
	}
	c = Client{Title: title, Wire: found[1], Source: found[2], Text: strings.TrimSpace(text) + "\n"}
	c.Name = slug(title)
	c.Blocks = readBlocks(c.Text)
	return c, true
}

// readBlocks returns the fenced blocks. The last line of text before one may
// name its file: "In `~/.codex/config.toml`:".
func readBlocks(text string) (blocks []Block) {
	before, within := "", false
	for line := range strings.Lines(text) {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && within:
			before, within = "", false
		case fence:
			within = true
			b := Block{Language: strings.TrimSpace(language)}
			if found := inFile.FindStringSubmatch(before); found != nil {
				b.File = found[1]
			}
			blocks = append(blocks, b)
		case within:
			blocks[len(blocks)-1].Text += line
		case strings.TrimSpace(line) != "":
			before = strings.TrimSpace(line)
		}
	}
	return blocks
}

// slug is a title as a name on a command line.
func slug(title string) string {
	return strings.Trim(others.ReplaceAllString(strings.ToLower(title), "-"), "-")
}
