package cache

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/semaphore"

	"rgwfs/s3backend"
)

// uploader is what a stream and a commit need of the Store.
type uploader interface {
	Head(ctx context.Context, key string) (s3backend.Object, error)
	Put(ctx context.Context, req s3backend.PutRequest) (s3backend.Object, error)
	CreateMultipart(ctx context.Context, req s3backend.CreateMultipartRequest) (string, error)
	UploadPart(ctx context.Context, req s3backend.UploadPartRequest) (s3backend.Part, error)
	CopyPart(ctx context.Context, req s3backend.CopyPartRequest) (s3backend.Part, error)
	CompleteMultipart(ctx context.Context, req s3backend.CompleteMultipartRequest) (s3backend.Object, error)
	AbortMultipart(ctx context.Context, key, uploadID string) error
}

// part is one part of a stream. Until it is submitted it is filled; then its
// upload owns it; once uploaded its data is gone from here.
type part struct {
	number int
	off    int64
	size   int64 // of the data, also once that is freed
	data   data
	done   chan struct{} // nil until submitted; closed when the upload has ended
	etag   string        // valid once done is closed and err is nil
	err    error         // valid once done is closed; the data is still here
}

// stream is a new file that is written from the front: full parts are uploaded
// while the application writes on. Its methods are called with the File's ioMu
// held.
type stream struct {
	up       uploader
	mem      *memory
	uploads  *semaphore.Weighted
	partBase int64
	newFile  func() (stagingFile, error)

	key      string
	attrs    s3backend.Attributes // those of the upload, once it has begun
	uploadID string               // "" until the first part is submitted
	parts    []*part              // submitted ones
	cur      *part                // being filled
	size     int64

	ctx    context.Context // of the uploads; ends with abort
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// errOutOfOrder says that a stream can't hold the write, or can't serve the
// read: the File must go over to staging.
var errOutOfOrder = errors.New("not sequential")

// write puts p at off. It returns errOutOfOrder, having changed nothing, for
// what is neither at the end nor still here.
func (s *stream) write(ctx context.Context, p []byte, off int64, attrs s3backend.Attributes) (int, error) {
	if off > s.size && off-s.size <= mib && !s.short() {
		// A small gap is filled with zeros: sparse writers skip a page or two.
		if n, err := s.append(ctx, make([]byte, off-s.size), attrs); err != nil {
			return 0, err
		} else if int64(n) < off-s.size {
			return 0, s3errorf(s3backend.KindOther, "write", "gap filled only to %d", s.size)
		}
	}
	switch {
	case off > s.size || off < s.size && off < s.cur.off || s.short():
		return 0, errOutOfOrder
	case off == s.size:
		return s.append(ctx, p, attrs)
	}
	n := min(int64(len(p)), s.size-off)
	if err := s.cur.data.writeAt(p[:n], off-s.cur.off); err != nil {
		return 0, err
	}
	if n == int64(len(p)) {
		return len(p), nil
	}
	more, err := s.append(ctx, p[n:], attrs)
	return int(n) + more, err
}

// short reports whether a part was submitted before it was full, by a finish
// that failed after it: only the last part of an upload may be short (S3).
func (s *stream) short() bool {
	if len(s.parts) == 0 {
		return false
	}
	last := s.parts[len(s.parts)-1]
	return last.size < partSize(s.partBase, last.number)
}

// truncate cuts or extends the stream to size, or returns errOutOfOrder.
func (s *stream) truncate(size int64) error {
	if size > s.size || size < s.cur.off || s.short() {
		return errOutOfOrder
	}
	if err := s.cur.data.clip(size - s.cur.off); err != nil {
		return err
	}
	s.size, s.cur.size = size, size-s.cur.off
	return nil
}

func (s *stream) append(ctx context.Context, p []byte, attrs s3backend.Attributes) (int, error) {
	if err := s.failed(); err != nil {
		return 0, err
	}
	done := 0
	for done < len(p) {
		limit := partSize(s.partBase, s.cur.number)
		if s.cur.data.size == limit {
			if err := s.submit(ctx, attrs); err != nil {
				return done, err
			}
			continue
		}
		n, err := s.cur.data.append(p[done:min(int64(len(p)), int64(done)+limit-s.cur.data.size)])
		done += n
		s.size += int64(n)
		s.cur.size = s.cur.data.size
		if err != nil {
			return done, err
		}
		if n == 0 {
			if err := s.makeRoom(ctx); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// makeRoom is called when the budget is used up. It waits for an upload of
// this very file, which needs no more memory and ends within a bounded time;
// if there is none under way, the memory is others', and the part goes to disk.
func (s *stream) makeRoom(ctx context.Context) error {
	for _, p := range s.parts {
		select {
		case <-p.done:
			continue
		default:
		}
		select {
		case <-p.done:
			return s.failed()
		case <-ctx.Done():
			return cancelled(ctx)
		}
	}
	f, err := s.newFile()
	if err != nil {
		return err
	}
	if err := s.cur.data.spill(f); err != nil {
		f.Close()
		return err
	}
	return nil
}

// failed returns the error of an upload that has failed since the last call.
// The data of that part is still here, and its upload is begun again: a program
// that goes on after the error may yet succeed.
func (s *stream) failed() error {
	var err error
	for _, p := range s.parts {
		select {
		case <-p.done:
			if p.err != nil {
				err = p.err
				s.start(p)
			}
		default:
		}
	}
	return err
}

// submit begins the upload of the current part and starts the next one.
func (s *stream) submit(ctx context.Context, attrs s3backend.Attributes) error {
	if s.uploadID == "" {
		id, err := s.up.CreateMultipart(ctx, s3backend.CreateMultipartRequest{Key: s.key, Attributes: attrs})
		if err != nil {
			return err
		}
		s.uploadID, s.attrs = id, attrs
	}
	p := s.cur
	s.parts = append(s.parts, p)
	s.cur = s.newPart(p.number+1, p.off+p.size)
	s.start(p)
	return nil
}

func (s *stream) newPart(number int, off int64) *part {
	return &part{number: number, off: off, data: data{mem: s.mem}}
}

// start uploads a part in the background.
func (s *stream) start(p *part) {
	p.done, p.err = make(chan struct{}), nil
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		defer close(p.done)
		if s.uploads.Acquire(s.ctx, 1) != nil {
			p.err = cancelled(s.ctx)
			return
		}
		defer s.uploads.Release(1)
		got, err := s.up.UploadPart(s.ctx, s3backend.UploadPartRequest{
			Key: s.key, UploadID: s.uploadID, Number: p.number, Body: p.data.reader(), Size: p.size})
		if err != nil {
			p.err = err
			return
		}
		p.etag = got.ETag
		p.data.free()
	}()
}

// finish uploads what is left and makes the object of it. On failure nothing
// is lost: a later finish tries again what failed. On success the stream holds
// the bytes still only if it was one PUT (uploadID is "").
func (s *stream) finish(ctx context.Context, attrs s3backend.Attributes, cond s3backend.Conditions) (s3backend.Object, error) {
	if s.uploadID == "" {
		return s.up.Put(ctx, s3backend.PutRequest{Key: s.key, Body: s.cur.data.reader(), Size: s.size,
			Attributes: attrs, Conditions: cond})
	}
	if s.cur.size > 0 {
		if err := s.submit(ctx, attrs); err != nil {
			return s3backend.Object{}, err
		}
	}
	for _, p := range s.parts {
		<-p.done
		if p.err != nil {
			s.start(p)
		}
	}
	parts := make([]s3backend.Part, len(s.parts))
	for i, p := range s.parts {
		<-p.done
		if p.err != nil {
			return s3backend.Object{}, p.err
		}
		parts[i] = s3backend.Part{Number: p.number, ETag: p.etag, Size: p.size}
	}
	return complete(ctx, s.up, s.key, s.uploadID, parts, s.size, cond)
}

// read fills p from off, or returns errOutOfOrder if the bytes are on the
// server already. ioMu may be shared.
func (s *stream) read(p []byte, off int64) (int, error) {
	p = p[:max(0, min(int64(len(p)), s.size-off))]
	if len(p) == 0 {
		return 0, nil
	}
	if off < s.cur.off {
		return 0, errOutOfOrder
	}
	if err := s.cur.data.readAt(p, off-s.cur.off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// abort ends the uploads and frees everything. If the server does not take the
// unfinished upload back, abandonedStore sees to it.
func (s *stream) abort(ctx context.Context) {
	s.cancel()
	s.wg.Wait()
	for _, p := range s.parts {
		p.data.free()
	}
	s.cur.data.free()
	if s.uploadID != "" {
		_ = s.up.AbortMultipart(ctx, s.key, s.uploadID)
	}
}

// free frees a stream whose finish has succeeded.
func (s *stream) free() {
	s.cancel()
	s.wg.Wait()
	s.cur.data.free()
}
