package cache

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"rgwfs/s3backend"
)

// Notifier is told, from any goroutine and with no lock held, that what the
// kernel may believe of a file is out of date: a read met a newer generation.
// It must not block.
type Notifier interface{ Changed(key string) }

// Bucket is the face of one bucket. Directories are named by their key prefix:
// "" is the root, all others end in "/".
//
// Every method returns *s3backend.Error. What changes something runs to its end
// once begun, whatever becomes of ctx; what only looks honours it.
type Bucket struct {
	c         *Cache
	store     s3backend.Store
	extra     s3backend.Extras // nil if the store has none
	abandoned *abandonedStore  // store
	meta      *meta
	notifier  Notifier
	tree      treeLock
	lastFile  atomic.Uint64

	mu      sync.Mutex         // taken before any File.mu, and after any ioMu
	files   map[string]*File   // those with references, by key; guarded by mu
	dirty   map[*File]struct{} // guarded by mu
	orphans map[string][]*File // unlinked while open, the object still there; guarded by mu

	usageMu sync.Mutex // held across the request, so that one serves all who ask
	usage   s3backend.Usage
	usageAt time.Time
}

// Name returns the bucket's name.
func (b *Bucket) Name() string { return b.store.Name() }

// SetNotifier sets who is told of changes found out by reads, before any other
// use.
func (b *Bucket) SetNotifier(n Notifier) { b.notifier = n }

func (b *Bucket) notify(key string) {
	if b.notifier != nil {
		b.notifier.Changed(key)
	}
}

// Lookup returns what dir has by name. Metadata may be unknown.
func (b *Bucket) Lookup(ctx context.Context, dir, name string) (Attr, error) {
	return b.meta.lookup(ctx, dir, name)
}

// Stat returns the attributes of a file or directory, Metadata included: one
// HEAD if that is not remembered.
func (b *Bucket) Stat(ctx context.Context, key string) (Attr, error) {
	if f := b.existing(key); f != nil {
		defer f.Release()
		return f.Attr(ctx)
	}
	return b.meta.stat(ctx, key)
}

// OpenDir opens a directory for reading its entries.
func (b *Bucket) OpenDir(ctx context.Context, dir string) (*Dir, error) {
	return b.meta.openDir(ctx, dir)
}

// usageTTL is how long RGW's numbers are believed: each question makes it read
// every shard of the bucket's index, and it counts lazily itself.
const usageTTL = time.Minute

// Usage returns what the bucket holds and may hold, remembered for a minute.
func (b *Bucket) Usage(ctx context.Context) (s3backend.Usage, error) {
	b.usageMu.Lock()
	defer b.usageMu.Unlock()
	if !b.usageAt.IsZero() && b.c.now().Before(b.usageAt.Add(usageTTL)) {
		return b.usage, nil
	}
	u, err := b.store.Usage(ctx)
	if err != nil {
		return s3backend.Usage{}, err
	}
	b.usage, b.usageAt = u, b.c.now()
	return u, nil
}

// File returns the file of a key, with a reference that the caller Releases.
// It makes no request, and there need be no object.
func (b *Bucket) File(key string) *File {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.files[key]
	if f == nil {
		f = &File{b: b, id: b.lastFile.Add(1), key: key}
		b.files[key] = f
	}
	f.refs++
	return f
}

// existing returns the file of a key if anybody refers to it, with a reference.
func (b *Bucket) existing(key string) *File {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.files[key]
	if f != nil {
		f.refs++
	}
	return f
}

func (b *Bucket) retain(f *File) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f.refs++
}

func (b *Bucket) release(f *File) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f.refs--
	if key := f.Key(); f.refs == 0 && b.files[key] == f {
		delete(b.files, key)
	}
}

// locked returns the file of a key with its ioMu held, which excludes every
// other change of the key.
func (b *Bucket) locked(key string) *File {
	for {
		f := b.File(key)
		f.ioMu.Lock()
		if b.isAt(f, key) {
			return f
		}
		f.ioMu.Unlock() // renamed or unlinked while we waited
		f.Release()
	}
}

// lockedPair returns the files of two different keys with both ioMu held.
func (b *Bucket) lockedPair(key1, key2 string) (f1, f2 *File) {
	for {
		f1, f2 = b.File(key1), b.File(key2)
		first, second := f1, f2
		if f2.id < f1.id {
			first, second = f2, f1
		}
		first.ioMu.Lock()
		second.ioMu.Lock()
		if b.isAt(f1, key1) && b.isAt(f2, key2) {
			return f1, f2
		}
		b.unlock(f1)
		b.unlock(f2)
	}
}

func (b *Bucket) isAt(f *File, key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.files[key] == f
}

// unlock ends locked.
func (b *Bucket) unlock(f *File) {
	f.ioMu.Unlock()
	f.Release()
}

func (b *Bucket) setDirty(f *File, dirty bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if dirty {
		b.dirty[f] = struct{}{}
	} else {
		delete(b.dirty, f)
	}
}

// dirtyFiles returns the files with changes below prefix, each with a
// reference.
func (b *Bucket) dirtyFiles(prefix string) []*File {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*File
	for f := range b.dirty {
		if strings.HasPrefix(f.Key(), prefix) && !f.Unlinked() {
			f.refs++
			out = append(out, f)
		}
	}
	return out
}

// Sync commits everything dirty, and returns what could not be.
func (b *Bucket) Sync(ctx context.Context) error {
	var (
		g    errgroup.Group
		mu   sync.Mutex
		errs []error
	)
	g.SetLimit(b.c.cfg.Uploads)
	for _, f := range b.dirtyFiles("") {
		g.Go(func() error {
			defer f.Release()
			if err := f.commit(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Close commits everything, and ends all background work. The error is what
// could not be committed, which is given up.
func (b *Bucket) Close() error {
	err := b.Sync(context.Background())
	b.mu.Lock()
	left := slices.Collect(maps.Keys(b.dirty))
	b.mu.Unlock()
	for _, f := range left {
		f.ioMu.Lock()
		f.discardLocked(context.Background(), err)
		f.ioMu.Unlock()
	}
	b.abandoned.close(context.Background())
	b.meta.close()
	return err
}

// local implements overlay: what files in memory say of a key.
func (b *Bucket) local(key string) (a Attr, present, hidden bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.files[key]; f != nil {
		f.mu.Lock()
		a, present = f.localLocked()
		f.mu.Unlock()
		if present {
			return a, true, false
		}
	}
	return Attr{}, false, len(b.orphans[key]) > 0
}

// localIn implements overlay: the files directly below dir that are not on the
// server yet.
func (b *Bucket) localIn(dir string) []Attr {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Attr
	for f := range b.dirty {
		f.mu.Lock()
		a, present := f.localLocked()
		if present && !f.unlinked && strings.HasPrefix(a.Key, dir) && !strings.Contains(a.Key[len(dir):], "/") {
			out = append(out, a)
		}
		f.mu.Unlock()
	}
	return out
}

// lastRelease frees what the last handle of a file leaves.
func (b *Bucket) lastRelease(f *File) {
	ctx := context.Background()
	done := b.tree.share(f)
	f.ioMu.Lock()
	f.mu.Lock()
	again, dirty, unlinked, orphan := f.handles > 0, f.dirty, f.unlinked, f.orphan
	f.mu.Unlock()
	switch {
	case again:
	case unlinked:
		f.dropDataLocked(ctx)
		f.forgetChanges()
	case dirty && f.failed != nil:
		// The close has said so; a program that was told of the failure must
		// not find the changes stored later.
		f.discardLocked(ctx, f.failed)
	case dirty:
		// Pages of a mapping can come after the close that committed the rest.
		if err := f.commitLocked(ctx); err != nil {
			f.discardLocked(ctx, err)
		}
		f.freeCleanLocked()
	default:
		f.freeCleanLocked()
	}
	f.ioMu.Unlock()
	done()
	if orphan && !again {
		b.deleteOrphan(ctx, f)
	}
}
