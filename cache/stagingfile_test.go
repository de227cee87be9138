package cache

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
)

func sealed(t testing.TB) (*sealedFile, *os.File) {
	t.Helper()
	file, err := newStagingFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := newSealedFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, file
}

// TestSealedFile compares a sealed file with what a file is, over random
// writes, truncations and reads, which begin and end where sectors and runs do
// and beside.
func TestSealedFile(t *testing.T) {
	r, fill := rand.New(rand.NewPCG(1, 2)), rand.NewChaCha8([32]byte{})
	near := func(limit int) int {
		n := r.IntN(limit)
		if unit := []int{1, 512, sectorSize, sealedRun}[r.IntN(4)]; r.IntN(2) == 0 {
			n = n / unit * unit
		}
		return n
	}
	for round := range 3 {
		f, _ := sealed(t)
		var model []byte
		for step := range 60 {
			switch r.IntN(4) {
			case 0, 1:
				off, p := near(3*sealedRun), make([]byte, 1+near(sealedRun+sealedRun/2))
				_, _ = fill.Read(p) // never fails
				if r.IntN(8) == 0 {
					clear(p)
				}
				if end := off + len(p); end > len(model) {
					model = append(model, make([]byte, end-len(model))...)
				}
				copy(model[off:], p)
				kept := bytes.Clone(p)
				if n, err := f.WriteAt(p, int64(off)); n != len(p) || err != nil {
					t.Fatal(n, err)
				}
				if !bytes.Equal(p, kept) {
					t.Fatal("WriteAt changed its argument")
				}
			case 2:
				size := near(3 * sealedRun)
				if size <= len(model) {
					model = model[:size:size]
				} else {
					model = append(model, make([]byte, size-len(model))...)
				}
				if err := f.Truncate(int64(size)); err != nil {
					t.Fatal(err)
				}
			case 3:
				off, p := near(4*sealedRun), make([]byte, near(2*sealedRun))
				n, err := f.ReadAt(p, int64(off))
				want := []byte{}
				if off < len(model) {
					want = model[off:min(off+len(p), len(model))]
				}
				if n != len(want) || !bytes.Equal(p[:n], want) || (n < len(p)) != errors.Is(err, io.EOF) {
					t.Fatalf("round %d, step %d: %d bytes at %d of %d, %v; or others", round, step, n, off, len(model), err)
				}
			}
			if size, err := f.Size(); err != nil || size != int64(len(model)) {
				t.Fatalf("size %d, %v, want %d", size, err, len(model))
			}
		}
		got, err := io.ReadAll(io.NewSectionReader(f, 0, int64(len(model))))
		if err != nil || !bytes.Equal(got, model) {
			t.Fatal("the content is another", err)
		}
	}
}

func TestSealedFileHidesContent(t *testing.T) {
	f, file := sealed(t)
	text := bytes.Repeat([]byte("the patient's name. "), 1000)
	for _, off := range []int64{0, 8192} { // the same bytes again, and elsewhere
		if _, err := f.WriteAt(text, off); err != nil {
			t.Fatal(err)
		}
	}
	disk := make([]byte, 64<<10)
	n, err := file.ReadAt(disk, 0)
	if err != io.EOF || n < len(text) {
		t.Fatal(n, err)
	}
	if bytes.Contains(disk, []byte("patient")) {
		t.Error("the content can be read on the disk")
	}
	if bytes.Equal(disk[:sectorSize], disk[8192:8192+sectorSize]) {
		t.Error("equal sectors are equal on the disk")
	}
}

// Parts of a commit are filled in parallel, and may meet within a sector.
func TestSealedFileInParallel(t *testing.T) {
	f, _ := sealed(t)
	const piece, pieces = 1500, 200
	want := make([]byte, piece*pieces)
	for i := range want {
		want[i] = byte(i / 7)
	}
	var wg sync.WaitGroup
	for i := range pieces {
		wg.Go(func() {
			if _, err := f.WriteAt(want[i*piece:(i+1)*piece], int64(i*piece)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Error("the content is another", err)
	}
}
