package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"rgwfs/s3backend"
)

// renameWorkers is how many objects of a directory are copied at once: a copy
// costs the client nothing, and RGW some 2 ms.
const renameWorkers = 16

// renameDir copies everything below a directory, and deletes the sources once
// all copies are whole. If a copy fails, the copies are removed again.
func (b *Bucket) renameDir(ctx context.Context, oldDir, newDir string) error {
	if strings.HasPrefix(newDir, oldDir) {
		return keyError(s3backend.KindInvalid, "rename into itself", b.Name(), newDir)
	}
	done := b.tree.rename(oldDir, newDir)
	defer done()
	replaces, err := b.checkEmpty(ctx, newDir)
	if err != nil {
		return err
	}
	if err := b.dropOrphans(ctx, newDir); err != nil {
		return err
	}
	if err := b.commitBelow(ctx, oldDir); err != nil {
		return err
	}
	if err := b.dropOrphans(ctx, oldDir); err != nil {
		return err
	}
	objs, err := b.listAll(ctx, oldDir)
	if err != nil {
		return err
	}
	// The marker comes last: until all else is whole, that of an empty directory
	// which is replaced stays as it is.
	isMarker := func(o s3backend.Object) bool { return o.Key == oldDir }
	below := slices.DeleteFunc(slices.Clone(objs), isMarker)
	copies, err := b.copyAll(ctx, below, oldDir, newDir)
	if err == nil && len(below) < len(objs) {
		err = b.copyMarker(ctx, oldDir, newDir, replaces, copies)
	}
	if err != nil {
		if derr := b.deleteAll(ctx, slices.Collect(maps.Keys(copies))); derr != nil {
			err = errors.Join(err, fmt.Errorf("and some copies below %q could not be removed: %w", newDir, derr))
		}
		b.meta.forget(newDir)
		return err
	}
	keys := make([]string, len(objs))
	for i, o := range objs {
		keys[i] = o.Key
	}
	dir, err := b.renamedMarker(ctx, oldDir, newDir, copies)
	if err != nil {
		err = errors.Join(err, b.deleteAll(ctx, slices.Collect(maps.Keys(copies))))
		b.meta.forget(newDir)
		return err
	}
	known := b.knownBelow(objs, oldDir, newDir, copies)
	b.moveBelow(oldDir, newDir, copies)
	b.meta.forget(oldDir)
	b.meta.forget(newDir)
	for _, a := range known {
		b.meta.changed(a)
	}
	b.meta.changed(dir)
	err = b.deleteAll(ctx, keys)
	b.meta.forget(oldDir) // a lookup may have learned a source again meanwhile
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSourceLeft, err)
	}
	b.meta.removedDir(oldDir)
	return nil
}

// knownBelow returns what is known of the sources, as their copies have it: a
// rename must not make modes and times unknown.
func (b *Bucket) knownBelow(objs []s3backend.Object, oldDir, newDir string, copies map[string]s3backend.Object) []Attr {
	var known []Attr
	for _, o := range objs {
		a, _ := b.meta.cached(o.Key)
		if o.Key == oldDir || a.Metadata == nil || a.ETag != o.ETag {
			continue
		}
		a.Key = newDir + strings.TrimPrefix(o.Key, oldDir)
		obj := copies[a.Key]
		a.ETag, a.ModTime, a.TTL = obj.ETag, obj.LastModified, b.c.cfg.MetadataTTL
		known = append(known, a)
	}
	return known
}

// renamedMarker describes the marker of a directory that was renamed. It makes
// one if there was none: the new directory exists whatever becomes of its files.
func (b *Bucket) renamedMarker(ctx context.Context, oldDir, newDir string, copies map[string]s3backend.Object) (Attr, error) {
	obj, ok := copies[newDir]
	if !ok {
		a, err := b.putMarker(ctx, newDir, nil)
		if err != nil && s3backend.KindOf(err) == s3backend.KindExist {
			a, err = Attr{Key: newDir, TTL: b.c.cfg.MetadataTTL}, nil
		}
		return a, err
	}
	a, _ := b.meta.cached(oldDir)
	a.Key, a.ETag, a.ModTime, a.TTL = newDir, obj.ETag, obj.LastModified, b.c.cfg.MetadataTTL
	return a, nil
}

// commitBelow commits every file below dir that has changes.
func (b *Bucket) commitBelow(ctx context.Context, dir string) error {
	var first error
	for _, f := range b.dirtyFiles(dir) {
		f.ioMu.Lock()
		err := f.commitLocked(ctx)
		b.unlock(f)
		if err != nil && first == nil {
			first = err
		}
	}
	return first
}

// listAll returns every object below prefix, those that can't be files too.
func (b *Bucket) listAll(ctx context.Context, prefix string) ([]s3backend.Object, error) {
	var objs []s3backend.Object
	req := s3backend.ListRequest{Prefix: prefix}
	for {
		page, err := b.store.List(ctx, req)
		if err != nil {
			return nil, err
		}
		objs = append(objs, page.Objects...)
		if page.Next == "" {
			return objs, nil
		}
		req.StartAfter = page.Next
	}
}

// copyAll copies objects from one prefix to another and returns the copies that
// were made, or may have been, by key; also on failure.
func (b *Bucket) copyAll(ctx context.Context, objs []s3backend.Object, oldDir, newDir string) (map[string]s3backend.Object, error) {
	var mu sync.Mutex
	copies := make(map[string]s3backend.Object, len(objs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(renameWorkers)
	for _, o := range objs {
		g.Go(func() error {
			if gctx.Err() != nil {
				return cancelled(gctx)
			}
			key := newDir + strings.TrimPrefix(o.Key, oldDir)
			if len(key) > s3backend.MaxKeyLength {
				return keyError(s3backend.KindNameTooLong, "rename", b.Name(), key)
			}
			src := Attr{Key: o.Key, Size: o.Size, ETag: o.ETag, ModTime: o.LastModified}
			// Not under gctx: a copy that is under way ends, one way or the
			// other, before it is decided what to remove.
			obj, err := b.copyObject(ctx, src, key, nil)
			mu.Lock()
			defer mu.Unlock()
			if err == nil || !s3backend.IsNotExist(err) {
				copies[key] = obj
			}
			return err
		})
	}
	err := g.Wait()
	return copies, err
}

func (b *Bucket) deleteAll(ctx context.Context, keys []string) error {
	for len(keys) > 0 {
		n := min(len(keys), s3backend.MaxDeleteKeys)
		failed, err := b.store.DeleteMany(ctx, keys[:n])
		if err != nil {
			return err
		}
		if len(failed) > 0 {
			return failed[0]
		}
		keys = keys[n:]
	}
	return nil
}

// moveBelow gives the files that anybody refers to their new keys, and their
// copies' ETags: that of a huge object's copy is another.
func (b *Bucket) moveBelow(oldDir, newDir string, copies map[string]s3backend.Object) {
	b.mu.Lock()
	var files []*File
	for key, f := range b.files {
		if strings.HasPrefix(key, oldDir) {
			f.refs++
			files = append(files, f)
		}
	}
	b.mu.Unlock()
	for _, f := range files {
		key := f.Key()
		newKey := newDir + strings.TrimPrefix(key, oldDir)
		f.ioMu.Lock() // waits for reads under way: those after it use the new key
		if obj, ok := copies[newKey]; ok {
			f.mu.Lock()
			a := f.base
			f.mu.Unlock()
			a.Key, a.ETag, a.ModTime = newKey, obj.ETag, obj.LastModified
			b.move(f, key, newKey, &a)
		} else {
			b.move(f, key, newKey, nil)
		}
		b.unlock(f)
	}
}
