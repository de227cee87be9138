package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rgwfs/s3backend/s3test"
)

// Paths in a mount, without any setting of the server but the mount's own.
func TestPathsInMounts(t *testing.T) {
	s := rgwServer(t)
	s.put(t, "d/sub/f", "content")
	s.put(t, "d/other", "x")
	whole := foreground(t, s)
	part := *s
	part.bucket += "/d"
	below := foreground(t, &part)
	all := *s
	all.bucket = "s3://"
	account := foreground(t, &all)

	bare := *s
	bare.endpoint = "" // RGWFS_ENDPOINT= counts as none
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(whole.dir, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		filepath.Join(whole.dir, "d/sub/f"), filepath.Join(below.dir, "sub/f"),
		filepath.Join(account.dir, s.bucket, "d/sub/f"), filepath.Join(link, "d/sub/f"),
	} {
		if info := decodeLines(t, bare.tool(t, "info", "--json", path))[0]; info["key"] != "d/sub/f" || info["bucket"] != s.bucket {
			t.Errorf("%s: %v", path, info)
		}
	}
	if os.Geteuid() == 0 {
		bound := t.TempDir()
		if out, err := exec.Command("mount", "--bind", filepath.Join(whole.dir, "d/sub"), bound).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		info := decodeLines(t, bare.tool(t, "info", "--json", filepath.Join(bound, "f")))[0]
		if out, err := exec.Command("umount", bound).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if info["key"] != "d/sub/f" {
			t.Errorf("bind mount: %v", info)
		}
	}
	if du := decodeLines(t, bare.tool(t, "du", "--json", below.dir))[0]; du["objects"] != 2.0 {
		t.Errorf("%v", du)
	}
	if du := decodeLines(t, bare.tool(t, "du", "--json", filepath.Join(whole.dir, "d/sub")))[0]; du["objects"] != 1.0 {
		t.Errorf("%v", du)
	}
	url := strings.TrimSpace(bare.tool(t, "url", filepath.Join(whole.dir, "d/sub/f")))
	if status, text := get(t, url); status != 200 || text != "content" {
		t.Errorf("%d %q", status, text)
	}
	file := filepath.Join(t.TempDir(), "new")
	if err := os.WriteFile(file, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	bare.tool(t, "cp", file, below.dir+"/")
	if got := s.content(t, "d/new"); got != "new" {
		t.Errorf("%q", got)
	}
}

// What a mount stores in somebody else's bucket is readable to its owner.
func TestMountACL(t *testing.T) {
	rgw := s3test.RGW(t)
	s := rgwServer(t)
	s.tool(t, "acl", "set", "public-read-write", "s3://"+s.bucket)
	p := foreground(t, s.other(rgw), "--acl", "bucket-owner-full-control")
	if err := p.write("f", "shared").Close(); err != nil {
		t.Fatal(err)
	}
	// A change of mode is a copy, which loses the ACL unless it is said again.
	if err := os.Chmod(filepath.Join(p.dir, "f"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.content(t, "f"); got != "shared" {
		t.Errorf("%q", got)
	}
	dir := mountpoint(t)
	r := runCLI(t, cli(t, s.env(), "mount", "-f", "--acl", "publik", s.bucket, dir))
	wantFailure(t, r, exitUsage, "publik", "public-read")
}

func TestBucketsByMkdir(t *testing.T) {
	rgw := s3test.RGW(t)
	s := rgwServer(t)
	s.bucket = "s3://"
	name := rgw.NewBucketName()
	rgw.RemoveBucketLater("testcou-" + name[len(name)-12:])
	name = "testcou-" + name[len(name)-12:]
	p := foreground(t, s, "--bucket-prefix", "testcou-", "--placement", ":default-placement")
	for _, bad := range []string{"elsewhere", "testcou-Upper"} {
		if err := os.Mkdir(filepath.Join(p.dir, bad), 0o755); err == nil || !strings.Contains(err.Error(), "invalid argument") {
			t.Errorf("mkdir %s: %v", bad, err)
		}
	}
	log := p.logged()
	for _, words := range []string{`--bucket-prefix`, "lower-case letters"} {
		if !strings.Contains(log, words) {
			t.Errorf("%q is not in the log: %s", words, log)
		}
	}
	dir := filepath.Join(p.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if info := decodeLines(t, s.tool(t, "bucket", "info", "--json", name))[0]; info["owner"] != "rgwfs" {
		t.Errorf("%v", info)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("rmdir: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
}

func TestMountOfThePast(t *testing.T) {
	s := rgwServer(t)
	s.tool(t, "bucket", "versioning", s.bucket, "on")
	s.put(t, "d/f", "then")
	s.put(t, "gone", "x")
	time.Sleep(1100 * time.Millisecond)
	when := time.Now().UTC().Format(time.RFC3339Nano)
	time.Sleep(1100 * time.Millisecond)
	s.put(t, "d/f", "later on")
	s.put(t, "later", "x")
	s.tool(t, "rm", "s3://"+s.bucket+"/gone")

	p := foreground(t, s, "--as-of", when)
	entries, err := os.ReadDir(p.dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != "d" || entries[1].Name() != "gone" {
		t.Errorf("%v, %v", entries, err)
	}
	if data, err := os.ReadFile(filepath.Join(p.dir, "d/f")); err != nil || string(data) != "then" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "later")); !os.IsNotExist(err) {
		t.Errorf("later: %v", err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "new"), nil, 0o644); !errors.Is(err, syscall.EROFS) {
		t.Errorf("writing: %v", err)
	}
	// A command on such a path would mean the present.
	s.toolFails(t, exitFailure, "as of", "rm", filepath.Join(p.dir, "gone"))
}
