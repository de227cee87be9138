package main

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// encryptedServer is a gateway over TLS with a bucket of its own.
type encryptedServer struct {
	*server
	rgw *s3test.RGWServer
}

func newEncryptedServer(t *testing.T) *encryptedServer {
	t.Helper()
	rgw := s3test.RGW(t)
	s := newServer(t, rgw.HTTPS, rgw.AccessKey, rgw.SecretKey, rgw.NewBucket())
	return &encryptedServer{s, rgw}
}

// flags returns those of a mount or a command with keys.
func (s *encryptedServer) flags(keys ...string) []string {
	args := []string{"--ca-file", s.rgw.CAFile}
	for _, k := range keys {
		args = append(args, "--sse-c-key-file", k)
	}
	return args
}

// tool runs a command over TLS with keys.
func (s *encryptedServer) tool(t *testing.T, command string, keys []string, operands ...string) string {
	t.Helper()
	return s.server.tool(t, append(append([]string{command}, s.flags(keys...)...), operands...)...)
}

// keygen makes a key by the program.
func keygen(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sse.key")
	if r := runCLI(t, cli(t, nil, "keygen", path)); r.code != 0 || !strings.Contains(r.stdout, "lost") {
		t.Fatalf("%+v", r)
	}
	return path
}

// clear returns the keys of the bucket that RGW gives out without a key.
func (s *encryptedServer) clear(t *testing.T) (clear []string, all int) {
	t.Helper()
	client, err := s3backend.New(t.Context(), func() s3backend.Config {
		c := s3backend.DefaultConfig()
		c.Endpoint, c.AccessKey, c.SecretKey = s.rgw.HTTP, s3backend.Secret(s.key), s3backend.Secret(s.secret)
		return c
	}())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	page, err := client.Bucket(s.bucket).List(t.Context(), s3backend.ListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range page.Objects {
		// Of an empty object only a HEAD is refused.
		head := s.rgw.Do(http.MethodHead, "/"+s.bucket+"/"+o.Key, "", nil, nil)
		get := s.rgw.Do(http.MethodGet, "/"+s.bucket+"/"+o.Key, "", nil, nil)
		if head.Status != http.StatusBadRequest || o.Size > 0 && get.Status != http.StatusBadRequest {
			clear = append(clear, o.Key)
		}
	}
	return clear, len(page.Objects)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes, want %d, or others", path, len(got), len(want))
	}
}

// TestEncryptedMount does to encrypted files what programs do to files, and
// looks for anything that RGW has in the clear, and for the key in logs and in
// the process list.
func TestEncryptedMount(t *testing.T) {
	s := newEncryptedServer(t)
	key := keygen(t)
	p := foreground(t, s.server, append(s.flags(key), "--part-size", "5M", "--log-level", "debug")...)
	at := func(name string) string { return filepath.Join(p.dir, name) }
	large := make([]byte, 17<<20)
	r := rand.NewChaCha8([32]byte{7})
	_, _ = r.Read(large) // never fails

	must(t, os.Mkdir(at("dir"), 0o750))
	must(t, os.WriteFile(at("dir/small"), []byte("small"), 0o640))
	must(t, os.WriteFile(at("dir/empty"), nil, 0o644))
	must(t, os.WriteFile(at("dir/large"), large, 0o644))
	must(t, os.Symlink("small", at("dir/link")))
	same(t, at("dir/link"), []byte("small"))
	same(t, at("dir/large"), large)

	must(t, os.Rename(at("dir/large"), at("dir/moved")))
	must(t, os.Rename(at("dir/small"), at("dir/moved small")))
	must(t, os.Chmod(at("dir/moved"), 0o600))
	must(t, os.Chmod(at("dir/empty"), 0o600))
	same(t, at("dir/moved"), large)

	f, err := os.OpenFile(at("dir/moved"), os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("changed"), 6<<20) // one part of four
	must(t, err)
	must(t, f.Close())
	copy(large[6<<20:], "changed")
	f, err = os.OpenFile(at("dir/moved"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString("appended")
	must(t, err)
	must(t, f.Close())
	large = append(large, "appended"...)
	same(t, at("dir/moved"), large)
	must(t, os.Truncate(at("dir/moved"), 12<<20))
	large = large[:12<<20]
	f, err = os.OpenFile(at("dir/moved small"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString(" and more")
	must(t, err)
	must(t, f.Close())

	must(t, os.Rename(at("dir"), at("other")))
	if out, err := exec.Command("cp", "-a", at("other"), at("copy")).CombinedOutput(); err != nil {
		t.Errorf("cp: %v: %s", err, out)
	}
	if clear, all := s.clear(t); len(clear) > 0 || all != 10 {
		t.Errorf("%d objects, in the clear: %q", all, clear)
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
	must(t, err)
	p.kill(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.logged())
	}
	noKey(t, key, "the log", p.logged())
	noKey(t, key, "the process list", string(cmdline))

	// By another mount, to which nothing is known.
	p = foreground(t, s.server, append(s.flags(key), "--read-only")...)
	for _, dir := range []string{"other", "copy"} {
		same(t, at(dir+"/moved"), large)
		same(t, at(dir+"/moved small"), []byte("small and more"))
		if target, err := os.Readlink(at(dir + "/link")); err != nil || target != "small" {
			t.Errorf("%s/link: %q, %v", dir, target, err)
		}
	}
	// Not of the copy: cp -a reads modes of names that were only listed.
	for name, mode := range map[string]fs.FileMode{"": fs.ModeDir | 0o750, "moved": 0o600, "empty": 0o600, "moved small": 0o640} {
		f, err := os.Open(at("other/" + name))
		must(t, err)
		if st, err := f.Stat(); err != nil || st.Mode() != mode {
			t.Errorf("%s: %v, %v", name, st, err)
		}
		must(t, f.Close())
	}
}

// noKey fails if a text has the key of a file in any form.
func noKey(t *testing.T, file, where, text string) {
	t.Helper()
	key, err := os.ReadFile(file)
	must(t, err)
	sum := md5.Sum(key)
	for _, form := range []string{string(key), base64.StdEncoding.EncodeToString(key), hex.EncodeToString(key), fmt.Sprint(key),
		base64.StdEncoding.EncodeToString(sum[:])} {
		if strings.Contains(text, form) {
			t.Errorf("%s has the key as %q", where, form)
		}
	}
}

func TestMountWithWrongKey(t *testing.T) {
	s := newEncryptedServer(t)
	right, wrong := keygen(t), keygen(t)
	s.tool(t, "cp", []string{right}, writeFile(t, "secret"), "s3://"+s.bucket+"/dir/f")
	s.rgw.Do(http.MethodPut, "/"+s.bucket+"/plain", "", nil, []byte("plain"))
	for name, keys := range map[string][]string{"wrong key": {wrong}, "no key": nil} {
		t.Run(name, func(t *testing.T) {
			p := foreground(t, s.server, append(s.flags(keys...), "--metadata-ttl", "0s")...)
			for range 2 {
				out, err := exec.Command("ls", "-lR", p.dir).CombinedOutput()
				if err != nil || !strings.Contains(string(out), " 6 ") || !strings.Contains(string(out), " f\n") {
					t.Errorf("ls -l: %v: %s", err, out)
				}
			}
			_, err := os.ReadFile(filepath.Join(p.dir, "dir/f"))
			if !errors.Is(err, syscall.EACCES) {
				t.Errorf("reading: %v", err)
			}
			if err := os.Rename(filepath.Join(p.dir, "dir/f"), filepath.Join(p.dir, "g")); err == nil {
				t.Error("renamed")
			}
			if err := os.Rename(filepath.Join(p.dir, "dir"), filepath.Join(p.dir, "d2")); err == nil {
				t.Error("the directory was renamed")
			}
			same(t, filepath.Join(p.dir, "plain"), []byte("plain"))
			if !strings.Contains(p.logged(), "give its key by --sse-c-key-file") && !strings.Contains(p.logged(), "add the right one by --sse-c-key-file") {
				t.Errorf("the log has no mend: %s", p.logged())
			}
			if warned := strings.Contains(p.logged(), "is it the right file?"); warned != (keys != nil) {
				t.Errorf("a warning at the mount: %v: %s", warned, p.logged())
			}
		})
	}
	p := foreground(t, s.server, s.flags(wrong, right)...)
	same(t, filepath.Join(p.dir, "dir/f"), []byte("secret"))
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestKeyFileRefused(t *testing.T) {
	s := newEncryptedServer(t)
	key, dir := keygen(t), mountpoint(t)
	plain := *s.server
	plain.endpoint = s.rgw.HTTP
	r := runCLI(t, cli(t, plain.env(), "mount", "--sse-c-key-file", key, s.bucket, dir))
	wantFailure(t, r, exitUsage, "plain http", "https")
	must(t, os.Chmod(key, 0o644))
	r = runCLI(t, cli(t, s.env(), append(append([]string{"mount"}, s.flags(key)...), s.bucket, dir)...))
	wantFailure(t, r, exitUsage, "chmod 600")
	r = runCLI(t, cli(t, nil, "keygen", key))
	wantFailure(t, r, exitFailure, "exists", "not overwritten")
	r = runCLI(t, cli(t, s.env(), append(append([]string{"mount", "--sse", "aws:kms:no-such-key"}, s.flags()...), s.bucket, dir)...))
	wantFailure(t, r, exitFailure, "--sse aws:kms:no-such-key")
	// RGW 16 takes SSE-S3 without a key of its own for granted, and stores plain
	// data; later ones refuse it.
	r = runCLI(t, cli(t, s.env(), append(append([]string{"mount", "--sse", "AES256"}, s.flags()...), s.bucket, dir)...))
	wantFailure(t, r, exitFailure, "--sse")
}

func TestRekeyCommand(t *testing.T) {
	s := newEncryptedServer(t)
	older, newer := keygen(t), keygen(t)
	base := "s3://" + s.bucket
	s.tool(t, "cp", []string{older}, writeFile(t, "by the old key"), base+"/d/old")
	s.tool(t, "cp", []string{newer}, writeFile(t, "by the new key"), base+"/d/new")
	header := http.Header{"X-Amz-Meta-Mode": {"33188"}, "X-Amz-Acl": {"public-read"}, "Content-Type": {"text/x-test"}}
	s.rgw.Do(http.MethodPut, "/"+s.bucket+"/d/plain", "", header, bytes.Repeat([]byte("plain"), 100<<10))

	for _, c := range []struct {
		keys []string
		want []string
	}{
		{nil, []string{"2 objects", "a key that is not here", "1 objects", "not encrypted"}},
		{[]string{newer, older}, []string{older + "\n", newer + " (encrypts)\n", "not encrypted"}},
	} {
		out := s.tool(t, "encryption", c.keys, "status", base+"/d")
		for _, word := range c.want {
			if !strings.Contains(out, word) {
				t.Errorf("no %q in %s", word, out)
			}
		}
	}
	if out := s.tool(t, "rekey", []string{newer, older}, "-n", base+"/d"); out != "d/old\nd/plain\n" && out != "d/plain\nd/old\n" {
		t.Errorf("dry run: %q", out)
	}
	if out := s.tool(t, "rekey", []string{newer, older}, base+"/d"); !strings.HasPrefix(out, "encrypted 2 objects") || !strings.Contains(out, "1 were so already") {
		t.Error(out)
	}
	if out := s.tool(t, "rekey", []string{newer, older}, base+"/d"); !strings.HasPrefix(out, "encrypted 0 objects") {
		t.Error(out)
	}
	if clear, all := s.clear(t); len(clear) > 0 || all != 3 {
		t.Errorf("%d objects, in the clear: %q", all, clear)
	}
	p := foreground(t, s.server, s.flags(newer)...)
	same(t, filepath.Join(p.dir, "d/old"), []byte("by the old key"))
	same(t, filepath.Join(p.dir, "d/plain"), bytes.Repeat([]byte("plain"), 100<<10))
	out := s.tool(t, "info", []string{newer}, "--json", base+"/d/plain")
	for _, word := range []string{"33188", "text/x-test", "public-read"} {
		if !strings.Contains(out, word) {
			t.Errorf("the object has lost %s: %s", word, out)
		}
	}
	r := runCLI(t, cli(t, s.env(), append(append([]string{"rekey"}, s.flags(older)...), base+"/d")...))
	if r.code != exitFailure || !strings.Contains(r.stderr, "--sse-c-key-file") || !strings.Contains(r.stderr, "3 objects could not") {
		t.Errorf("%+v", r)
	}
	r = runCLI(t, cli(t, s.env(), "rekey", "--ca-file", s.rgw.CAFile, base+"/d"))
	wantFailure(t, r, exitUsage, "--sse-c-key-file")
}
