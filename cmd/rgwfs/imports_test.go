package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	moduleName = "rgwfs/"
	moduleDir  = "../.."
)

// What each of the project's packages may import of the others: downwards
// only, and the test rig only where nothing of it reaches the product.
var mayImport = map[string][]string{
	"cmd/rgwfs":                 {"fs", "cache", "s3backend"},
	"cmd/rgwfs-demo":            {"s3backend", "s3backend/s3test/embedded"},
	"cmd/rgwfs/e2e":             {},
	"fs":                        {"cache", "s3backend"},
	"fs/fstest":                 {"fs", "cache", "s3backend"},
	"cache":                     {"s3backend"},
	"s3backend":                 {},
	"s3backend/s3test":          {"s3backend", "s3backend/s3test/embedded"},
	"s3backend/s3test/embedded": {},
}

// Tests may import these as well.
var testsMayImport = []string{"s3backend", "s3backend/s3test", "s3backend/s3test/embedded", "fs/fstest"}

// Modules that belong to one part of the tree: its directory and those below.
var onlyIn = map[string]string{
	"github.com/aws/":           "s3backend",
	"github.com/hanwen/go-fuse": "fs",
	"github.com/rclone/":        "s3backend/s3test",
}

// What fs may not use of s3backend: it has its types, but reaches the store
// through cache, which owns invalidation.
var notForFS = []string{"New", "Client", "Store", "Service", "Config", "DefaultConfig"}

func TestImportsGoOneWay(t *testing.T) {
	files := 0
	err := filepath.WalkDir(moduleDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != moduleDir || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(moduleDir, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		for _, problem := range checkImports(filepath.ToSlash(rel), file) {
			t.Error(problem)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Errorf("only %d Go files found under %s", files, moduleDir)
	}
}

// checkImports returns what is wrong with the imports of a file, which is
// named by its path from the module's root.
func checkImports(name string, file *ast.File) (problems []string) {
	dir := path.Dir(name)
	test := strings.HasSuffix(name, "_test.go")
	allowed, known := mayImport[dir]
	if !known {
		return []string{name + ": its package has no place in mayImport"}
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return append(problems, name+": "+err.Error())
		}
		if own, ok := strings.CutPrefix(imported, moduleName); ok {
			if own != dir && !slices.Contains(allowed, own) && !(test && slices.Contains(testsMayImport, own)) {
				problems = append(problems, name+" may not import "+imported)
			}
		}
		for module, place := range onlyIn {
			if strings.HasPrefix(imported, module) && dir != place && !strings.HasPrefix(dir, place+"/") {
				problems = append(problems, name+" imports "+imported+", which only "+place+" may")
			}
		}
	}
	if dir == "fs" && !test {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "s3backend" && slices.Contains(notForFS, s.Sel.Name) {
					problems = append(problems, name+" uses s3backend."+s.Sel.Name+", but reaches the store only through cache")
				}
			}
			return true
		})
	}
	return problems
}

func TestCheckImportsSeesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, source string
		problems     int
	}{
		{"fs/file.go", `import "rgwfs/cache"; import "github.com/hanwen/go-fuse/v2/fs"; var _ s3backend.Object`, 0},
		{"fs/file.go", `import "github.com/aws/aws-sdk-go-v2/service/s3"`, 1},
		{"fs/file.go", `import "rgwfs/cmd/rgwfs"`, 1},
		{"fs/file.go", `import "rgwfs/s3backend/s3test"`, 1},
		{"fs/file_test.go", `import "rgwfs/s3backend/s3test"; var _ s3backend.Store`, 0},
		{"fs/file.go", `import "rgwfs/s3backend"; var _ s3backend.Store`, 1},
		{"cache/meta.go", `import "rgwfs/fs"`, 1},
		{"cache/meta.go", `import "github.com/hanwen/go-fuse/v2/fuse"`, 1},
		{"s3backend/object.go", `import "github.com/aws/smithy-go"`, 0},
		{"s3backend/object.go", `import "rgwfs/cache"`, 1},
		{"s3backend/object_test.go", `import "rgwfs/s3backend/s3test"; import "rgwfs/fs"`, 1},
		{"s3backend/s3test/mem.go", `import "github.com/rclone/gofakes3"; import "rgwfs/cache"`, 1},
		{"cmd/rgwfs/mount.go", `import "rgwfs/fs"; import "github.com/hanwen/go-fuse/v2/fuse"`, 1},
		{"util/strings.go", ``, 1},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), c.name, "package p; "+c.source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := checkImports(c.name, file); len(got) != c.problems {
			t.Errorf("%s with %s: %q, want %d problems", c.name, c.source, got, c.problems)
		}
	}
}

// Neither the test rig nor the testing package is part of the product.
func TestProductLinksNoTestRig(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, moduleName+"s3backend") {
		t.Errorf("s3backend is not among the %d packages of the product", len(deps))
	}
	for _, dep := range deps {
		if dep == "testing" || strings.HasPrefix(dep, moduleName+"s3backend/s3test") || strings.HasPrefix(dep, "github.com/rclone/") {
			t.Errorf("the product links %s", dep)
		}
	}
}
