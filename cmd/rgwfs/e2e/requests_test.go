package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// listing is how many names a page of a listing has.
const listing = s3backend.MaxListKeys

// A long listing of 20,000 files costs the pages of the listing, and one
// request to find the directory.
func TestRequestsOfLongListing(t *testing.T) {
	const (
		files     = 20_000
		mostLists = files/listing + 1
	)
	s := newServer(t, s3test.RGW(t))
	name := func(i int) string { return fmt.Sprintf("dir/file-%05d.dat", i) }
	var group errgroup.Group
	group.SetLimit(32)
	for i := range files {
		group.Go(func() error {
			_, err := s.store.Put(t.Context(), s3backend.PutRequest{Key: name(i), Body: strings.NewReader("hello"), Size: 5})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	// Much faster than what removes the bucket at the end.
	defer func() {
		for page := range files / listing {
			keys := make([]string, listing)
			for i := range keys {
				keys[i] = name(page*listing + i)
			}
			group.Go(func() error {
				failed, err := s.store.DeleteMany(t.Context(), keys)
				if len(failed) > 0 {
					return failed[0]
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	}()

	whole := s.source
	for _, c := range []struct {
		name, source, dir string
		lookups           []string // what finds the directory asks for
	}{
		{"mounted itself", whole + "/dir", ".", nil},
		{"below the mount", whole, "dir", []string{"dir", "dir/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.source = c.source
			m := newMount(t, s)
			s.count()
			lines := strings.Split(strings.TrimSuffix(run(t, m.dir, "ls", "-l", c.dir), "\n"), "\n")
			requests := s.counted()
			if len(lines) != 1+files || !strings.HasPrefix(lines[0], "total ") {
				t.Fatalf("ls -l has %d lines, the first is %q; want 1 and %d", len(lines), lines[0], files)
			}
			for i, line := range lines[1:] {
				fields := strings.Fields(line)
				if len(fields) != 9 || fields[0] != "-rw-r--r--" || fields[4] != "5" || "dir/"+fields[8] != name(i) {
					t.Fatalf("line %d of ls -l is %q", i, line)
				}
			}
			lists := 0
			for _, r := range requests {
				switch {
				case r.Op == s3test.OpList:
					lists++
				case r.Op == s3test.OpHead && slices.Contains(c.lookups, r.Key):
				default:
					t.Errorf("ls -l has cost a %s of %q", r.Op, r.Key)
				}
			}
			if lists > mostLists {
				t.Errorf("ls -l of %d files has cost %d of %s, want at most %d", files, lists, s3test.OpList, mostLists)
			}
			t.Logf("ls -l of %d files has cost %v", files, s3test.Tally(requests))
			m.unmount()
		})
	}
}

// Small files cost a request each, to write and to read, and a handful more
// altogether.
func TestRequestsOfSmallFiles(t *testing.T) {
	const (
		files   = 2_000
		size    = 16 << 10
		handful = 30
	)
	local := t.TempDir()
	if err := os.Mkdir(filepath.Join(local, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range files {
		writeFile(t, filepath.Join(local, "dir", fmt.Sprintf("file-%04d", i)), content(t, uint64(i), size))
	}
	s := newServer(t, s3test.RGW(t))

	m := newMount(t, s)
	s.count()
	run(t, local, "cp", "-r", "dir", m.dir)
	wantTally(t, "writing", s.counted(), s3test.OpPut, files, handful)
	m.unmount()

	m = newMount(t, s)
	s.count()
	read := run(t, m.dir, "sh", "-c", "cat dir/*")
	requests := s.counted()
	wantTally(t, "reading", requests, s3test.OpGet, files, handful)
	for _, r := range requests {
		// The directory's own name is looked up by one, its marker's by another.
		if r.Op == s3test.OpHead && strings.HasPrefix(r.Key, "dir/file") {
			t.Errorf("reading has cost a %s of %s", r.Op, r.Key)
		}
	}
	m.unmount()
	if written := run(t, local, "sh", "-c", "cat dir/*"); read != written {
		t.Errorf("%d bytes were read, differing from the %d that were written", len(read), len(written))
	}
}

// wantTally fails the test unless there was exactly one successful request of
// this kind for each file, and at most so many of all others.
func wantTally(t *testing.T, doing string, requests []s3test.RGWRequest, op string, files, others int) {
	t.Helper()
	got := map[string]int{}
	var rest []s3test.RGWRequest
	for _, r := range requests {
		if r.Op == op && strings.HasPrefix(r.Key, "dir/") && r.Key != "dir/" {
			got[r.Key]++
		} else {
			rest = append(rest, r)
		}
	}
	if len(got) != files {
		t.Errorf("%s %d files: %s of %d files", doing, files, op, len(got))
	}
	for key, n := range got {
		if n != 1 {
			t.Errorf("%s %d files: %d of %s for %s", doing, files, n, op, key)
		}
	}
	if len(rest) > others {
		t.Errorf("%s %d files: beside them %d requests, want at most %d: %v", doing, files, len(rest), others, s3test.Tally(rest))
	}
	t.Logf("%s %d files: beside them %v", doing, files, s3test.Tally(rest))
}
