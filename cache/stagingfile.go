package cache

import (
	"bytes"
	"crypto/aes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/crypto/xts"
)

// stagingFile is a local file without a name that holds what memory can't. It
// reads as zeros where nothing was written.
type stagingFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	// Size returns the size in bytes that the last Truncate or the furthest
	// WriteAt gave it.
	Size() (int64, error)
}

// plainFile is a stagingFile whose bytes anybody can read who can read the disk.
type plainFile struct{ *os.File }

func (f plainFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// sectorSize is the unit in bytes that is encrypted as a whole.
const sectorSize = 4096

// sealedFile is a stagingFile that is encrypted by AES-256-XTS, as disks are,
// with a key that is random for each file and never leaves memory. XTS, since
// bytes are written again in place: a stream cipher would use its key stream
// twice for them, and tell the XOR of both versions. It hides content, it does
// not prove that nobody changed it; who can write to our open, nameless file
// can do more than that.
type sealedFile struct {
	file *os.File

	mu     sync.RWMutex // held for writing while sectors change
	cipher *xts.Cipher
	size   int64 // of the content; the file's is a multiple of sectorSize; guarded by mu
}

// newSealedFile encrypts what is written to an empty file.
func newSealedFile(file *os.File) (*sealedFile, error) {
	var key [64]byte // two keys of AES-256, as XTS has it
	if _, err := rand.Read(key[:]); err != nil {
		return nil, err
	}
	c, err := xts.NewCipher(aes.NewCipher, key[:])
	if err != nil {
		return nil, err
	}
	clear(key[:])
	return &sealedFile{file: file, cipher: c}, nil
}

// readSectors fills p, whole sectors from off on, with content. A sector of
// zeros is a hole: no content is stored as one, but with probability 2^-32768.
// Called with mu held.
func (f *sealedFile) readSectors(p []byte, off int64) error {
	n, err := f.file.ReadAt(p, off)
	if err != nil && !isEOF(err) {
		return err
	}
	clear(p[n:])
	for i := 0; i < len(p); i += sectorSize {
		if s := p[i : i+sectorSize]; !allZero(s) {
			f.cipher.Decrypt(s, s, uint64(off+int64(i))/sectorSize)
		}
	}
	return nil
}

// writeSectors stores p, whole sectors from off on, which it overwrites.
// Called with mu held for writing.
func (f *sealedFile) writeSectors(p []byte, off int64) error {
	for i := 0; i < len(p); i += sectorSize {
		f.cipher.Encrypt(p[i:i+sectorSize], p[i:i+sectorSize], uint64(off+int64(i))/sectorSize)
	}
	_, err := f.file.WriteAt(p, off)
	return err
}

// allZero reports whether a sector has nothing but zeros: it begins with one,
// and each byte is like the one before.
func allZero(p []byte) bool { return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1]) }

// sealedRun is how many bytes are encrypted or decrypted at a time.
const sealedRun = 64 * sectorSize

// sectors calls do for runs of whole sectors that cover [off, off+n): the run's
// offset and length, and which of its bytes belong to the range.
func sectors(off, n int64, do func(at, length, from, to int64) error) error {
	for end := off + n; off < end; {
		at := off / sectorSize * sectorSize
		to := min(at+sealedRun, end)
		length := (to - at + sectorSize - 1) / sectorSize * sectorSize
		if err := do(at, length, off-at, to-at); err != nil {
			return err
		}
		off = to
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (f *sealedFile) ReadAt(p []byte, off int64) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n := max(0, min(int64(len(p)), f.size-off))
	buf := make([]byte, min(sealedRun, n+2*sectorSize))
	done := 0
	err := sectors(off, n, func(at, length, from, to int64) error {
		if err := f.readSectors(buf[:length], at); err != nil {
			return err
		}
		done += copy(p[done:], buf[from:to])
		return nil
	})
	if err == nil && done < len(p) {
		err = io.EOF
	}
	return done, err
}

// WriteAt implements io.WriterAt.
func (f *sealedFile) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done := 0
	buf := make([]byte, min(sealedRun, int64(len(p))+2*sectorSize))
	err := sectors(off, int64(len(p)), func(at, length, from, to int64) error {
		run := buf[:length]
		// Of the sectors at both ends the rest stays.
		if from > 0 {
			if err := f.readSectors(run[:sectorSize], at); err != nil {
				return err
			}
		}
		if last := length - sectorSize; to < length && (last > 0 || from == 0) {
			if err := f.readSectors(run[last:], at+last); err != nil {
				return err
			}
		}
		n := copy(run[from:to], p[done:])
		if err := f.writeSectors(run, at); err != nil {
			return err
		}
		done += n
		f.size = max(f.size, at+to)
		return nil
	})
	return done, err
}

// Truncate sets the size. What is cut off reads as zeros if the file grows again.
func (f *sealedFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	whole := (size + sectorSize - 1) / sectorSize * sectorSize
	if rest := size % sectorSize; rest > 0 && size < f.size {
		var last [sectorSize]byte
		if err := f.readSectors(last[:], whole-sectorSize); err != nil {
			return err
		}
		clear(last[rest:])
		if err := f.writeSectors(last[:], whole-sectorSize); err != nil {
			return err
		}
	}
	if err := f.file.Truncate(whole); err != nil {
		return err
	}
	f.size = size
	return nil
}

// Size implements stagingFile.
func (f *sealedFile) Size() (int64, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.size, nil
}

// Close implements io.Closer. The key goes with the file.
func (f *sealedFile) Close() error { return f.file.Close() }

// newStagingFile returns an empty file that has no name, encrypted if the
// configuration says so.
func (c *Cache) newStagingFile() (stagingFile, error) {
	file, err := newStagingFile(c.cfg.Dir)
	if err != nil {
		return nil, err
	}
	if !c.cfg.EncryptStaging {
		return plainFile{file}, nil
	}
	sealed, err := newSealedFile(file)
	if err != nil {
		file.Close()
		return nil, localError("encrypt", fmt.Errorf("no key: %w", err))
	}
	return sealed, nil
}
