package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend/s3test"
)

func TestURLAndACLCommands(t *testing.T) {
	rgw := s3test.RGW(t)
	s := rgwServer(t)
	base := "s3://" + s.bucket
	s.put(t, "d/f one", "content")
	s.put(t, "d/g", "content")
	s.put(t, "dd", "content")
	other := s.other(rgw)

	url := strings.TrimSpace(s.tool(t, "url", base+"/d/f one"))
	if status, text := get(t, url); status != http.StatusOK || text != "content" {
		t.Errorf("%d %q", status, text)
	}
	short := decodeLines(t, s.tool(t, "url", "--json", "--expires", "1s", base+"/d/f one"))[0]["url"].(string)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if status, _ := get(t, short); status == http.StatusForbidden {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the URL does not expire")
		}
	}
	put := strings.TrimSpace(s.tool(t, "url", "--put", base+"/new"))
	req, err := http.NewRequest(http.MethodPut, put, strings.NewReader("stored"))
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || s.content(t, "new") != "stored" {
		t.Errorf("PUT: %d", resp.StatusCode)
	}

	r := runCLI(t, cli(t, s.env(), "url", "--unsigned", base+"/d/f one"))
	if r.code != 0 || !strings.Contains(r.stderr, "is not public") {
		t.Errorf("%+v", r)
	}
	plain := strings.TrimSpace(r.stdout)
	if status, _ := get(t, plain); status != http.StatusForbidden {
		t.Errorf("private: %d", status)
	}
	other.toolFails(t, exitFailure, "may not", "info", base+"/d/f one")
	if out := s.tool(t, "acl", "set", "-r", "public-read", base+"/d"); out != "set the ACL of 2 objects\n" {
		t.Error(out)
	}
	if status, text := get(t, plain); status != http.StatusOK || text != "content" {
		t.Errorf("public: %d %q", status, text)
	}
	if out := other.tool(t, "info", base+"/d/f one"); !strings.Contains(out, "size") || !strings.Contains(out, "not allowed") {
		t.Error(out)
	}
	if out := s.tool(t, "acl", "get", base+"/dd"); out != "private\n" {
		t.Errorf("an object beside it: %s", out)
	}

	s.tool(t, "acl", "set", "read=other,full=rgwfs", base+"/dd")
	if out := s.tool(t, "acl", "get", base+"/dd"); out != "read=other,full=rgwfs\n" && out != "full=rgwfs,read=other\n" {
		t.Error(out)
	}
	other.tool(t, "cp", base+"/dd", filepath.Join(t.TempDir(), "x"))
	s.tool(t, "acl", "set", "public-read-write", base)
	if acl := decodeLines(t, s.tool(t, "acl", "get", "--json", base))[0]; acl["canned"] != "public-read-write" || acl["owner"] != "rgwfs" {
		t.Errorf("%v", acl)
	}
	file := filepath.Join(t.TempDir(), "theirs")
	if err := os.WriteFile(file, []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	other.tool(t, "cp", file, base+"/private")
	other.tool(t, "cp", "--acl", "bucket-owner-full-control", file, base+"/shared")
	s.toolFails(t, exitFailure, "may not", "cp", base+"/private", t.TempDir())
	s.tool(t, "cp", base+"/shared", t.TempDir())
}

// An LDAP token as access key holds the password.
func TestURLOfToken(t *testing.T) {
	// {"RGW_TOKEN":{"version":1,"type":"ldap","id":"u","key":"pw"}}
	const token = "eyJSR1dfVE9LRU4iOnsidmVyc2lvbiI6MSwidHlwZSI6ImxkYXAiLCJpZCI6InUiLCJrZXkiOiJwdyJ9fQ=="
	s := &server{endpoint: "https://rgw.example.org", key: token}
	s.toolFails(t, exitFailure, "password", "url", "s3://bucket/key")
	if out := s.tool(t, "url", "--force", "s3://bucket/key"); !strings.HasPrefix(out, "https://rgw.example.org/bucket/key?") {
		t.Error(out)
	}
}

func TestBucketCommands(t *testing.T) {
	rgw := s3test.RGW(t)
	s := rgwServer(t)
	name := rgw.NewBucketName()
	rgw.RemoveBucketLater(name)
	s.tool(t, "bucket", "create", name, "--placement", ":default-placement", "--acl", "public-read")
	s.toolFails(t, exitFailure, "already", "bucket", "create", name)
	s.other(rgw).toolFails(t, exitFailure, "taken", "bucket", "create", name)
	s.put(t, "k", "x")
	info := decodeLines(t, s.tool(t, "bucket", "info", "--json", name))[0]
	if info["owner"] != "rgwfs" || info["objects"] != 0.0 || info["acl"].(map[string]any)["canned"] != "public-read" {
		t.Errorf("%v", info)
	}
	if out := s.tool(t, "info", "s3://"+s.bucket); !strings.Contains(out, "versioning") && !strings.Contains(out, "rgwfs") {
		t.Error(out)
	}

	dir := t.TempDir()
	for verb, doc := range map[string]string{
		"policy":    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam:::user/other"]},"Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::` + name + `"]}]}`,
		"lifecycle": `{"Rules":[{"ID":"clean","Status":"Enabled","Filter":{"Prefix":""},"AbortIncompleteMultipartUpload":{"DaysAfterInitiation":3}}]}`,
		"cors":      `{"CORSRules":[{"AllowedMethods":["GET"],"AllowedOrigins":["https://example.org"]}]}`,
	} {
		s.toolFails(t, exitFailure, "has none", "bucket", verb, name)
		file := filepath.Join(dir, verb)
		if err := os.WriteFile(file, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
		s.tool(t, "bucket", verb, name, file)
		got := s.tool(t, "bucket", verb, name)
		for _, word := range []string{"https://example.org", "DaysAfterInitiation", "user/other"} {
			if strings.Contains(doc, word) && !strings.Contains(got, word) {
				t.Errorf("%s: %s", verb, got)
			}
		}
		if verb == "policy" {
			s.other(rgw).tool(t, "ls", "s3://"+name)
		}
		// What it prints, it takes.
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		s.tool(t, "bucket", verb, name, file)
		s.tool(t, "bucket", verb, name, "none")
		s.toolFails(t, exitFailure, "has none", "bucket", verb, name)
	}
	s.toolFails(t, exitFailure, "not empty", "bucket", "rm", s.bucket)
	s.tool(t, "bucket", "rm", name)
	s.toolFails(t, exitFailure, "no bucket", "bucket", "info", name)
}

func TestVersionCommands(t *testing.T) {
	s := rgwServer(t)
	base := "s3://" + s.bucket
	if out := s.tool(t, "bucket", "versioning", s.bucket); out != "never on\n" {
		t.Error(out)
	}
	s.tool(t, "bucket", "versioning", s.bucket, "on")
	for _, text := range []string{"1", "22", "333"} {
		s.put(t, "d/f", text)
	}
	s.put(t, "d/f2", "beside")
	list := decodeLines(t, s.tool(t, "versions", "--json", base+"/d/f"))
	if len(list) != 3 || list[0]["size"] != 3.0 || list[0]["latest"] != true || list[2]["size"] != 1.0 {
		t.Fatalf("%v", list)
	}
	if all := decodeLines(t, s.tool(t, "versions", "-r", "--json", base+"/d")); len(all) != 4 {
		t.Errorf("%v", all)
	}
	s.tool(t, "restore", base+"/d/f")
	if got := s.content(t, "d/f"); got != "22" {
		t.Errorf("restored %q", got)
	}
	s.tool(t, "rm", base+"/d/f")
	s.toolFails(t, exitFailure, "there is none", "ls", base+"/d/f")
	s.tool(t, "restore", base+"/d/f")
	if got := s.content(t, "d/f"); got != "22" {
		t.Errorf("restored %q", got)
	}
	s.tool(t, "restore", "--version", list[2]["version"].(string), base+"/d/f")
	if got := s.content(t, "d/f"); got != "1" {
		t.Errorf("restored %q", got)
	}
	s.tool(t, "restore", "--as-of", list[0]["last_modified"].(string), base+"/d/f")
	if got := s.content(t, "d/f"); got != "333" {
		t.Errorf("restored %q", got)
	}
	s.toolFails(t, exitFailure, "no older version", "restore", base+"/d/f2")
	s.toolFails(t, exitFailure, "no older version", "restore", "--as-of", "2020-01-01", base+"/d/f")
	if out := s.tool(t, "versions", base+"/d/f"); strings.Count(out, "removed") != 1 || strings.Count(out, "* ") != 1 {
		t.Error(out)
	}
	if out := s.tool(t, "info", "--version", list[1]["version"].(string), base+"/d/f"); !strings.Contains(out, "2 (2 B)") {
		t.Error(out)
	}
}
