package cache

import (
	"bytes"
	"context"
	"io"
	"maps"

	"rgwfs/s3backend"
)

// directoryType is the Content-Type of directory markers, as s3fs and RGW's
// own NFS gateway write it.
const directoryType = "application/x-directory"

func (b *Bucket) writable(op, key string) error {
	if b.c.cfg.ReadOnly {
		return keyError(s3backend.KindReadOnly, op, b.Name(), key)
	}
	return nil
}

func oneKey(key string) func() []string { return func() []string { return []string{key} } }

// Create makes a new file and opens it. Nothing reaches the server before the
// first commit; with Excl that commit fails with KindExist if somebody else
// made an object of the name meanwhile. Without Excl, a file that is there is
// opened, and truncated if flags say so.
func (b *Bucket) Create(ctx context.Context, dir, name string, md map[string]string, flags OpenFlags) (*Handle, error) {
	key := dir + name
	if err := b.writable("create", key); err != nil {
		return nil, err
	}
	a, err := b.meta.lookup(ctx, dir, name)
	switch {
	case err == nil && (flags.Excl || a.IsDir()):
		return nil, keyError(s3backend.KindExist, "create", b.Name(), key)
	case err == nil:
		f := b.File(key)
		defer f.Release()
		return f.Open(ctx, flags)
	case !s3backend.IsNotExist(err):
		return nil, err
	}
	done := b.tree.shareKeys(oneKey(key))
	defer done()
	f := b.locked(key)
	defer b.unlock(f)
	if _, present := f.local(); present {
		// Another thread was quicker.
		if flags.Excl {
			return nil, keyError(s3backend.KindExist, "create", b.Name(), key)
		}
		if flags.Truncate {
			if err := f.truncateLocked(context.WithoutCancel(ctx), 0); err != nil {
				return nil, err
			}
		}
		return f.newHandle(flags), nil
	}
	f.freeCleanLocked()
	f.stream = f.newStream()
	f.mu.Lock()
	f.base, f.md, f.excl = Attr{Key: key}, maps.Clone(md), flags.Excl
	if f.md == nil {
		f.md = map[string]string{}
	}
	f.mu.Unlock()
	f.noteWrite(0)
	return f.newHandle(flags), nil
}

// Mkdir makes a directory: a marker object, which no other client has made.
func (b *Bucket) Mkdir(ctx context.Context, dir, name string, md map[string]string) (Attr, error) {
	key := dir + name + "/"
	if err := b.writable("mkdir", key); err != nil {
		return Attr{}, err
	}
	done := b.tree.shareKeys(oneKey(key))
	defer done()
	return b.putMarker(context.WithoutCancel(ctx), key, md)
}

// putMarker creates the marker of a directory that has none.
func (b *Bucket) putMarker(ctx context.Context, key string, md map[string]string) (Attr, error) {
	return b.putNew(ctx, key, nil, md, directoryType)
}

// putNew creates a small object that must not exist.
func (b *Bucket) putNew(ctx context.Context, key string, body []byte, md map[string]string, contentType string) (Attr, error) {
	attrs := s3backend.Attributes{Metadata: maps.Clone(md), ContentType: contentType}
	if attrs.Metadata == nil {
		attrs.Metadata = map[string]string{}
	}
	obj, err := b.store.Put(ctx, s3backend.PutRequest{Key: key, Body: bytes.NewReader(body), Size: int64(len(body)),
		Attributes: attrs, Conditions: s3backend.Conditions{IfNoneMatch: true}})
	if err != nil {
		b.meta.drop(key) // it may have taken effect
		return Attr{}, err
	}
	obj.Metadata, obj.ContentType = attrs.Metadata, contentType
	a := attrOf(obj, b.c.cfg.MetadataTTL)
	b.meta.changed(a)
	return a, nil
}

// Rmdir removes an empty directory. Empty means that the server has no key
// below it, shown or not.
func (b *Bucket) Rmdir(ctx context.Context, dir, name string) error {
	key := dir + name + "/"
	if err := b.writable("rmdir", key); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	done := b.tree.shareKeys(oneKey(key))
	defer done()
	marker, err := b.checkEmpty(ctx, key)
	if err != nil {
		return err
	}
	if err := b.dropOrphans(ctx, key); err != nil {
		return err
	}
	if marker {
		if err := b.store.Delete(ctx, key); err != nil {
			b.meta.drop(key) // it may have taken effect
			return err
		}
	}
	b.meta.removedDir(key)
	return nil
}

// checkEmpty returns KindNotEmpty if the directory has anything but its marker,
// on the server or here.
func (b *Bucket) checkEmpty(ctx context.Context, dir string) (marker bool, err error) {
	for _, f := range b.dirtyFiles(dir) {
		f.Release()
		err = keyError(s3backend.KindNotEmpty, "rmdir", b.Name(), dir)
	}
	if err != nil {
		return false, err
	}
	_, found, marker, err := b.meta.anyBelow(ctx, dir, func(key string) bool {
		_, _, hidden := b.local(key)
		return hidden
	})
	if err == nil && found {
		err = keyError(s3backend.KindNotEmpty, "rmdir", b.Name(), dir)
	}
	return marker, err
}

// Unlink removes a file's name. The object goes at once if nobody has the file
// open, else with the last handle.
func (b *Bucket) Unlink(ctx context.Context, dir, name string) error {
	key := dir + name
	if err := b.writable("unlink", key); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	done := b.tree.shareKeys(oneKey(key))
	defer done()
	f := b.locked(key)
	defer b.unlock(f)
	f.mu.Lock()
	open := f.handles > 0
	f.mu.Unlock()
	if open {
		return b.unlinkOpen(ctx, f)
	}
	if err := b.store.Delete(ctx, key); err != nil {
		b.meta.drop(key) // it may have taken effect
		return err
	}
	b.meta.removed(key)
	return nil
}

// maxSymlink is PATH_MAX of Linux in bytes: no longer target can be followed.
const maxSymlink = 4096

// Symlink makes a symbolic link: an object whose body is the target and whose
// metadata, which the caller gives, says so (s3fs's format).
func (b *Bucket) Symlink(ctx context.Context, dir, name, target string, md map[string]string) (Attr, error) {
	key := dir + name
	if err := b.writable("symlink", key); err != nil {
		return Attr{}, err
	}
	if len(target) > maxSymlink {
		return Attr{}, keyError(s3backend.KindNameTooLong, "symlink", b.Name(), key)
	}
	ctx = context.WithoutCancel(ctx)
	done := b.tree.shareKeys(oneKey(key))
	defer done()
	f := b.locked(key)
	defer b.unlock(f)
	if _, present := f.local(); present {
		return Attr{}, keyError(s3backend.KindExist, "symlink", b.Name(), key)
	}
	if b.hidden(key) {
		b.detachOrphans(ctx, key)
		if err := b.store.Delete(ctx, key); err != nil {
			return Attr{}, err
		}
	}
	return b.putLink(ctx, key, []byte(target), md)
}

// putLink creates the object of a symbolic link, which must not exist: see
// MaybeSymlink for why in this way.
func (b *Bucket) putLink(ctx context.Context, key string, target []byte, md map[string]string) (Attr, error) {
	attrs := s3backend.Attributes{Metadata: maps.Clone(md)}
	size := int64(len(target))
	obj, err := inUpload(ctx, b.store, key, attrs, func(id string) (s3backend.Object, error) {
		part, err := b.store.UploadPart(ctx, s3backend.UploadPartRequest{Key: key, UploadID: id, Number: 1, Body: bytes.NewReader(target), Size: size})
		if err != nil {
			return s3backend.Object{}, err
		}
		return complete(ctx, b.store, key, id, []s3backend.Part{part}, size, s3backend.Conditions{IfNoneMatch: true})
	})
	if err != nil {
		return Attr{}, err
	}
	obj.Key, obj.Size, obj.Metadata = key, size, attrs.Metadata
	a := attrOf(obj, b.c.cfg.MetadataTTL)
	b.meta.changed(a)
	return a, nil
}

// Readlink returns the target of a symbolic link.
func (b *Bucket) Readlink(ctx context.Context, key string) (string, error) {
	obj, body, err := b.store.Get(ctx, s3backend.GetRequest{Key: key, Length: maxSymlink + 1})
	if err != nil {
		return "", err
	}
	defer body.Close()
	if obj.Size > maxSymlink {
		return "", keyError(s3backend.KindNameTooLong, "readlink", b.Name(), key)
	}
	target, err := io.ReadAll(body)
	return string(target), err
}
