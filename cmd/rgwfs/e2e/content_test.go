package e2e

import (
	"bufio"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// noise is a reader of n bytes that don't compress and that differ from seed
// to seed and from place to place.
func noise(seed uint64, n int64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), n)
}

// content returns n bytes of noise.
func content(t *testing.T, seed uint64, n int) []byte {
	t.Helper()
	data := make([]byte, n)
	if _, err := io.ReadFull(noise(seed, int64(n)), data); err != nil {
		t.Fatal(err)
	}
	return data
}

// writeNoise makes a file of n bytes of noise.
func writeNoise(t *testing.T, name string, seed uint64, n int64) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := io.Copy(w, noise(seed, n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// writeFile writes a whole file, on the mount or elsewhere.
func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
