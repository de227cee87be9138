package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckMountpoint(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	must(os.Mkdir(in("empty"), 0o755))
	must(os.Mkdir(in("full"), 0o755))
	must(os.Mkdir(in("full/thing"), 0o755))
	must(os.WriteFile(in("file"), nil, 0o644))
	must(os.Symlink("empty", in("link")))
	must(os.Symlink("nothing", in("broken")))
	must(os.Mkdir(in("two words"), 0o755))

	var table strings.Builder
	line := func(point, fsType, source string) {
		fmt.Fprintf(&table, "1 2 0:3 / %s rw - %s %s rw\n", strings.ReplaceAll(point, " ", `\040`), fsType, source)
	}
	must(os.Mkdir(in("ours"), 0o755))
	must(os.Mkdir(in("other"), 0o755))
	line(in("ours"), "fuse.rgwfs", "s3://data")
	line(in("two words"), "fuse.rgwfs", "s3://data")
	line(in("other"), "tmpfs", "none")
	must(os.WriteFile(in("mountinfo"), []byte(table.String()), 0o644))

	machine := thisHost()
	machine.mountinfo = in("mountinfo")
	check := func(path string, args ...string) (string, error) {
		s := mustParse(t, testInvocation(), append(args, "data", path)...)
		err := machine.checkMountpoint(s)
		return s.mountpoint, err
	}
	for _, name := range []string{"empty", "link"} {
		if got, err := check(in(name)); err != nil || filepath.Base(got) != "empty" {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for name, words := range map[string][]string{
		"missing":      {"does not exist", "mkdir -p " + in("missing")},
		"file":         {"not a directory"},
		"file/below":   {"not a directory"},
		"broken":       {"does not exist"},
		"full":         {"not empty", `"thing"`, "-o nonempty"},
		"ours":         {"rgwfs has s3://data mounted", "fusermount3 -u " + in("ours")},
		"two words":    {"mounted there already", "fusermount3 -u '" + in("two words") + "'"},
		"other":        {"none (type tmpfs)", "-o nonempty"},
		"miss'ing too": {`mkdir -p '` + in(`miss'\''ing too`) + `'`},
	} {
		_, err := check(in(name))
		wantLine(t, err, words...)
	}
	for _, name := range []string{"full", "other"} {
		if _, err := check(in(name), "-o", "nonempty"); err != nil {
			t.Errorf("%s with -o nonempty: %v", name, err)
		}
	}
	if _, err := check(in("ours"), "-o", "nonempty"); err == nil {
		t.Error("-o nonempty mounts rgwfs over rgwfs")
	}

	// Another user, whose directory it is not. (Root may write everywhere, so
	// the test looks through nobody's eyes only where it is not root.)
	if os.Geteuid() != 0 {
		must(os.Mkdir(in("locked"), 0o555))
		_, err := check(in("locked"))
		wantLine(t, err, "not writable by user", "directory of your own")
	}
}

func TestCheckFuse(t *testing.T) {
	dir := t.TempDir()
	device := filepath.Join(dir, "fuse")
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "fuse.conf")
	user := host{euid: 1000, fuse: device, fuseConf: conf, lookPath: func(name string) (string, error) { return "/usr/bin/" + name, nil }}
	root := user
	root.euid = 0
	check := func(h host, args ...string) error {
		return h.checkFuse(mustParse(t, testInvocation(), append(args, "data", "/mnt/x")...))
	}
	for _, h := range []host{user, root} {
		if err := check(h); err != nil {
			t.Error(err)
		}
		absent := h
		absent.fuse += "-absent"
		wantLine(t, check(absent), "fuse-absent is missing", "modprobe fuse", "--device /dev/fuse")
	}
	if err := check(root, "--allow-other"); err != nil {
		t.Error("allow_other for root:", err)
	}
	unlinked := user
	unlinked.lookPath = func(string) (string, error) { return "", errors.New("not found") }
	wantLine(t, check(unlinked), "fusermount3 is missing", "apt install fuse3")

	wantLine(t, check(user, "--allow-other"), "--allow-other", "user_allow_other", conf)
	for text, allowed := range map[string]bool{
		"":                                 false,
		"#user_allow_other\n":              false,
		"mount_max = 1000 # many\n":        false,
		"user_allow_other\n":               true,
		"mount_max=10\n user_allow_other ": true,
	} {
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, flag := range []string{"--allow-other", "--allow-root"} {
			if err := check(user, flag); (err == nil) != allowed {
				t.Errorf("%s with %q: %v", flag, text, err)
			}
		}
	}
}

// A device that is there but may not be used, as in a container without the
// right.
func TestCheckFuseUnusable(t *testing.T) {
	device := filepath.Join(t.TempDir(), "fuse")
	if err := os.Mkdir(device, 0o755); err != nil { // can't be opened for writing
		t.Fatal(err)
	}
	machine := host{euid: 0, fuse: device}
	wantLine(t, machine.checkFuse(mustParse(t, testInvocation(), "data", "/mnt/x")), "can't be opened", "--cap-add SYS_ADMIN")
}

func TestQuote(t *testing.T) {
	for path, want := range map[string]string{
		"/mnt/a-b_c": "/mnt/a-b_c", "/a b": "'/a b'", "/it's": `'/it'\''s'`, "/$HOME": "'/$HOME'", "/a\nb": `$'/a\nb'`, "": "''", "/ü": "'/ü'",
	} {
		if got := quote(path); got != want {
			t.Errorf("quote(%q) = %s, want %s", path, got, want)
		}
	}
}
