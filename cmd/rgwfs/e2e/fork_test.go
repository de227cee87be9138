package e2e

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"rgwfs/s3backend/s3test"
)

// A program that starts another one while it writes a file has not closed the
// file, though the other has lost its copy of the descriptor: what is on the
// server stays whole.
func TestForkWhileWriting(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	old := content(t, 1, 1*mib)
	s.put(t, "file", old)
	m := newMount(t, s)
	f, err := os.Create(m.path("file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := content(t, 2, 80*mib)
	if _, err := f.Write(data[:40*mib]); err != nil {
		t.Fatal(err)
	}
	run(t, "/", "true")
	s.wantObject(t, "file", old)
	if _, err := f.Write(data[40*mib:]); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s.wantObject(t, "file", data)
	m.unmount()
}

// The shell opens the file of a redirection, and dd the file that it writes to,
// under one descriptor and go on with another. The end of the first is not that
// of the file.
func TestRedirectionWhileWriting(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	old := content(t, 1, 1*mib)
	m := newMount(t, s)
	for _, command := range []string{"cat >file", "dd of=file bs=1M status=none"} {
		s.put(t, "file", old)
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = m.dir
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// By now the program has opened the file and read some.
		data := content(t, 2, 4*mib)
		_, err = stdin.Write(data)
		s.wantObject(t, "file", old)
		if err := errors.Join(err, stdin.Close(), cmd.Wait()); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		s.wantObject(t, "file", data)
	}
	m.unmount()
}

// A file made by a redirection costs one PUT.
func TestRequestsOfRedirections(t *testing.T) {
	const files = 20
	s := newServer(t, s3test.RGW(t))
	m := newMount(t, s)
	s.count()
	run(t, m.dir, "sh", "-c", "mkdir dir; for i in $(seq 20); do echo hello >dir/file-$i; done")
	wantTally(t, "redirecting to", s.counted(), s3test.OpPut, files, 5)
	m.unmount()
}
