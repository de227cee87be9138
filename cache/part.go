package cache

import (
	"io"

	"rgwfs/s3backend"
)

// partSize returns the size in bytes of part number n (from 1) of an upload
// whose first parts have base bytes. The sizes double every 900 parts, up
// to the largest part S3 takes: from any base that S3 allows, 10,000 parts reach
// 5 TiB.
func partSize(base int64, n int) int64 {
	return min(base<<((n-1)/900), s3backend.MaxPutSize)
}

// data is a run of bytes of a file that wait for their upload: in memory, or
// on disk once memory was short. It is filled once from the front, and may be
// changed in place until it is frozen by its upload.
type data struct {
	mem  *memory
	bufs []*buffer   // each full but the last
	file stagingFile // instead of bufs, once spilled
	size int64
}

// append adds as much of p as memory has room for and returns how much that
// was. The caller spills when it is less than all.
func (d *data) append(p []byte) (int, error) {
	if d.file != nil {
		n, err := d.file.WriteAt(p, d.size)
		d.size += int64(n)
		return n, localError("write", err)
	}
	done := 0
	for done < len(p) {
		room := d.room()
		if room == 0 {
			if !d.grow(len(p) - done) {
				return done, nil
			}
			room = d.room()
		}
		last := d.bufs[len(d.bufs)-1].b
		at := len(last) - room
		n := copy(last[at:], p[done:])
		done += n
		d.size += int64(n)
	}
	return done, nil
}

// room returns how many bytes the last buffer still takes. All buffers before
// the last are whole chunks.
func (d *data) room() int {
	if len(d.bufs) == 0 {
		return 0
	}
	last := len(d.bufs) - 1
	return last*chunkSize + len(d.bufs[last].b) - int(d.size)
}

// grow adds room for at least one more byte, n wanted. A small file's first
// buffers are small, and become a chunk when it grows past that.
func (d *data) grow(n int) bool {
	want := chunkSize
	if len(d.bufs) == 0 && n <= smallSize/4 {
		want = smallSize / 4
	} else if len(d.bufs) == 0 && n <= smallSize {
		want = smallSize
	}
	b := d.mem.take(forWrites, want)
	if b == nil {
		return false
	}
	if len(d.bufs) == 1 && len(d.bufs[0].b) < chunkSize {
		// Only the last buffer may be partly filled, and all but the last are
		// whole chunks: the small one moves into the chunk.
		copy(b.b, d.bufs[0].b[:d.size])
		d.mem.put(d.bufs[0])
		d.bufs[0] = b
		return true
	}
	d.bufs = append(d.bufs, b)
	return true
}

// spill moves the bytes to a file, which data owns from now on.
func (d *data) spill(f stagingFile) error {
	if _, err := io.Copy(io.NewOffsetWriter(f, 0), d.reader()); err != nil {
		return localError("spill", err)
	}
	d.freeBuffers()
	d.file = f
	return nil
}

// writeAt changes bytes within [0, size).
func (d *data) writeAt(p []byte, off int64) error {
	if d.file != nil {
		_, err := d.file.WriteAt(p, off)
		return localError("write", err)
	}
	for len(p) > 0 {
		n := copy(d.at(off), p)
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// readAt reads len(p) bytes within [0, size).
func (d *data) readAt(p []byte, off int64) error {
	if d.file != nil {
		_, err := d.file.ReadAt(p, off)
		return localError("read", err)
	}
	for len(p) > 0 {
		n := copy(p, d.at(off))
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// at returns the bytes from off to the end of the buffer that holds it.
func (d *data) at(off int64) []byte {
	b := d.bufs[off/chunkSize].b
	end := min(int64(len(b)), d.size-off/chunkSize*chunkSize)
	return b[off%chunkSize : end]
}

// clip cuts the data to n bytes.
func (d *data) clip(n int64) error {
	if d.file != nil {
		if err := d.file.Truncate(n); err != nil {
			return localError("truncate", err)
		}
		d.size = n
		return nil
	}
	keep := int((n + chunkSize - 1) / chunkSize)
	for _, b := range d.bufs[keep:] {
		d.mem.put(b)
	}
	d.bufs = d.bufs[:keep]
	d.size = n
	return nil
}

// free gives all of it back.
func (d *data) free() {
	d.freeBuffers()
	if d.file != nil {
		d.file.Close() // unlinked already: closing it frees it, and nothing else can fail
		d.file = nil
	}
	d.size = 0
}

func (d *data) freeBuffers() {
	for _, b := range d.bufs {
		d.mem.put(b)
	}
	d.bufs = nil
}

// reader returns the bytes as a body that an upload can read and rewind.
func (d *data) reader() io.ReadSeeker {
	return io.NewSectionReader(readerAt{d}, 0, d.size)
}

// readerAt gives data the io.ReaderAt face.
type readerAt struct{ d *data }

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	n := min(int64(len(p)), r.d.size-off)
	if n <= 0 {
		return 0, io.EOF
	}
	if err := r.d.readAt(p[:n], off); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}
