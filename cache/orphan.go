package cache

import (
	"context"
	"strings"
)

// unlinkOpen takes a file's name away while handles are open. Called with the
// file's ioMu held.
func (b *Bucket) unlinkOpen(ctx context.Context, f *File) error {
	if f.stream != nil && f.stream.uploadID != "" {
		// Its first parts are on the server and nowhere else: they can only be
		// read, or kept, as an object.
		if err := f.toStaged(ctx); err != nil {
			return err
		}
	}
	if err := b.uncover(ctx, f, f.Key()); err != nil {
		return err
	}
	b.mu.Lock()
	f.mu.Lock()
	key := f.key
	f.unlinked, f.orphan = true, f.base.ETag != ""
	if f.orphan {
		b.orphans[key] = append(b.orphans[key], f)
	}
	f.mu.Unlock()
	delete(b.files, key)
	b.mu.Unlock()
	b.meta.removed(key)
	return nil
}

// deleteOrphan deletes the object of an unlinked file after its last handle,
// unless another object has taken its key.
func (b *Bucket) deleteOrphan(ctx context.Context, f *File) {
	key := f.Key()
	now := b.locked(key)
	defer b.unlock(now)
	if !b.isOrphan(f, key) {
		return
	}
	err := b.store.Delete(ctx, key)
	if err == nil {
		b.meta.removed(key)
	} else {
		b.c.cfg.Logger.Error("an object that was unlinked while it was open could not be deleted, and shows again: remove it once more", "bucket", b.Name(), "key", key, "error", err)
		b.meta.drop(key)
	}
	b.takeOrphan(f, key)
}

func (b *Bucket) isOrphan(f *File, key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.orphans[key] {
		if o == f {
			return true
		}
	}
	return false
}

// takeOrphan takes f off the list.
func (b *Bucket) takeOrphan(f *File, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var left []*File
	for _, o := range b.orphans[key] {
		if o != f {
			left = append(left, o)
		}
	}
	if len(left) == 0 {
		delete(b.orphans, key)
	} else {
		b.orphans[key] = left
	}
}

// detachOrphans makes the unlinked files of a key independent of its object,
// which is about to be replaced, and reports whether there are any: then that
// object has no name any more, though it is still there. Called with the ioMu
// of the key's file held; orphans' come after it.
func (b *Bucket) detachOrphans(ctx context.Context, key string) bool {
	b.mu.Lock()
	orphans := append([]*File(nil), b.orphans[key]...)
	for _, f := range orphans {
		f.refs++
	}
	b.mu.Unlock()
	for _, f := range orphans {
		f.ioMu.Lock()
		if err := f.detachLocked(ctx); err != nil {
			b.c.cfg.Logger.Warn("a file that was removed while it was open could not be kept for those who have it open: their reads will fail as stale", "bucket", b.Name(), "key", key, "error", err)
		}
		b.takeOrphan(f, key)
		f.ioMu.Unlock()
		f.Release()
	}
	return len(orphans) > 0
}

// dropOrphans detaches the unlinked files below dir, and deletes their objects
// now: the directory is to go.
func (b *Bucket) dropOrphans(ctx context.Context, dir string) error {
	b.mu.Lock()
	var keys []string
	for k := range b.orphans {
		if strings.HasPrefix(k, dir) {
			keys = append(keys, k)
		}
	}
	b.mu.Unlock()
	for _, key := range keys {
		f := b.locked(key)
		b.detachOrphans(ctx, key)
		err := b.store.Delete(ctx, key)
		b.unlock(f)
		if err != nil {
			return err
		}
		b.meta.removed(key)
	}
	return nil
}

// detachLocked fetches what the file lacks of its object, so that it can live
// without. Called with ioMu held.
func (f *File) detachLocked(ctx context.Context) error {
	f.mu.Lock()
	open, base := f.handles > 0, f.base
	f.mu.Unlock()
	if f.detached || !open {
		return nil
	}
	if f.stream != nil && f.stream.uploadID != "" {
		// Its first parts are on the server and nowhere else.
		if err := f.toStaged(ctx); err != nil {
			return err
		}
		f.mu.Lock()
		base = f.base
		f.mu.Unlock()
	}
	if base.ETag == "" {
		return nil
	}
	if f.stream == nil {
		if base.Size > 0 {
			if err := f.openWriter(); err != nil {
				return err
			}
		}
		if f.staged != nil && f.stagedBase != nil {
			if err := f.staged.fill(ctx, f.stagedBase.reader, span{0, f.staged.size}); err != nil {
				return err
			}
		}
	}
	f.detached = true
	return nil
}

func (b *Bucket) hidden(key string) bool {
	_, _, hidden := b.local(key)
	return hidden
}
