package cache

import (
	"context"
	"errors"
	"io"
	"sync"

	"golang.org/x/sync/semaphore"

	"rgwfs/s3backend"
)

// rangeGetter opens length bytes at off of the one generation that a reader is
// pinned to; it fails with KindChanged once that generation is gone.
type rangeGetter func(ctx context.Context, off, length int64) (io.ReadCloser, error)

// reader reads one generation of one object. All handles that see that
// generation share it. Blocks live as long as it does, or until they are
// evicted.
type reader struct {
	get     rangeGetter
	size    int64
	mem     *memory
	fetches *semaphore.Weighted // bounds what is read ahead, over all readers

	ctx    context.Context // ends with close; what is read ahead runs under it
	cancel context.CancelFunc
	wg     sync.WaitGroup // fetches under way

	mu     sync.Mutex
	blocks map[int64]*block // by index; guarded by mu
	failed []*block         // of fetches that failed while readers held them; guarded by mu
}

func newReader(get rangeGetter, size int64, mem *memory, fetches *semaphore.Weighted) *reader {
	r := &reader{get: get, size: size, mem: mem, fetches: fetches, blocks: make(map[int64]*block)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// close ends the fetches and frees the blocks. No readAt may be under way.
func (r *reader) close() {
	r.cancel()
	r.wg.Wait()
	for _, b := range r.blocks {
		r.mem.drop(b)
	}
	for _, b := range r.failed {
		r.mem.drop(b)
	}
	r.blocks, r.failed = nil, nil
}

// readAt fills p from off. It returns less than len(p), and no error, only at
// the end of the object.
func (r *reader) readAt(ctx context.Context, cur *cursor, p []byte, off int64) (int, error) {
	if off >= r.size || len(p) == 0 {
		return 0, nil
	}
	p = p[:min(int64(len(p)), r.size-off)]
	sequential, ahead := cur.note(off, int64(len(p)))
	if sequential {
		if !r.ensure(off, off+int64(len(p)), ahead) {
			cur.pressed()
		}
	}
	for done := 0; done < len(p); {
		at := off + int64(done)
		b := r.lookup(at / chunkSize)
		if b == nil {
			n := len(p) - done
			if sequential {
				// Memory is short: the rest of this block only, the next may
				// be there.
				n = int(min(int64(n), chunkSize-at%chunkSize))
			} else {
				n = r.untilBlock(at, n)
			}
			if err := r.direct(ctx, p[done:done+n], at); err != nil {
				return done, err
			}
			done += n
			continue
		}
		n, err := r.copyFrom(ctx, cur, b, p[done:], at)
		b.letGo()
		if err != nil {
			return done, err
		}
		done += n
	}
	return len(p), nil
}

// copyFrom copies from a held block as soon as the bytes wanted are there.
func (r *reader) copyFrom(ctx context.Context, cur *cursor, b *block, p []byte, off int64) (int, error) {
	start := int(off % chunkSize)
	n := min(len(p), len(b.buf.b)-start)
	stalled, err := b.wait(ctx, start+n)
	if stalled {
		cur.stalled()
	}
	if err != nil {
		return 0, err
	}
	copy(p[:n], b.buf.b[start:])
	if start+n == len(b.buf.b) {
		r.mem.consumed(b)
	}
	return n, nil
}

// direct reads exactly p, holding no memory of the budget.
func (r *reader) direct(ctx context.Context, p []byte, off int64) error {
	body, err := r.get(ctx, off, int64(len(p)))
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.ReadFull(body, p); err != nil {
		return shortBody(err)
	}
	return nil
}

// copyTo writes length bytes at off to w in one request. It is how a commit
// fetches the parts of its base that it must send again.
func (r *reader) copyTo(ctx context.Context, w io.Writer, off, length int64) error {
	body, err := r.get(ctx, off, length)
	if err != nil {
		return err
	}
	defer body.Close()
	n, err := io.Copy(w, body)
	if err == nil && n < length {
		err = shortBody(io.ErrUnexpectedEOF)
	}
	return err
}

// lookup returns the block, held, or nil.
func (r *reader) lookup(index int64) *block {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.blocks[index]
	if b == nil {
		return nil
	}
	if !b.hold() {
		delete(r.blocks, index)
		return nil
	}
	return b
}

// untilBlock returns how many of the n bytes at off come before a block that
// is there.
func (r *reader) untilBlock(off int64, n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := off/chunkSize + 1; i*chunkSize < off+int64(n); i++ {
		if b := r.blocks[i]; b != nil && b.users.Load() != evicted {
			return int(i*chunkSize - off)
		}
	}
	return n
}

// ensure starts what fetches are needed for [off, end) and for ahead bytes
// more. It returns false if memory was too short for all of it.
func (r *reader) ensure(off, end, ahead int64) bool {
	want := min(end+ahead, r.size)
	per := min(max(ahead/4, chunkSize), maxFetch) / chunkSize // blocks a GET
	last := (want - 1) / chunkSize
	roomy := ahead == 0 || !r.mem.pressed()
	if !roomy {
		last = (end - 1) / chunkSize
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := off / chunkSize; i <= last; {
		if b := r.blocks[i]; b != nil && b.users.Load() != evicted {
			i++
			continue
		}
		n := int64(1)
		for n < per && i+n <= last {
			if b := r.blocks[i+n]; b != nil && b.users.Load() != evicted {
				break
			}
			n++
		}
		needed := i*chunkSize < end
		if !needed && n < per && (i+n)*chunkSize < r.size && r.blocks[i+n] == nil {
			return roomy // too short a request: it grows as the window moves on
		}
		got := r.startFetchLocked(i, n, needed)
		if got < n {
			return false
		}
		i += n
	}
	return roomy
}

// startFetchLocked begins one GET for n blocks from first on, fewer if memory
// is short, and returns for how many. A fetch that a reader waits for does not
// queue behind those that only read ahead.
func (r *reader) startFetchLocked(first, n int64, needed bool) int64 {
	var blocks []*block
	for i := first; i < first+n; i++ {
		buf := r.mem.take(forReads, int(min(chunkSize, r.size-i*chunkSize)))
		if buf == nil {
			break
		}
		b := newBlock(buf)
		r.blocks[i] = b
		blocks = append(blocks, b)
	}
	if len(blocks) == 0 {
		return 0
	}
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		if !needed {
			if r.fetches.Acquire(r.ctx, 1) != nil {
				r.fail(first, blocks, 0, cancelled(r.ctx))
				return
			}
			defer r.fetches.Release(1)
		}
		r.fetch(first, blocks)
	}()
	return int64(len(blocks))
}

// wakeEvery is after how many new bytes waiting readers are woken: one default
// FUSE read.
const wakeEvery = 128 << 10

// fetch fills the blocks by one GET.
func (r *reader) fetch(first int64, blocks []*block) {
	var length int64
	for _, b := range blocks {
		length += int64(len(b.buf.b))
	}
	body, err := r.get(r.ctx, first*chunkSize, length)
	if err != nil {
		r.fail(first, blocks, 0, err)
		return
	}
	defer body.Close()
	for i, b := range blocks {
		for filled := 0; filled < len(b.buf.b); {
			n, err := io.ReadFull(body, b.buf.b[filled:min(filled+wakeEvery, len(b.buf.b))])
			filled += n
			if err != nil {
				r.fail(first+int64(i), blocks[i:], filled, shortBody(err))
				return
			}
			b.advance(filled, nil)
		}
		r.mem.settle(b)
		b.letGo()
	}
}

// fail ends blocks that can't be filled, of which the first got as far as
// filled. They leave the map, so that the next read tries again.
func (r *reader) fail(first int64, blocks []*block, filled int, err error) {
	r.mu.Lock()
	for i, b := range blocks {
		if r.blocks[first+int64(i)] == b {
			delete(r.blocks, first+int64(i))
		}
	}
	r.failed = append(r.failed, blocks...)
	r.mu.Unlock()
	for _, b := range blocks {
		b.advance(filled, err)
		filled = 0
		b.letGo()
		r.mem.drop(b) // if readers hold it still, close does
	}
}

// shortBody turns the end of a body that came too early into an error; Store
// promises that it does not happen.
func shortBody(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &s3backend.Error{Kind: s3backend.KindUnavailable, Op: "GetObject", Err: io.ErrUnexpectedEOF}
	}
	return err
}

// cancelled is the error of a caller whose context is done.
func cancelled(ctx context.Context) error {
	return &s3backend.Error{Kind: s3backend.KindCancelled, Op: "wait", Err: context.Cause(ctx)}
}
