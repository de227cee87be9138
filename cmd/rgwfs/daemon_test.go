package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// The mount serves when the command returns, and its process ends when it is
// unmounted.
func TestDaemon(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		p := daemon(t, s)
		if entry, ok := mounted(t, p.dir); !ok || entry.source != "s3://"+s.bucket || !isOurs(entry) {
			t.Fatalf("mounted %v, %v", entry, ok)
		}
		if err := p.write("a.txt", "hello").Close(); err != nil {
			t.Fatal(err)
		}
		if got := s.content(t, "a.txt"); got != "hello" {
			t.Errorf("the bucket has %q", got)
		}
		// Away from the terminal, the directory and the files it was started with.
		if sid, err := unix.Getsid(p.pid); err != nil || sid != p.pid {
			t.Errorf("session %d of process %d, %v", sid, p.pid, err)
		}
		if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.pid)); err != nil || cwd != "/" {
			t.Errorf("it works in %s, %v", cwd, err)
		}
		for fd := range 3 {
			if file, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.pid, fd)); err != nil || file != os.DevNull {
				t.Errorf("its descriptor %d is %s, %v", fd, file, err)
			}
		}
		fusermount(t, "-u", p.dir)
		p.wait()
		if !strings.Contains(p.logged(), "msg=unmounted") {
			t.Errorf("the log does not tell the end: %s", p.logged())
		}
	})
}

func TestDaemonEndsBySIGTERM(t *testing.T) {
	s := embeddedServer(t)
	p := daemon(t, s)
	if err := os.Rename(p.log, p.log+".1"); err != nil {
		t.Fatal(err)
	}
	p.kill(syscall.SIGHUP)
	p.kill(syscall.SIGTERM)
	p.wait()
	if entry, ok := mounted(t, p.dir); ok {
		t.Errorf("%v is still mounted", entry)
	}
	if !strings.Contains(p.logged(), "unmounted by signal") {
		t.Errorf("the log opened again has no end: %s", p.logged())
	}
}

// What a signal meets unsaved is saved first, also in files still open.
func TestSignalCommits(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			p := foreground(t, s)
			f := p.write("open.txt", "not closed "+sig.String())
			p.kill(sig)
			if code := p.wait(); code != 0 {
				t.Errorf("%v: exit code %d: %s", sig, code, p.logged())
			}
			// The mount is gone, so this may fail; what counts is in the bucket.
			_ = f.Close()
			if got, want := s.content(t, "open.txt"), "not closed "+sig.String(); got != want {
				t.Errorf("the bucket has %q, want %q", got, want)
			}
			if entry, ok := mounted(t, p.dir); ok {
				t.Errorf("%v is still mounted", entry)
			}
		}
	})
}

// An unmount from outside waits for files to be closed; nothing is unsaved
// then, and the exit code says so.
func TestUnmountFromOutside(t *testing.T) {
	s := embeddedServer(t)
	p := foreground(t, s)
	f := p.write("a.txt", "hello")
	if output, err := exec.Command("fusermount3", "-u", p.dir).CombinedOutput(); err == nil {
		t.Errorf("unmounted while a file was open: %s", output)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	fusermount(t, "-u", p.dir)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.logged())
	}
	if got := s.content(t, "a.txt"); got != "hello" {
		t.Errorf("the bucket has %q", got)
	}
}

// deadServer is a server that the test can stop.
func deadServer(t *testing.T) (s *server, stop func()) {
	t.Helper()
	proxy := newCutProxy(t, embeddedServer(t))
	return proxy.server, proxy.cut
}

// With the server gone, the end is bounded, names what is lost, and does not
// look like success.
func TestServerGone(t *testing.T) {
	for name, second := range map[string]bool{"by time": false, "by a second signal": true} {
		t.Run(name, func(t *testing.T) {
			s, cut := deadServer(t)
			args := []string{"--unmount-timeout", "1s"}
			if second {
				args[1] = "1h"
			}
			p := foreground(t, s, args...)
			f := p.write("lost.txt", "hello")
			cut()
			p.kill(syscall.SIGTERM)
			if second {
				p.kill(syscall.SIGINT)
			}
			if code := p.wait(); code != exitUnsaved {
				t.Errorf("exit code %d: %s", code, p.logged())
			}
			if err := f.Close(); err == nil {
				t.Error("close says that the file is saved")
			}
			if log := p.logged(); !strings.Contains(log, "not saved") || !strings.Contains(log, "lost.txt") {
				t.Errorf("the log does not tell the loss: %s", p.logged())
			}
			if entry, ok := mounted(t, p.dir); ok {
				t.Errorf("%v is still mounted", entry)
			}
		})
	}
}

// A mount whose process was killed is stale; the next mount says how to clean
// up, and then it works.
func TestStaleMount(t *testing.T) {
	s := embeddedServer(t)
	p := foreground(t, s)
	p.kill(syscall.SIGKILL)
	p.wait()
	if _, err := os.ReadDir(p.dir); !errors.Is(err, syscall.ENOTCONN) {
		t.Fatalf("reading a stale mount: %v", err)
	}
	r := runCLI(t, cli(t, s.env(), "mount", s.bucket, p.dir))
	wantFailure(t, r, exitFailure, "stale", "Transport endpoint is not connected", "fusermount3 -u "+p.dir)
	fusermount(t, "-u", p.dir)
	if r := runCLI(t, cli(t, s.env(), "mount", s.bucket, p.dir)); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	fusermount(t, "-u", p.dir)
}

func TestAlreadyMounted(t *testing.T) {
	s := embeddedServer(t)
	p := foreground(t, s)
	for _, more := range [][]string{nil, {"-o", "nonempty"}} {
		r := runCLI(t, cli(t, s.env(), append([]string{"mount", s.bucket, p.dir}, more...)...))
		wantFailure(t, r, exitFailure, "already", "s3://data", "fusermount3 -u "+p.dir)
	}
	if err := p.write("still.txt", "works").Close(); err != nil {
		t.Error(err)
	}
}

func TestSources(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		whole := daemon(t, s)
		if err := os.MkdirAll(filepath.Join(whole.dir, "a/b"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := whole.write("a/b/c.txt", "hello").Close(); err != nil {
			t.Fatal(err)
		}
		for from, path := range map[string]string{s.bucket + "/a": "b/c.txt", s.bucket + ":/a/b": "c.txt", "s3://": s.bucket + "/a/b/c.txt"} {
			part := *s
			part.bucket = from
			p := daemon(t, &part, "--read-only")
			data, err := os.ReadFile(filepath.Join(p.dir, path))
			if err != nil || string(data) != "hello" {
				t.Errorf("%s: %s: %q, %v", from, path, data, err)
			}
			if err := os.WriteFile(filepath.Join(p.dir, path), nil, 0o644); !errors.Is(err, syscall.EROFS) {
				t.Errorf("%s: writing to a read-only mount: %v", from, err)
			}
		}
	})
}

// Secrets are in none of the places that others see, at whatever log level.
func TestSecretsStaySecret(t *testing.T) {
	s := embeddedServer(t)
	p := daemon(t, s, "--log-level", "debug", "--debug-fuse")
	if err := p.write("a.txt", "the file's contents").Close(); err != nil {
		t.Fatal(err)
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	fusermount(t, "-u", p.dir)
	p.wait()
	log := p.logged()
	if !strings.Contains(log, "level=DEBUG") || !strings.Contains(log, "a.txt") {
		t.Fatalf("this is no debug log: %s", log)
	}
	if !strings.Contains(log, "never holds credentials") {
		t.Error("the debug log does not warn of what it shows")
	}
	for place, text := range map[string]string{"the arguments": string(cmdline), "the log": log, "mountinfo": string(mountinfo)} {
		// The access key is one too: an LDAP token holds the password.
		for what, secret := range map[string]string{"secret key": s.secret, "access key": s.key, "a header": "Authorization", "contents": "the file's contents"} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s is in %s: %s", what, place, text)
			}
		}
	}
	wrong := *s
	wrong.secret = "another-secret-key"
	r := runCLI(t, cli(t, wrong.env(), "mount", "--log-level=debug", s.bucket, mountpoint(t)))
	if r.code != exitFailure || strings.Contains(r.stderr, wrong.secret) || strings.Contains(r.stderr, s.key) {
		t.Errorf("a failure tells secrets: %+v", r)
	}
}

// inNamespace runs a shell script as root in a mount namespace of its own, in
// which it may mount what it likes; all that goes when its last process ends.
func inNamespace(t *testing.T, env []string, script string, args ...string) result {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a mount namespace here")
	}
	cmd := cli(t, env)
	cmd.Dir = "/"
	cmd.Path = "/bin/sh"
	cmd.Args = append([]string{"sh", "-ec", script, program}, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	return runCLI(t, cmd)
}

// As a user who is not root, through fusermount3. The device gets the mode
// that udev gives it (0666), which a container's may not have.
func TestNotRoot(t *testing.T) {
	s := embeddedServer(t)
	dir := mountpoint(t)
	const nobody = 65534
	const prelude = `
		device=$(mktemp -d); trap 'rm -rf "$device"' EXIT
		mknod -m 666 "$device/fuse" c 10 229
		mount --bind "$device/fuse" /dev/fuse
		as() { setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent GORACE= RGWFS_CACHE_DIR=/tmp/rgwfs-test-nobody "$@"; }
	`
	t.Cleanup(func() { os.RemoveAll("/tmp/rgwfs-test-nobody") })
	mount := func(args ...string) result {
		return inNamespace(t, s.env(), prelude+`as "$0" mount "$@"`, args...)
	}
	wantFailure(t, mount("data", dir), exitFailure, "can't be read by user 65534")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, mount("data", dir), exitFailure, "not writable by user 65534", "directory of your own")
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile("/etc/fuse.conf"); err == nil && !bytes.Contains(data, []byte("\nuser_allow_other")) {
		wantFailure(t, mount("--allow-other", "data", dir), exitFailure, "--allow-other", "user_allow_other", "/etc/fuse.conf")
	}
	wantFailure(t, inNamespace(t, s.env(), prelude+`as PATH=/nonexistent "$0" mount data "$1"`, dir), exitFailure, "fusermount3 is missing", "apt install fuse3")
	wantFailure(t, inNamespace(t, s.env(), prelude+`chmod 600 /dev/fuse; as "$0" mount data "$1"`, dir), exitFailure, "/dev/fuse may not be used by user 65534")

	r := inNamespace(t, s.env(), prelude+`
		as "$0" mount data "$1"
		as sh -ec 'cd "$1"; mkdir d; echo hello > d/f; cat d/f; stat -c %u:%a d/f; cd /; fusermount3 -u "$1"' sh "$1"
	`, dir)
	if r.code != 0 || r.stdout != "hello\n65534:644\n" || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	if got := s.content(t, "d/f"); got != "hello\n" {
		t.Errorf("the bucket has %q", got)
	}
}

func TestFuseDeviceMissing(t *testing.T) {
	r := inNamespace(t, embeddedServer(t).env(), `mount -t tmpfs none /dev; : > /dev/null; exec "$0" mount -f data "$1"`, mountpoint(t))
	wantFailure(t, r, exitFailure, "/dev/fuse is missing", "modprobe fuse")
}

// By mount(8), as for a line of fstab(5) with the type fuse.rgwfs. Its helper
// looks for rgwfs in the usual places only.
func TestMountProgram(t *testing.T) {
	s := embeddedServer(t)
	s.put(t, "hello.txt", "hello\n")
	r := inNamespace(t, s.env(), `
		mount -t tmpfs none /usr/local/bin
		ln -s "$0" /usr/local/bin/rgwfs
		mount -t fuse.rgwfs -o "ro,_netdev,nofail,metadata_ttl=10s,endpoint=$2" data "$1"
		cat "$1/hello.txt"
		findmnt -n -o SOURCE,FSTYPE "$1"
		umount "$1"
	`, mountpoint(t), s.endpoint)
	if r.code != 0 || r.stdout != "hello\ns3://data fuse.rgwfs\n" || r.stderr != "" {
		t.Errorf("%+v", r)
	}
}

// A server with a certificate of its own authority, by https.
func TestMountHTTPS(t *testing.T) {
	rgw := s3test.RGW(t)
	s := &server{endpoint: rgw.HTTPS, key: rgw.AccessKey, secret: rgw.SecretKey, bucket: rgw.NewBucket()}
	wantFailure(t, runCLI(t, cli(t, s.env(), "mount", s.bucket, mountpoint(t))), exitFailure, "--ca-file", "AWS_CA_BUNDLE")
	p := daemon(t, s, "--ca-file", rgw.CAFile)
	if err := p.write("a.txt", "hello").Close(); err != nil {
		t.Fatal(err)
	}
	check := newServer(t, rgw.HTTP, rgw.AccessKey, rgw.SecretKey, s.bucket)
	if got := check.content(t, "a.txt"); got != "hello" {
		t.Errorf("the bucket has %q", got)
	}
	if _, err := check.store.Head(t.Context(), "b.txt"); !s3backend.IsNotExist(err) {
		t.Errorf("Head of what is not there: %v", err)
	}
}
