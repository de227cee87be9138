package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"

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
	b.detachOrphans(ctx, newKey)
	a, err := b.copyRenamed(ctx, oldKey, newKey)
	if err != nil && s3backend.KindOf(err) == s3backend.KindChanged {
		// What was remembered of the source was old; it is asked for now.
		a, err = b.copyRenamed(ctx, oldKey, newKey)
	}
	if err != nil {
		return err
	}
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

// copyRenamed copies a file's object to its new key, and describes the copy.
func (b *Bucket) copyRenamed(ctx context.Context, oldKey, newKey string) (Attr, error) {
	src, err := b.meta.stat(ctx, oldKey) // remembered after a lookup that was a HEAD, or after a write
	if err != nil {
		return Attr{}, err
	}
	md := maps.Clone(src.Metadata)
	keepTime(md, src)
	var replace *s3backend.Attributes
	if !maps.Equal(md, src.Metadata) {
		replace = &s3backend.Attributes{Metadata: md, ContentType: src.ContentType, StorageClass: src.StorageClass}
	}
	obj, err := b.copyObject(ctx, src, newKey, replace)
	if err == nil && obj.ETag != src.ETag {
		// Copied in parts; or, on RGW 16.2, which ignores the condition on the
		// source, of another generation than was remembered.
		obj, err = b.store.Head(ctx, newKey)
		src.Size, md = obj.Size, obj.Metadata
	}
	if err != nil {
		if s3backend.KindOf(err) == s3backend.KindChanged || s3backend.IsNotExist(err) {
			b.meta.drop(oldKey)
		}
		b.meta.drop(newKey) // it may have taken effect
		return Attr{}, err
	}
	a := src
	a.Key, a.ETag, a.ModTime, a.Metadata = newKey, obj.ETag, obj.LastModified, md
	return a, nil
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
