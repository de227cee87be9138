package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend/s3test"
)

// tool runs a command that is to succeed and returns what it prints.
func (s *server) tool(t *testing.T, args ...string) string {
	t.Helper()
	r := runCLI(t, cli(t, s.env(), args...))
	if r.code != 0 {
		t.Fatalf("%q: exit code %d: %s", args, r.code, r.stderr)
	}
	return r.stdout
}

// toolFails runs a command that is to fail.
func (s *server) toolFails(t *testing.T, code int, word string, args ...string) {
	t.Helper()
	r := runCLI(t, cli(t, s.env(), args...))
	wantFailure(t, r, code, word)
}

// other is the gateway's second user.
func (s *server) other(rgw *s3test.RGWServer) *server {
	o := *s
	o.key, o.secret = rgw.OtherAccessKey, rgw.OtherSecretKey
	return &o
}

func lines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

// decodeLines decodes the lines of a --json.
func decodeLines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var list []map[string]any
	for _, line := range lines(text) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, m)
	}
	return list
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func TestHelpOfEveryTool(t *testing.T) {
	page, err := os.ReadFile("../../docs/rgwfs.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range toolSpecs() {
		var b bytes.Buffer
		if err := spec.help(&b); err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{spec.synopsis, spec.summary, "--json", "--endpoint"} {
			if !strings.Contains(b.String(), word) {
				t.Errorf("help of %s does not have %q", spec.name, word)
			}
		}
		for line := range strings.Lines(b.String()) {
			if len(line) > helpWidth+1 && !strings.HasPrefix(line, "usage: ") && !strings.HasPrefix(line, spec.name+": ") {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
		tool, _ := newTool(&invocation{}, spec)
		manual := strings.ReplaceAll(string(page), "Fl -", "--")
		if !strings.Contains(manual, "\n.Ss rgwfs "+spec.name+"\n") {
			t.Errorf("rgwfs(1) does not explain %s", spec.name)
		}
		for _, flag := range longNames(tool.flags) {
			if !strings.Contains(manual, "--"+flag) {
				t.Errorf("rgwfs(1) does not name --%s of %s", flag, spec.name)
			}
		}
		r := runCLI(t, cli(t, nil, spec.name, "--help"))
		if r.code != 0 || r.stdout != b.String() {
			t.Errorf("%s --help: %d, %s%s", spec.name, r.code, r.stdout, r.stderr)
		}
	}
}

func TestToolUsage(t *testing.T) {
	s := embeddedServer(t)
	for _, c := range []struct{ line, word string }{
		{"info", "usage: rgwfs info"}, {"url s3://data", "no object"}, {"url --unsigned --put s3://data/k", "--put"},
		{"url --expires 200h s3://data/k", "168h"}, {"ls s3://x", "3 to 255"}, {"ls /nowhere/at/all", "not in a mount"},
		{"rm s3://data", "empties it"}, {"rm -r s3://", "bucket"}, {"cp /etc/hostname /tmp/x", "local"},
		{"cp s3://data/a s3://data/b", "local"}, {"cp -x /a s3://data", "-x"}, {"acl set publc-read s3://data/k", "public-read?"},
		{"acl set look=me s3://data/k", "no grant"}, {"acl got s3://data/k", "usage"}, {"bucket creat data", "did you mean"},
		{"bucket versioning data perhaps", "on or off"}, {"restore --as-of yesterday s3://data/k", "no time"},
		{"versions s3://data", "--recursive"}, {"du s3://", "one bucket"}, {"ls --recursiv s3://data", "--recursive"},
	} {
		s.toolFails(t, exitUsage, c.word, strings.Fields(c.line)...)
	}
	for _, c := range []struct{ line, word string }{
		{"ls s3://absent-bucket", "no bucket absent-bucket"}, {"ls s3://data/absent", "there is none"}, {"ls -r s3://data/absent", "there is none"},
		{"rm s3://data/absent", "there is none"}, {"rm -r s3://data/absent", "there is none"}, {"info s3://data/absent", "there is none"},
		{"cp s3://data/absent /tmp", "there is none"}, {"cp /absent/file s3://data", "no such file"}, {"du s3://data/absent", "there is none"},
	} {
		s.toolFails(t, exitFailure, c.word, strings.Fields(c.line)...)
	}
	r := runCLI(t, cli(t, []string{"RGWFS_RECURSIVE=true", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=y", "RGWFS_ENDPOINT=" + s.endpoint}, "rm", "s3://data"))
	wantFailure(t, r, exitUsage, "empties it")
}

func TestListings(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		for _, key := range []string{"a", "d/one", "d/e/two", "d/e/three", "d2/other", "d-x", "z\x01"} {
			s.put(t, key, key)
		}
		base := "s3://" + s.bucket
		keys := func(text string) string {
			var list []string
			for _, m := range decodeLines(t, text) {
				for _, name := range []string{"key", "prefix", "bucket", "removed"} {
					if v, ok := m[name].(string); ok {
						list = append(list, v)
					}
				}
			}
			return strings.Join(list, " ")
		}
		for _, c := range []struct{ args, want string }{
			{"ls --json " + base, "d/ d2/ a d-x z\x01"},
			{"ls --json " + base + "/d", "d/e/ d/one"},
			{"ls --json " + base + "/a", "a"},
			{"ls --json -r " + base + "/d", "d/e/three d/e/two d/one"},
			{"tree --json " + base + "/d/", "d/e/three d/e/two d/one"},
			{"rm --json -n -r " + base + "/d", "d/e/three d/e/two d/one"},
		} {
			if got := keys(s.tool(t, strings.Fields(c.args)...)); got != c.want {
				t.Errorf("%s: %q, want %q", c.args, got, c.want)
			}
		}
		if text := s.tool(t, "ls", base); !strings.Contains(text, `"z\x01"`) || !strings.Contains(text, "             1  ") {
			t.Errorf("ls: %s", text)
		}
		if text := s.tool(t, "ls"); !strings.Contains(text, s.bucket) {
			t.Errorf("ls: %s", text)
		}
		if text := s.tool(t, "tree", "-d", "1", base+"/d"); text != base+"/d\n  e/\n  one  (5 B)\n1 directories, 3 objects\n" {
			t.Errorf("tree: %q", text)
		}
		du := decodeLines(t, s.tool(t, "du", "--json", "-d", "1", base+"/d"))
		if len(du) != 2 || du[0]["path"] != base+"/d" || du[0]["bytes"] != 21.0 || du[0]["objects"] != 3.0 || du[1]["path"] != base+"/d/e/" || du[1]["bytes"] != 16.0 {
			t.Errorf("du: %v", du)
		}
		s.tool(t, "rm", base+"/a")
		s.toolFails(t, exitFailure, "there is none", "rm", base+"/d")
		if out := s.tool(t, "rm", "-r", base+"/d"); !strings.Contains(out, "removed 3 objects, 21 B") {
			t.Errorf("rm -r: %s", out)
		}
		if got := keys(s.tool(t, "ls", "--json", "-r", base)); got != "d-x d2/other z\x01" {
			t.Errorf("left: %q", got)
		}
		s.tool(t, "rm", "-r", base)
		if out := s.tool(t, "ls", base); out != "" {
			t.Errorf("an emptied bucket: %s", out)
		}
	})
}

// More than a page, and more than a request's worth of removals.
func TestRemoveMany(t *testing.T) {
	s := rgwServer(t)
	dir := t.TempDir()
	for i := range 1100 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.tool(t, "cp", "-r", dir, "s3://"+s.bucket+"/many")
	if du := decodeLines(t, s.tool(t, "du", "--json", "s3://"+s.bucket)); du[0]["objects"] != 1100.0 {
		t.Errorf("%v", du)
	}
	if rm := decodeLines(t, s.tool(t, "rm", "--json", "-r", "s3://"+s.bucket+"/many")); rm[0]["objects"] != 1100.0 {
		t.Errorf("%v", rm)
	}
	if du := decodeLines(t, s.tool(t, "du", "--json", "s3://"+s.bucket)); du[0]["objects"] != 0.0 {
		t.Errorf("%v", du)
	}
}

func TestCopyUpAndDown(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		dir, base := t.TempDir(), "s3://"+s.bucket
		big := make([]byte, 2*firstPart+12345)
		random := rand.NewChaCha8([32]byte{1})
		if _, err := random.Read(big); err != nil {
			t.Fatal(err)
		}
		write := func(name string, data []byte) {
			t.Helper()
			path := filepath.Join(dir, "src", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		same := func(name string, want []byte) {
			t.Helper()
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
		write("big", big)
		write("sub/page.html", []byte("<p>"))
		write("empty", nil)

		s.tool(t, "cp", "-r", filepath.Join(dir, "src"), base+"/up")
		out := decodeLines(t, s.tool(t, "cp", "--json", "-r", base+"/up", filepath.Join(dir, "back")))
		checked := map[any]any{}
		for _, f := range out {
			checked[f["source"]] = f["checked"]
		}
		if len(out) != 3 || checked[base+"/up/sub/page.html"] != "md5" {
			t.Errorf("%v", out)
		}
		same("back/big", big)
		same("back/sub/page.html", []byte("<p>"))
		same("back/empty", nil)
		if o, err := s.store.Head(t.Context(), "up/sub/page.html"); err != nil || !strings.HasPrefix(o.ContentType, "text/html") {
			t.Errorf("%+v, %v", o, err)
		}

		s.tool(t, "cp", filepath.Join(dir, "src", "empty"), filepath.Join(dir, "src", "sub", "page.html"), base+"/two")
		s.tool(t, "cp", base+"/two/page.html", filepath.Join(dir, "one"))
		same("one", []byte("<p>"))
		s.tool(t, "cp", base+"/two/page.html", dir+"/")
		same("page.html", []byte("<p>"))
		s.toolFails(t, exitUsage, "give -r", "cp", filepath.Join(dir, "src"), base)

		// Keys that would leave the directory.
		s.put(t, "bad/../../escaped", "x")
		s.put(t, "bad//escaped", "x")
		r := runCLI(t, cli(t, s.env(), "cp", "-r", base+"/bad", filepath.Join(dir, "a", "b")))
		if r.code != 0 || strings.Count(r.stderr, "left out") != 2 {
			t.Errorf("%+v", r)
		}
		for _, name := range []string{"escaped", "a/escaped"} {
			if _, err := os.Stat(filepath.Join(dir, name)); !os.IsNotExist(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		leftovers, err := filepath.Glob(filepath.Join(dir, "*", ".*"))
		if err != nil || len(leftovers) != 0 {
			t.Errorf("left: %q, %v", leftovers, err)
		}
	})
}

func TestCopyChecksums(t *testing.T) {
	s := rgwServer(t)
	dir := t.TempDir()
	data := make([]byte, 2*firstPart+1)
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	up := decodeLines(t, s.tool(t, "cp", "--json", path, "s3://"+s.bucket+"/f"))
	down := decodeLines(t, s.tool(t, "cp", "--json", "s3://"+s.bucket+"/f", filepath.Join(dir, "g")))
	if up[0]["checked"] != "md5" || down[0]["checked"] != "etag" || up[0]["etag"] != down[0]["etag"] {
		t.Errorf("%v, %v", up, down)
	}
	f, err := os.Open(filepath.Join(dir, "g"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o, err := s.store.Head(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := checkFile(f, o); err != nil || got != "etag" {
		t.Errorf("%q, %v", got, err)
	}
	o.ETag = strings.Repeat("0", 32)
	if got, err := checkFile(f, o); err == nil {
		t.Errorf("another checksum passes: %q", got)
	}
}

func TestPartOf(t *testing.T) {
	for _, c := range []struct{ size, want int64 }{
		{0, firstPart}, {firstPart, firstPart}, {firstPart * 10000, firstPart}, {firstPart*10000 + 1, 20 << 20}, {5 << 40, 528 << 20},
	} {
		got := partOf(c.size)
		if got != c.want || (c.size+got-1)/got > 10000 {
			t.Errorf("partOf(%d) = %d, want %d", c.size, got, c.want)
		}
	}
}
