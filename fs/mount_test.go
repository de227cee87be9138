package fs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"rgwfs/fs"
	"rgwfs/fs/fstest"
	"rgwfs/s3backend/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestNewPrefix mounts a prefix that nothing has yet.
func TestNewPrefix(t *testing.T) {
	mem := s3test.NewMem("bucket")
	m := fstest.Mount(t, mem, fstest.Options{Prefix: "new/prefix/"})
	if got := readDir(t, m.Dir); len(got) != 0 {
		t.Errorf("%v", got)
	}
	check(t, os.WriteFile(m.Path("f"), []byte("x"), 0o644))
	if got := names(readDir(t, m.Dir)); !slices.Equal(got, []string{"f"}) {
		t.Errorf("%v", got)
	}
	if got := stored(t, mem, "new/prefix/f"); string(got) != "x" {
		t.Errorf("stored: %q", got)
	}
}

// TestAbort has the kernel's connection aborted, as umount -f does, while a
// file is written. Needs root, who may do that.
func TestAbort(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	mem := s3test.NewMem("bucket")
	m := fstest.Mount(t, mem, fstest.Options{})
	f, err := os.Create(m.Path("f"))
	check(t, err)
	_, err = f.Write([]byte("written, not closed"))
	check(t, err)
	if err := unix.Unmount(m.Dir, unix.MNT_FORCE); err != nil && err != unix.EBUSY {
		t.Fatal(err)
	}
	wantErrno(t, "close", f.Close(), syscall.ENOTCONN)
	m.Unmount() // finds a mount or a handle that is left
	if got := stored(t, mem, "f"); string(got) != "written, not closed" {
		t.Errorf("stored: %q", got)
	}
}

// as runs a program as another user.
func as(uid uint32, name string, arg ...string) error {
	cmd := exec.Command(name, arg...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd.Run()
}

// TestOtherUsers needs root, who can be others.
func TestOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for name, c := range map[string]struct {
		change       func(*fs.Config)
		open, secret bool // another user may read a file of mode 644, of 600
	}{
		"default":     {func(*fs.Config) {}, false, false},
		"allow_other": {func(c *fs.Config) { c.AllowOther = true }, true, false},
		"allow_root":  {func(c *fs.Config) { c.AllowRoot = true }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			mem := s3test.NewMem("bucket")
			m := fstest.Mount(t, mem, fstest.Options{FS: c.change})
			check(t, os.WriteFile(m.Path("open"), []byte("x"), 0o644))
			check(t, os.WriteFile(m.Path("secret"), []byte("x"), 0o600))
			check(t, unix.Chmod(filepath.Dir(m.Dir), 0o755))
			for file, want := range map[string]bool{"open": c.open, "secret": c.secret} {
				if err := as(65534, "cat", m.Path(file)); (err == nil) != want {
					t.Errorf("reading %s: %v", file, err)
				}
			}
			check(t, as(0, "cat", m.Path("secret")))
		})
	}
}

// TestInterruptedLookup kills a program that waits for a server which does not
// answer.
func TestInterruptedLookup(t *testing.T) {
	gate := s3test.NewGate()
	store := s3test.Fault(s3test.NewMem("bucket"), s3test.Rule{Op: s3test.OpHead, Key: "f", Do: []s3test.Effect{s3test.Block(gate)}})
	m := fstest.Mount(t, store, fstest.Options{})
	cmd := exec.Command("stat", m.Path("f"))
	cmd.Dir = "/"
	check(t, cmd.Start())
	check(t, gate.Await(t.Context(), 1))
	check(t, cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait() // does not end, if the interrupt is not heard
	gate.Open()
}
