package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRequireEncryption(t *testing.T) {
	s := newEncryptedServer(t)
	key := keygen(t)
	own := `{"Version":"2012-10-17","Statement":[{"Sid":"Keep","Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + s.bucket + `/public/*"}]}`
	if r := s.rgw.Do(http.MethodPut, "/"+s.bucket, "policy", nil, []byte(own)); r.Status >= 300 {
		t.Fatal(r)
	}
	policy := func() string { return string(s.rgw.Do(http.MethodGet, "/"+s.bucket, "policy", nil, nil).Body) }

	args := append(append([]string{"policy", "require-encryption"}, s.flags()...), s.bucket)
	dry := runCLI(t, cli(t, s.env(), append(args, "-n")...))
	if dry.code != 0 || !strings.Contains(dry.stdout, "RgwfsRequireEncryption") || !strings.Contains(dry.stdout, "Keep") {
		t.Fatalf("%+v", dry)
	}
	if policy() != own {
		t.Errorf("--dry-run has left %s", policy())
	}
	r := runCLI(t, cli(t, s.env(), args...))
	partial := strings.Contains(dry.stderr, "on this release")
	if partial {
		// RGW 16: its policies don't know SSE-C.
		wantFailure(t, result{r.code, "", r.stderr[strings.LastIndex(strings.TrimSpace(r.stderr), "\n")+1:]}, exitFailure, "--force")
		if policy() != own {
			t.Errorf("without --force it has left %s", policy())
		}
		r = runCLI(t, cli(t, s.env(), append(args, "--force")...))
	}
	if r.code != 0 || !strings.Contains(policy(), "Keep") || !strings.Contains(policy(), "RgwfsRequireEncryption") || strings.Contains(policy(), "rgwfs-check") {
		t.Fatalf("%+v: %s", r, policy())
	}
	if _, all := s.clear(t); all != 0 {
		t.Errorf("%d objects of the check are left", all)
	}

	plain := foreground(t, s.server, s.flags()...)
	err := os.WriteFile(filepath.Join(plain.dir, "f"), []byte("plain"), 0o644)
	if !errors.Is(err, syscall.EACCES) {
		t.Errorf("a plain write: %v", err)
	}
	if log := plain.logged(); !strings.Contains(log, "RgwfsRequireEncryption") || !strings.Contains(log, "--sse-c-key-file") {
		t.Errorf("the log does not name the policy and the mend: %s", log)
	}
	sealed := foreground(t, s.server, s.flags(key)...)
	name := filepath.Join(sealed.dir, "f")
	must(t, os.WriteFile(name, []byte("encrypted"), 0o644))
	must(t, os.Chmod(name, 0o600))
	must(t, os.Rename(name, name+"2"))
	same(t, name+"2", []byte("encrypted"))
	if clear, all := s.clear(t); len(clear) > 0 || all != 1 {
		t.Errorf("%d objects, in the clear: %q", all, clear)
	}
}
