package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// TestTokenMount mounts with an LDAP token as OSiRIS hands them out, from the
// environment, from files, and in exchange for temporary keys, and looks for
// secrets where others could see them.
func TestTokenMount(t *testing.T) {
	const user, password = "alice", "hush?a?bc?????" // in base64 with slashes
	ldap := s3test.StartLDAP(t, map[string]string{user: password})
	rgw := s3test.StartRGW(t, append(ldap.Options(), "rgw_s3_auth_use_sts=true", "rgw_sts_key=fedcba9876543210")...)
	token := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"RGW_TOKEN":{"version":1,"type":"ldap","id":"%s","key":"%s"}}`, user, password))
	if !strings.Contains(token, "/") {
		t.Fatal("a token without a slash: not what this test is for")
	}
	s := &server{rgw: rgw, tls: true, key: token, bucket: rgw.NewBucketName()}
	s.connect(t)
	rgw.RemoveBucketLater(s.bucket)
	if err := s.client.CreateBucket(context.Background(), s3backend.NewBucket{Name: s.bucket}); err != nil {
		t.Fatal(err)
	}
	rgw.Admin("caps", "add", "--uid=rgwfs", "--caps=user-policy=*")
	form := url.Values{
		"Action": {"PutUserPolicy"}, "UserName": {user}, "PolicyName": {"sessions"},
		"PolicyDocument": {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:GetSessionToken","Resource":"*"}]}`},
	}
	if r := rgw.Do(http.MethodPost, "/", "", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form.Encode())); r.Status != http.StatusOK {
		t.Fatal(r)
	}

	file := filepath.Join(t.TempDir(), "file")
	for _, c := range []struct {
		name, environment, file string // access keys; content of the file
		flags                   []string
	}{
		{"environment", token, "", nil},
		{"v2", token, "", []string{"--signature=v2"}},
		{"s3fs", "wrong", token + ":anything", nil},
		{"s3fs, bucket", "wrong", "wrong:wrong\n" + s.bucket + ":" + token + ":anything", nil},
		{"s3cfg", "wrong", "[default]\naccess_key = " + token + "\nsecret_key = \n", nil},
		{"rclone", "wrong", "[osiris]\ntype = s3\naccess_key_id = " + token + "\nsecret_access_key = \n", nil},
		{"exchange", token, "", []string{"--exchange-token"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			as := *s
			as.key = c.environment
			flags := append([]string{"--log-level=debug", "--debug-fuse"}, c.flags...)
			if c.file != "" {
				if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
				flags = append(flags, "--credentials-file", file)
			}
			before := ldap.Lookups(user)
			m := newMount(t, &as, flags...)
			data := content(t, 7, 20*mib)
			for name, data := range map[string][]byte{"large": data, "small": data[:1000]} {
				if err := os.WriteFile(m.path(name), data, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(m.path(name), m.path(name+"2")); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(m.path(name + "2")); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%v, %s", err, digest(got))
				}
				if err := os.Remove(m.path(name + "2")); err != nil {
					t.Error(err)
				}
			}
			// The checks before the mount, and the mount.
			if n := ldap.Lookups(user) - before; c.name == "exchange" && n > 2 {
				t.Errorf("LDAP was asked %d times", n)
			}

			log := m.logged()
			if !strings.Contains(log, "op=PutObject") {
				t.Errorf("no debug log: %s", tail(log))
			}
			command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", m.cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", m.cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`(?m)^Max core file size +0 `).Match(limits) {
				t.Errorf("core dumps hold secrets: %s", limits)
			}
			for _, hidden := range []string{token, "hush", "Signature=", "Credential=", "Authorization", "eyJSR1df", "X-Amz-Security-Token"} {
				for where, text := range map[string]string{"log": log, "command line": string(command)} {
					if strings.Contains(text, hidden) {
						t.Errorf("%q is in the %s", hidden, where)
					}
				}
			}
		})
	}

	// A file that others may read is refused before anything is sent.
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	output, err := rgwfs(s, "mount", "--credentials-file", file, s.source, newMountpoint(t)).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "chmod 600 "+file) || strings.Count(string(output), "\n") != 1 || strings.Contains(string(output), "hush") {
		t.Errorf("%v: %s", err, output)
	}
}
