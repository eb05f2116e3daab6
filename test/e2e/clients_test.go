//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"forward/internal/clients"
	"forward/test/harness"
)

// recipeKeys are the API keys behind the recipes, by the path of their provider
// at the scripted upstream.
var recipeKeys = map[string]string{"/at-openai": "sk-recipe-openai-4Wq8", "/at-anthropic": "sk-ant-recipe-7Zk2", "/at-google": "AIza-recipe-9Fd5"}

const recipeKey = "fk-recipe-Tq7Mb2Ns9Lf4Kx8"

// startForRecipes runs a gateway to one path of a scripted upstream for each
// provider, and returns the recipes for it.
func startForRecipes(t *testing.T) (*upstream, *clients.Guide) {
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(), "FORWARD_KEY=alice="+recipeKey,
		"OPENAI_BASE_URL="+up.URL+"/at-openai", "OPENAI_API_KEY="+recipeKeys["/at-openai"],
		"ANTHROPIC_BASE_URL="+up.URL+"/at-anthropic", "ANTHROPIC_API_KEY="+recipeKeys["/at-anthropic"],
		"GEMINI_BASE_URL="+up.URL+"/at-google", "GEMINI_API_KEY="+recipeKeys["/at-google"])
	guide, err := clients.New(clients.Options{URL: gw.URL, Key: recipeKey})
	if err != nil {
		t.Fatal(err)
	}
	return up, guide
}

// arrived checks that as many requests as answers came, each with the API key
// of its provider and none with the forward key.
func (u *upstream) arrived(t *testing.T, n int) {
	t.Helper()
	all := u.requests()
	if len(all) != n {
		t.Errorf("%d requests reached the upstream, want %d", len(all), n)
	}
	for _, r := range all {
		provider, _, _ := strings.Cut(strings.TrimPrefix(r.URI, "/"), "/")
		sent := ""
		for name, values := range r.Header {
			sent += name + ": " + strings.Join(values, ", ") + "\n"
		}
		if want := recipeKeys["/"+provider]; want == "" || !strings.Contains(sent, want) || strings.Contains(sent+r.URI, recipeKey) {
			t.Errorf("%s came with\n%s", r.URI, sent)
		}
	}
}

// blocksOf returns the blocks of all recipes in a language, by client.
func blocksOf(guide *clients.Guide, language string) map[string]string {
	blocks := map[string]string{}
	for _, c := range guide.Clients {
		for _, b := range c.Blocks {
			if b.Language == language {
				blocks[c.Name] += b.Text
			}
		}
	}
	return blocks
}

// TestRecipesOfCurl runs the commands as they stand.
func TestRecipesOfCurl(t *testing.T) {
	if !hasProgram("curl") {
		harness.Missing(t, "curl")
	}
	up, guide := startForRecipes(t)
	n := 0
	for line := range strings.Lines(strings.ReplaceAll(blocksOf(guide, "sh")["curl"], "\\\n", " ")) {
		out, err := exec.Command("sh", "-c", strings.Replace(line, "curl ", "curl -sS --fail-with-body ", 1)).CombinedOutput()
		want := "You said: Hello!"
		if strings.Contains(line, "/models ") {
			want = "gpt-4o-mini" // of the list
		} else {
			n++
		}
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
		if want != "gpt-4o-mini" {
			up.arrived(t, n)
		}
	}
	if n != 4 {
		t.Errorf("%d requests, one for each wire are wanted", n)
	}
}

var imported = regexp.MustCompile(`(?m)^import .* from "([^"]+)";$`)

// TestRecipesOfNode runs the programs whose packages test/sdk has, and has the
// others parsed.
func TestRecipesOfNode(t *testing.T) {
	node, sdk := nodeAndSuites(t)
	up, guide := startForRecipes(t)
	ran := 0
	for name, program := range blocksOf(guide, "js") {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Symlink(filepath.Join(sdk, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "recipe.mjs")
			if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			has := func(m []string) bool {
				_, err := os.Stat(filepath.Join(dir, "node_modules", m[1]))
				return err == nil
			}
			if packages := imported.FindAllStringSubmatch(program, -1); !slices.ContainsFunc(packages, func(m []string) bool { return !has(m) }) {
				ran++
				up.reset()
				out := runNode(t, node, file, nil)
				up.arrived(t, strings.Count(out, "You said: Hello!"))
				if out == "" || strings.Trim(strings.ReplaceAll(out, "You said: Hello!", ""), "\n") != "" {
					t.Errorf("it wrote %q", out)
				}
				return
			}
			if out, err := exec.Command(node, "--check", file).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	if ran != 4 {
		t.Errorf("%d programs ran; those of three SDKs and of the AI SDK are wanted", ran)
	}
}

// TestRecipesOfVariables: the SDKs find the gateway by the variables alone.
func TestRecipesOfVariables(t *testing.T) {
	node, sdk := nodeAndSuites(t)
	up, guide := startForRecipes(t)
	for name, program := range map[string]string{
		"openai-sdk": `import OpenAI from "openai";
const a = await new OpenAI().responses.create({ model: "gpt-5.4", input: "Hello!" });
console.log(a.output_text);`,
		"anthropic-sdk": `import Anthropic from "@anthropic-ai/sdk";
const a = await new Anthropic().messages.create({ model: "claude-sonnet-5", max_tokens: 99, messages: [{ role: "user", content: "Hello!" }] });
console.log(a.content[0].text);`,
		"google-gen-ai-sdk": `import { GoogleGenAI } from "@google/genai";
const a = await new GoogleGenAI({}).models.generateContent({ model: "gemini-2.5-flash", contents: "Hello!" });
console.log(a.text);`,
	} {
		t.Run(name, func(t *testing.T) {
			c, ok := guide.Find(name)
			if !ok {
				t.Fatal("there is no such recipe")
			}
			var env []string
			for name, value := range c.Env() {
				env = append(env, name+"="+value)
			}
			file := filepath.Join(t.TempDir(), "recipe.mjs")
			if err := os.Symlink(filepath.Join(sdk, "node_modules"), filepath.Join(filepath.Dir(file), "node_modules")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			up.reset()
			if out := runNode(t, node, file, env); out != "You said: Hello!\n" {
				t.Errorf("it wrote %q", out)
			}
			up.arrived(t, 1)
		})
	}
}

// runNode runs a program with nothing of this test's environment that an SDK
// reads, and returns what it wrote to stdout.
func runNode(t *testing.T, node, file string, env []string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), node, file)
	ofSDK := regexp.MustCompile(`^(OPENAI|ANTHROPIC|GOOGLE|GEMINI|AI)_`)
	c.Env = append(slices.DeleteFunc(os.Environ(), ofSDK.MatchString), env...)
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Errorf("%v\n%s%s", err, out, &errs)
	}
	return string(out)
}

// TestRecipesOfPython has the programs parsed: their packages are not here.
func TestRecipesOfPython(t *testing.T) {
	if !hasProgram("python3") {
		harness.Missing(t, "python3")
	}
	guide, err := clients.New(clients.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, program := range blocksOf(guide, "python") {
		block{file: name, text: program}.parses(t, "python3", "-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())")
	}
}
