package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// testInvocation is a run with these variables and nothing else of ours.
func testInvocation(env ...string) *invocation {
	return &invocation{argv0: "rgwfs", name: "rgwfs", stdout: io.Discard, stderr: io.Discard, env: env}
}

func mustParse(t *testing.T, inv *invocation, args ...string) *settings {
	t.Helper()
	s, err := parseMount(inv, args)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return s
}

func TestDefaults(t *testing.T) {
	s := mustParse(t, testInvocation(), "data/a", "/mnt/x")
	if s.source != (source{"data", "a/"}) || s.mountpoint != "/mnt/x" {
		t.Errorf("operands: %v at %v", s.source, s.mountpoint)
	}
	if s.foreground || s.nonempty || s.fs.ReadOnly || s.fs.AllowOther || s.backend.VirtualHost {
		t.Errorf("something is on by default: %+v", s)
	}
	if s.cache.MetadataTTL != time.Minute || s.cache.NegativeTTL != 5*time.Second || s.fs.NegativeTTL != 5*time.Second {
		t.Errorf("TTLs: %v, %v, %v", s.cache.MetadataTTL, s.cache.NegativeTTL, s.fs.NegativeTTL)
	}
	if s.fs.ForceUID || s.fs.ForceGID || s.fs.UID != uint32(os.Geteuid()) || s.fs.FileMode != 0o644 || s.fs.DirMode != 0o755 || s.fs.Umask != 0 {
		t.Errorf("owner and modes: %+v", s.fs)
	}
	if s.fs.FsName != "s3://data/a" {
		t.Errorf("the filesystem's name is %q", s.fs.FsName)
	}
}

func TestFlagsOverOptionsOverEnvironmentOverDefault(t *testing.T) {
	env := testInvocation("RGWFS_METADATA_TTL=1s", "RGWFS_PART_SIZE=32M", "RGWFS_READ_ONLY=true", "RGWFS_REGION=", "RGWFS_LOG_LEVEL=warn", "RGWFS_UID=7")
	s := mustParse(t, env, "data", "/mnt/x")
	if s.cache.MetadataTTL != time.Second || s.cache.PartSize != 32<<20 || !s.fs.ReadOnly || !s.cache.ReadOnly || s.backend.Region == "" || s.logLevel != "warn" || s.fs.UID != 7 || !s.fs.ForceUID {
		t.Errorf("environment over default: %+v", s)
	}
	s = mustParse(t, env, "-o", "metadata_ttl=2s,rw", "data", "/mnt/x")
	if s.cache.MetadataTTL != 2*time.Second || s.fs.ReadOnly || s.cache.PartSize != 32<<20 {
		t.Errorf("-o over environment: %+v", s)
	}
	s = mustParse(t, env, "data", "--metadata-ttl=3s", "/mnt/x", "-o", "metadata_ttl=2s", "-o", "ro")
	if s.cache.MetadataTTL != 3*time.Second || !s.fs.ReadOnly {
		t.Errorf("flag over -o: %+v", s)
	}
	s = mustParse(t, testInvocation("RGWFS_OPTIONS=ro,region=here"), "data", "/mnt/x")
	if !s.fs.ReadOnly || s.backend.Region != "here" {
		t.Errorf("RGWFS_OPTIONS: %+v", s)
	}
}

// TestEveryFlagInTheEnvironment sets each flag by its variable, so that none
// is left out.
func TestEveryFlagInTheEnvironment(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"SIZE": "65M", "FILE": key, "AES256|aws:kms[:KEYID]": "AES256", "MODE": "0640", "ID": "12", "duration": "7s", "bool": "true", "TIME": "2026-11-01T00:00Z", "string": "/x", "text|json": "json", "debug|info|warn|error": "error", "auto|v4|v2|hybrid": "hybrid"}
	_, groups := newSettings()
	for _, name := range longNames(merged(groups)) {
		if name == "options" {
			continue
		}
		_, groups := newSettings()
		flags := merged(groups)
		flag := flags.Lookup(name)
		value, ok := values[flag.Value.Type()]
		if !ok {
			t.Fatalf("--%s has type %s, for which this test has no value", name, flag.Value.Type())
		}
		if err := applyEnvironment(testInvocation(variable(name)+"="+value), flags, map[string]bool{}); err != nil {
			t.Errorf("%s=%s: %v", variable(name), value, err)
		}
		if !flag.Changed || flag.Value.String() == flag.DefValue {
			t.Errorf("%s=%s leaves --%s at %s", variable(name), value, name, flag.Value)
		}
	}
}

func TestOptionsOfFstab(t *testing.T) {
	s := mustParse(t, testInvocation(), "data", "/mnt/x", "-o",
		`rw,dev,suid,_netdev,nofail,x-systemd.automount,x-gvfs-show,noauto,user,comment=a\,b,relatime,noexec,allow_other,uid=10,gid=20,umask=027,url=http://h:1,use_path_request_style,nonempty,log_file=/a\,b,--part-size=8M`)
	if s.fs.ReadOnly || !s.fs.AllowOther || s.fs.UID != 10 || s.fs.GID != 20 || !s.nonempty || s.backend.Endpoint != "http://h:1" ||
		s.logFile != "/a,b" || s.cache.PartSize != 8<<20 || !slices.Equal(s.fs.Options, []string{"noexec"}) {
		t.Errorf("%+v", s)
	}
	if s.fs.FileMode != 0o666 || s.fs.DirMode != 0o777 || s.fs.Umask != 0o027 {
		t.Errorf("umask=027 gives %o less %o, %o", s.fs.FileMode, s.fs.Umask, s.fs.DirMode)
	}
	s = mustParse(t, testInvocation(), "data", "/mnt/x", "-o", "umask=022,file_mode=600")
	if s.fs.FileMode != 0o600 || s.fs.DirMode != 0o777 {
		t.Errorf("umask and file_mode give %o, %o", s.fs.FileMode, s.fs.DirMode)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  []string
		say  string
	}{
		{args: nil, say: "no SOURCE"},
		{args: []string{"data"}, say: "no MOUNTPOINT"},
		{args: []string{"data", ""}, say: "MOUNTPOINT is empty"},
		{args: []string{"data", "/mnt/x", "/mnt/y"}, say: "too much"},
		{args: []string{"/mnt", "/mnt/x"}, say: "SOURCE"},
		{args: []string{"--metadta-ttl=1s", "data", "/mnt/x"}, say: "did you mean --metadata-ttl?"},
		{args: []string{"--wibble", "data", "/mnt/x"}, say: "no flag --wibble"},
		{args: []string{"-z", "data", "/mnt/x"}, say: "no flag -z"},
		{args: []string{"--metadata-ttl", "soon", "data", "/mnt/x"}, say: "--metadata-ttl"},
		{args: []string{"--part-size", "1M", "data", "/mnt/x"}, say: "5 MiB"},
		{args: []string{"--memory-limit", "1M", "data", "/mnt/x"}, say: "64 MiB"},
		{args: []string{"--log-level", "loud", "data", "/mnt/x"}, say: "debug, info, warn, error"},
		{args: []string{"--file-mode", "u+x", "data", "/mnt/x"}, say: "octal"},
		{args: []string{"--unmount-timeout", "-1s", "data", "/mnt/x"}, say: "0 or more"},
		{args: []string{"-o", "metadata_tll=1s", "data", "/mnt/x"}, say: "did you mean -o metadata_ttl?"},
		{args: []string{"-o", "wibble", "data", "/mnt/x"}, say: "no option -o wibble"},
		{args: []string{"-o", "metadata_ttl", "data", "/mnt/x"}, say: "needs a value"},
		{args: []string{"-o", "uid=me", "data", "/mnt/x"}, say: "-o uid"},
		{args: []string{"-o", "options=ro", "data", "/mnt/x"}, say: "no option"},
		{args: []string{"--allow-other", "--allow-root", "data", "/mnt/x"}, say: "allow_other"},
		{args: []string{"data", "/mnt/x"}, env: []string{"RGWFS_PART_SIZE=big"}, say: "RGWFS_PART_SIZE"},
		{args: []string{"data", "/mnt/x"}, env: []string{"RGWFS_FOREGROUND=perhaps"}, say: "RGWFS_FOREGROUND"},
	} {
		_, err := parseMount(testInvocation(c.env...), c.args)
		if err == nil || !strings.Contains(err.Error(), c.say) || exitCode(err) != exitUsage {
			t.Errorf("%q %q: %v (exit code %d), want usage error with %q", c.env, c.args, err, exitCode(err), c.say)
		}
	}
	if _, err := parseMount(testInvocation(), []string{"--help"}); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
}

// A daemon works in "/", so no relative path may be left.
func TestRelativePaths(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	s := mustParse(t, testInvocation(), "--cache-dir=c", "--log-file", "l", "--ca-file=../ca", "data", "m")
	for got, want := range map[string]string{
		s.mountpoint: "m", s.cache.Dir: "c", s.logFile: "l", s.backend.CAFile: "../ca",
	} {
		if got != filepath.Join(here, want) {
			t.Errorf("%s has become %s", want, got)
		}
	}
}

func TestHelperArgs(t *testing.T) {
	got, err := helperArgs([]string{"data", "/mnt/x", "-sv", "-n", "-t", "rgwfs", "-o", "rw,_netdev"})
	if want := []string{"data", "/mnt/x", "-o", "rw,_netdev"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, args := range [][]string{{"data", "/mnt/x", "-o"}, {"data", "/mnt/x", "-f"}, {"data", "/mnt/x", "-N", "/proc/1/ns/mnt"}} {
		if got, err := helperArgs(args); exitCode(err) != exitUsage {
			t.Errorf("%q: %q, %v", args, got, err)
		}
	}
	for args, want := range map[string]bool{
		"data /mnt/x -o rw,dev,suid": true, "data /mnt/x": true, "data mnt -o rw": false, "data": false, "--foreground /mnt/x": false, "mout data /mnt/x": false,
	} {
		if got := isFuseHelperCall(strings.Fields(args)); got != want {
			t.Errorf("isFuseHelperCall(%q) = %v", args, got)
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var b strings.Builder
	if err := mountHelp(&b); err != nil {
		t.Fatal(err)
	}
	_, groups := newSettings()
	page, err := os.ReadFile("../../docs/rgwfs.1")
	if err != nil {
		t.Fatal(err)
	}
	manual := strings.ReplaceAll(string(page), "Fl -", "--") // in mdoc(7) .Fl -x is --x
	for _, name := range longNames(merged(groups)) {
		if !strings.Contains(b.String(), "--"+name) {
			t.Errorf("help does not name --%s", name)
		}
		if !strings.Contains(manual, "--"+name) {
			t.Errorf("rgwfs(1) does not name --%s", name)
		}
	}
	for line := range strings.Lines(b.String()) {
		if len(line) > helpWidth+1 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}
