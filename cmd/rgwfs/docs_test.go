package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSemanticsNamesTests keeps docs/semantics.md honest: each rule names tests
// that prove it, and each of those exists.
func TestSemanticsNamesTests(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "semantics.md"))
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`(?m)^\d+\. .*$`)
	proof := regexp.MustCompile(`\[([^\]]+)\]$`)
	rules := rule.FindAllString(string(text), -1)
	if len(rules) < 30 {
		t.Fatalf("%d rules found", len(rules))
	}
	for _, r := range rules {
		m := proof.FindStringSubmatch(r)
		if m == nil {
			t.Errorf("no test is named: %s", r)
			continue
		}
		pkg := ""
		for _, name := range strings.Split(m[1], ", ") {
			if p, n, ok := strings.Cut(name, " "); ok {
				pkg, name = p, n
			}
			if !hasTest(t, filepath.Join(root, pkg), name) {
				t.Errorf("package %q has no %s, named by: %s", pkg, name, r)
			}
		}
	}
}

func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(src), "func "+name+"(") {
			return true
		}
	}
	return false
}
