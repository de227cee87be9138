package cache

import (
	"context"
	"maps"
	"sync"
	"time"

	"rgwfs/s3backend"
)

// File is one file's data on this mount: what is known of its object, and what
// was written here and is not on the server yet. All handles of an inode share
// it. It lives in Bucket.files while anybody refers to it, and there is one at
// most for a key: locking its ioMu is locking the key against every other
// change that comes through this mount.
type File struct {
	b  *Bucket
	id uint64 // order in which the ioMu of several Files are locked

	refs int // guarded by Bucket.mu

	// ioMu is held exclusively by whatever changes the bytes, the key or the
	// object: writes, truncation, commits, renames, unlinking. Reads share it.
	// It is held across requests.
	ioMu       sync.RWMutex
	stream     *stream    // written from the front; guarded by ioMu
	staged     *staged    // changed in place; guarded by ioMu. At most one of the two is set
	stagedBase *genReader // what shows through staged, nil if nothing does; guarded by ioMu
	tried      []string   // ETags of objects that commits may have made whose answer was lost; guarded by ioMu
	detached   bool       // has no object on the server, nor will have; guarded by ioMu
	gapErr     error      // why a write to stream failed, until those bytes are written; guarded by ioMu
	gap        int64      // the offset of the first byte that is missing; guarded by ioMu
	gapEnd     int64      // behind the last one; guarded by ioMu
	failed     error      // why the last commit failed, nil after a change or a success; guarded by ioMu

	mu       sync.Mutex        // guards what follows; held for moments only
	key      string            //
	moves    uint64            // counts renames
	base     Attr              // the newest generation known; ETag "" = none
	size     int64             // while dirty
	mtime    time.Time         // while dirty
	dirty    bool              // has changes that are not on the server
	stamp    bool              // mtime is to be stored: nothing set another one since the last write
	md       map[string]string // metadata to store at the next commit, nil = as base
	covers   bool              // was never stored, and its name has another file's object until then
	excl     bool              // the first commit must not replace an object (O_EXCL)
	epoch    uint64            // counts commits: handles follow their own mount's changes
	handles  int               // open handles
	writers  int               // those that may write, and have not been flushed since they did
	unlinked bool              //
	orphan   bool              // unlinked, and the object is deleted by the last handle's Release
	readers  []*genReader      //
}

// genReader is a reader with the generation that it is pinned to, shared by
// what reads that generation.
type genReader struct {
	*reader
	etag    string
	modTime time.Time
	refs    int // guarded by File.mu
}

// Key returns the file's key; a Rename changes it.
func (f *File) Key() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.key
}

// Unlinked reports whether the file's name was removed while it was open.
func (f *File) Unlinked() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unlinked
}

// Epoch counts the generations that this mount has made of the file. While it
// stays the same, another ETag is another client's.
func (f *File) Epoch() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.epoch
}

// Release gives back a reference of Bucket.File.
func (f *File) Release() { f.b.release(f) }

// Attr returns the file's attributes, with its Metadata known. It waits for
// no upload; it costs one HEAD if the object's metadata is not remembered.
func (f *File) Attr(ctx context.Context) (Attr, error) {
	for {
		f.mu.Lock()
		moves := f.moves
		f.mu.Unlock()
		a, err := f.attr(ctx)
		f.mu.Lock()
		moved := f.moves != moves
		f.mu.Unlock()
		if !moved || !s3backend.IsNotExist(err) {
			return a, err
		}
		// Asked for under a name that a rename has taken away meanwhile.
	}
}

func (f *File) attr(ctx context.Context) (Attr, error) {
	if a, ok := f.local(); ok {
		if a.Metadata != nil {
			return a, nil
		}
		if err := f.needMetadata(ctx, a.Key); err != nil {
			return Attr{}, err
		}
		a, _ = f.local()
		return a, nil
	}
	return f.b.meta.stat(ctx, f.Key())
}

// local returns the attributes of a file that the server can't be asked for:
// one with changes, or without a name.
func (f *File) local() (Attr, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.localLocked()
}

func (f *File) localLocked() (Attr, bool) {
	a := f.base
	a.Key, a.TTL = f.key, f.b.c.cfg.MetadataTTL
	if f.dirty {
		a.Size, a.ModTime = f.size, f.mtime
		a.Metadata = f.metadataLocked()
		if a.Metadata != nil && f.stamp {
			// What the commit will store, so that the times that a program
			// sees before and after it are the same.
			a.Metadata = maps.Clone(a.Metadata)
			a.Metadata["mtime"] = FormatTime(f.mtime)
			a.Metadata["ctime"] = FormatTime(f.mtime)
		}
		return a, true
	}
	if f.unlinked && a.Metadata == nil {
		a.Metadata = map[string]string{}
	}
	return a, f.unlinked
}

// metadataLocked returns what the file's metadata is to be, nil if that takes
// a HEAD of the base to know.
func (f *File) metadataLocked() map[string]string {
	switch {
	case f.md != nil:
		return f.md
	case f.base.ETag == "":
		return map[string]string{}
	default:
		return f.base.Metadata
	}
}

// needMetadata has the metadata of the base known, by a HEAD of the object: a
// file with changes stands in its way everywhere else.
func (f *File) needMetadata(ctx context.Context, key string) error {
	a, err := f.b.meta.statObject(ctx, key)
	switch {
	case s3backend.IsNotExist(err):
		a.Metadata = map[string]string{} // somebody else removed it: nothing to keep
	case err != nil:
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.base.Metadata == nil {
		f.base.Metadata, f.base.ContentType, f.base.StorageClass = a.Metadata, a.ContentType, a.StorageClass
	}
	return nil
}

// learnMetadata takes over what a HEAD said of the base.
func (f *File) learnMetadata(a Attr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.base.ETag == a.ETag {
		f.base.Metadata, f.base.ContentType, f.base.StorageClass = a.Metadata, a.ContentType, a.StorageClass
	}
}

// noteWrite records that the bytes changed, size being the size now.
func (f *File) noteWrite(size int64) {
	f.failed = nil
	f.mu.Lock()
	f.size, f.mtime, f.stamp = size, f.b.c.now(), true
	was := f.dirty
	f.dirty = true
	f.mu.Unlock()
	if !was {
		f.b.setDirty(f, true)
	}
}

// acquireReader returns a reader of base's generation.
func (f *File) acquireReader(base Attr) *genReader {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.readers {
		if g.etag == base.ETag && g.size == base.Size {
			g.refs++
			return g
		}
	}
	g := &genReader{etag: base.ETag, modTime: base.ModTime, refs: 1}
	g.reader = newReader(f.rangeGetter(base), base.Size, f.b.c.mem, f.b.c.fetches)
	f.readers = append(f.readers, g)
	return g
}

func (f *File) releaseReader(g *genReader) {
	f.mu.Lock()
	g.refs--
	last := g.refs == 0
	if last {
		for i, x := range f.readers {
			if x == g {
				f.readers = append(f.readers[:i], f.readers[i+1:]...)
				break
			}
		}
	}
	f.mu.Unlock()
	if last {
		g.close()
	}
}

// refresh learns the newest generation, unless the file has changes here. It
// makes no request if the object is known and fresh.
func (f *File) refresh(ctx context.Context) error {
	f.mu.Lock()
	key, skip := f.key, f.dirty || f.unlinked
	f.mu.Unlock()
	if skip {
		return nil
	}
	a, fresh := f.b.meta.cached(key)
	if !fresh {
		var err error
		if a, err = f.b.meta.stat(ctx, key); err != nil {
			return err
		}
	}
	f.rebase(a)
	return nil
}

// rebase takes over a generation learned from the server.
func (f *File) rebase(a Attr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dirty || f.unlinked || f.key != a.Key {
		return
	}
	if a.ETag == f.base.ETag && a.Size == f.base.Size && a.Metadata == nil {
		a.Metadata, a.ContentType, a.StorageClass = f.base.Metadata, f.base.ContentType, f.base.StorageClass
	}
	f.base = a
}

// followBase has what shows through the changes of an open file come from the
// object that base describes now: the same bytes, with another ETag or under
// another key. Called with ioMu held.
func (f *File) followBase() {
	f.mu.Lock()
	base := f.base
	f.mu.Unlock()
	if g := f.stagedBase; g != nil && !f.detached && g.etag != base.ETag && base.ETag != "" && g.size == base.Size {
		f.stagedBase = f.acquireReader(base)
		f.releaseReader(g)
	}
}

// idleLocked frees clean data that no handle needs. Called with ioMu held.
func (f *File) idleLocked() {
	f.mu.Lock()
	idle := f.handles == 0 && !f.dirty
	f.mu.Unlock()
	if idle {
		f.freeCleanLocked()
	}
}

// freeCleanLocked frees data that the server has too.
func (f *File) freeCleanLocked() {
	if f.stream != nil {
		f.stream.free()
		f.stream = nil
	}
	if f.staged != nil {
		f.staged.free()
		f.staged = nil
	}
	if f.stagedBase != nil {
		f.releaseReader(f.stagedBase)
		f.stagedBase = nil
	}
}

// dropDataLocked gives up everything that is not on the server.
func (f *File) dropDataLocked(ctx context.Context) {
	if f.stream != nil {
		f.stream.abort(ctx)
		f.stream = nil
	}
	f.freeCleanLocked()
}

// discardLocked gives up changes that could not be committed and that nobody
// can commit any more.
func (f *File) discardLocked(ctx context.Context, cause error) {
	f.b.c.cfg.Logger.Error("changes are lost: they could not be stored, which close or fsync has reported; the object on the server is as it was before",
		"bucket", f.b.Name(), "key", f.Key(), "error", cause)
	f.dropDataLocked(ctx)
	f.b.meta.drop(f.Key()) // a commit that failed may have taken effect
	f.forgetChanges()
}

// forgetChanges makes the file clean, as its base is.
func (f *File) forgetChanges() {
	f.gapErr, f.tried = nil, nil
	f.mu.Lock()
	f.dirty, f.md, f.stamp, f.excl, f.covers = false, nil, false, false, false
	f.epoch++
	f.mu.Unlock()
	f.b.setDirty(f, false)
}
