package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// A file that the server does not take can't be closed successfully, and what
// was there before stays: here the user may store 16 MiB in all.
func TestQuota(t *testing.T) {
	rgw := s3test.RGW(t)
	s := limitedServer(t, rgw)
	old := content(t, 1, 1*mib)
	s.put(t, "old", old)
	fill(t, s)
	m := newMount(t, s)
	for _, c := range []struct {
		name string
		size int
	}{
		{"a small file", 100},
		{"a file of one part", 6 * mib},
		{"a file of many parts", 40 * mib},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range []string{"old", "new"} {
				f, err := os.Create(m.path(name))
				if err != nil {
					t.Fatal(err)
				}
				var first error
				m.within(limit, "writing over quota", func() {
					_, first = f.Write(content(t, 2, c.size))
					if err := f.Close(); first == nil {
						first = err
					}
				})
				if !errors.Is(first, syscall.EDQUOT) {
					t.Errorf("%s: writing and closing: %v, want %v", name, first, syscall.EDQUOT)
				}
			}
			s.wantObject(t, "old", old)
			if _, err := s.store.Head(t.Context(), "new"); !s3backend.IsNotExist(err) {
				t.Errorf("the new file is on the server: %v", err)
			}
		})
	}
	m.wantReadable("old", old)

	// So programs tell it. (Not all: dash ignores what close returns.)
	if r := try(t, m.dir, "cp", program, "copy"); r.code == 0 || !strings.Contains(r.stderr, "quota") {
		t.Errorf("cp over quota ends with %d: %s", r.code, r.stderr)
	}

	// With room again, the same mount takes files again.
	if err := s.store.Delete(t.Context(), "filling"); err != nil {
		t.Fatal(err)
	}
	rgw.Admin("user", "stats", "--uid=limited", "--sync-stats")
	data := content(t, 3, 6*mib)
	deadline := time.Now().Add(limit)
	for {
		err := os.WriteFile(m.path("new"), data, 0o644)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EDQUOT) || time.Now().After(deadline) {
			t.Fatalf("with room again: %v", err)
		}
		time.Sleep(time.Second) // RGW counts now and then
	}
	s.wantObject(t, "new", data)
	m.unmount()
}

// fill uses up the user's quota and waits until RGW feels it for good.
//
// RGW adds what it stores to what it remembers of the user's usage, but reads
// that again every second from where it arrives with a delay: an upload over
// quota is refused at first, and may then be taken for a while.
func fill(t *testing.T, s *server) {
	t.Helper()
	const steady = 3 * time.Second // several times RGW's reading again
	s.put(t, "filling", content(t, 4, 15*mib))
	s.rgw.Admin("user", "stats", "--uid=limited", "--sync-stats")
	deadline := time.Now().Add(limit)
	for since := time.Now(); time.Since(since) < steady; time.Sleep(100 * time.Millisecond) {
		_, err := s.store.Put(t.Context(), s3backend.PutRequest{Key: "probe", Body: strings.NewReader("no room"), Size: 7})
		if err != nil && s3backend.KindOf(err) != s3backend.KindQuota {
			t.Fatal(err)
		}
		if err == nil {
			since = time.Now()
		}
		if time.Now().After(deadline) {
			t.Fatal("RGW does not feel the quota")
		}
	}
}

// wantReadable fails the test unless the file on the mount has this content.
func (m *mount) wantReadable(name string, data []byte) {
	m.t.Helper()
	m.within(limit, "reading "+name, func() {
		m.t.Helper()
		f, err := os.Open(m.path(name))
		if err != nil {
			m.t.Error(err)
			return
		}
		defer f.Close()
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data) {
			m.t.Errorf("%s reads as %s, %v; want %s", name, digest(got), err, digest(data))
		}
	})
}
