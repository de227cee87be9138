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

// ErrSourceLeft is wrapped by the error of a Rename that has done all but
// remove the source, or some of it: the target is whole, and open files are it
// from now on.
var ErrSourceLeft = errors.New("the copy is whole, but the source could not be removed")

// Rename moves a file or a directory. A file that never was on the server is
// only renamed here; any other is copied there, and the source deleted once the
// copy is whole. It replaces a file, or an empty directory, unless noReplace.
func (b *Bucket) Rename(ctx context.Context, oldDir, oldName, newDir, newName string, noReplace bool) error {
	oldKey, newKey := oldDir+oldName, newDir+newName
	if err := b.writable("rename", oldKey); err != nil {
		return err
	}
	if oldKey == newKey {
		return nil
	}
	src, err := b.meta.lookup(ctx, oldDir, oldName)
	if err != nil {
		return err
	}
	dst, err := b.meta.lookup(ctx, newDir, newName)
	exists := err == nil
	switch {
	case err != nil && !s3backend.IsNotExist(err):
		return err
	case exists && (noReplace || src.IsDir() != dst.IsDir()):
		return keyError(s3backend.KindExist, "rename", b.Name(), newKey)
	}
	ctx = context.WithoutCancel(ctx)
	if src.IsDir() {
		return b.renameDir(ctx, oldKey+"/", newKey+"/")
	}
	return b.renameFile(ctx, oldKey, newKey, exists)
}

// renameFile moves a file; exists says whether newKey is one.
func (b *Bucket) renameFile(ctx context.Context, oldKey, newKey string, exists bool) error {
	done := b.tree.shareKeys(func() []string { return []string{oldKey, newKey} })
	defer done()
	f, g := b.lockedPair(oldKey, newKey)
	defer b.unlock(f)
	defer b.unlock(g)

	f.mu.Lock()
	local := f.dirty && f.base.ETag == "" && f.stream != nil && f.stream.uploadID == "" || f.dirty && f.base.ETag == "" && f.staged != nil && f.stagedBase == nil
	f.mu.Unlock()
	if !local {
		if err := f.commitLocked(ctx); err != nil {
			return err
		}
	}
	// What those who have the target open need of it is fetched now; its name
	// is taken away when nothing can fail any more. Else a rename that fails
	// would leave the target in place, but what is written to it nowhere.
	if err := g.detachLocked(ctx); err != nil {
		return err
	}
	replaced := false
	defer func() {
		if !replaced {
			g.detached = false
		}
	}()
	if local {
		if err := b.uncover(ctx, f, oldKey); err != nil {
			return err
		}
		replaced = true
		b.replaceOpen(g, newKey)
		g.mu.Lock()
		never := g.dirty && g.base.ETag == "" && !g.covers
		g.mu.Unlock()
		f.mu.Lock()
		f.excl = false // a rename replaces
		f.covers = exists && !never
		f.mu.Unlock()
		b.move(f, oldKey, newKey, nil)
		return nil
	}
	src, err := b.meta.stat(ctx, oldKey) // remembered after a lookup that was a HEAD, or after a write
	if err != nil {
		return err
	}
	md := maps.Clone(src.Metadata)
	keepTime(md, src)
	var replace *s3backend.Attributes
	if !maps.Equal(md, src.Metadata) {
		replace = &s3backend.Attributes{Metadata: md, ContentType: src.ContentType, StorageClass: src.StorageClass}
	}
	b.detachOrphans(ctx, newKey)
	obj, err := b.copyObject(ctx, src, newKey, replace)
	if err != nil {
		if s3backend.KindOf(err) == s3backend.KindChanged || s3backend.IsNotExist(err) {
			b.meta.drop(oldKey)
		}
		b.meta.drop(newKey) // it may have taken effect
		return err
	}
	a := src
	a.Key, a.ETag, a.ModTime, a.Metadata = newKey, obj.ETag, obj.LastModified, md
	b.meta.changed(a)
	replaced = true
	b.replaceOpen(g, newKey)
	if err := b.store.Delete(ctx, oldKey); err != nil {
		b.move(f, oldKey, newKey, &a)
		b.meta.drop(oldKey)
		return fmt.Errorf("%w: %w", ErrSourceLeft, err)
	}
	b.move(f, oldKey, newKey, &a)
	b.meta.removed(oldKey)
	return nil
}

// replaceOpen takes the name away from a file that is replaced. Handles keep
// what they see: it has been detached. Called with its ioMu held.
func (b *Bucket) replaceOpen(g *File, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.handles == 0 {
		return
	}
	g.unlinked = true
	if b.files[key] == g {
		delete(b.files, key)
	}
}

// uncover removes the object that a file, which was never stored itself, has
// under its name: the name is about to go. Called with ioMu held.
func (b *Bucket) uncover(ctx context.Context, f *File, key string) error {
	f.mu.Lock()
	covers := f.covers
	f.mu.Unlock()
	if !covers {
		return nil
	}
	if err := b.store.Delete(ctx, key); err != nil {
		b.meta.drop(key)
		return err
	}
	f.mu.Lock()
	f.covers = false
	f.mu.Unlock()
	b.meta.removed(key)
	return nil
}

// move gives a file, if anybody refers to it, its new key. a is what the server
// has there, nil if nothing yet. Called with ioMu held.
func (b *Bucket) move(f *File, oldKey, newKey string, a *Attr) {
	b.setKey(f, oldKey, newKey, a)
	f.followBase()
}

func (b *Bucket) setKey(f *File, oldKey, newKey string, a *Attr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.files[oldKey] == f {
		delete(b.files, oldKey)
	}
	b.files[newKey] = f
	f.mu.Lock()
	defer f.mu.Unlock()
	f.key = newKey
	f.moves++
	if f.stream != nil {
		f.stream.key = newKey
	}
	if a == nil {
		f.base.Key = newKey
		return
	}
	if f.base.ETag != a.ETag {
		f.epoch++
	}
	f.base = *a
}

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

// copyMarker copies a directory's marker, and adds the copy to copies. If that
// fails, the marker of the directory that it replaces is not among what is to be
// removed: it is there still, or is this one by now.
func (b *Bucket) copyMarker(ctx context.Context, oldDir, newDir string, replaces bool, copies map[string]s3backend.Object) error {
	obj, err := b.store.Copy(ctx, s3backend.CopyRequest{Key: newDir, SourceKey: oldDir})
	if err == nil || !replaces && !s3backend.IsNotExist(err) {
		copies[newDir] = obj
	}
	return err
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
