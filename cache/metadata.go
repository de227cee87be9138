package cache

import (
	"context"
	"maps"

	"rgwfs/s3backend"
)

// SetMetadata changes what is stored with a file or directory. A directory
// without marker gets one. change receives the metadata known and alters it.
func (b *Bucket) SetMetadata(ctx context.Context, key string, change func(md map[string]string)) (Attr, error) {
	if err := b.writable("set attributes", key); err != nil {
		return Attr{}, err
	}
	if key == "" {
		return Attr{}, s3errorf(s3backend.KindUnsupported, "set attributes", "a bucket has no metadata")
	}
	if isDirKey(key) {
		return b.setDirMetadata(context.WithoutCancel(ctx), key, change)
	}
	f := b.File(key)
	defer f.Release()
	if err := f.SetMetadata(ctx, change); err != nil {
		return Attr{}, err
	}
	return f.Attr(ctx)
}

func (b *Bucket) setDirMetadata(ctx context.Context, key string, change func(md map[string]string)) (Attr, error) {
	done := b.tree.shareKeys(oneKey(key))
	defer done()
	a, err := b.meta.stat(ctx, key)
	if err != nil {
		return Attr{}, err
	}
	md := changedMetadata(a, change)
	if a.ETag == "" {
		a, err = b.putMarker(ctx, key, md)
		if err == nil || s3backend.KindOf(err) != s3backend.KindExist {
			return a, err
		}
		// Somebody else made the marker meanwhile.
		b.meta.drop(key)
		if a, err = b.meta.stat(ctx, key); err != nil {
			return Attr{}, err
		}
		md = changedMetadata(a, change)
	}
	return b.replaceMetadata(ctx, a, md)
}

// SetMetadata changes what is stored with the file: with its changes, if there
// are any to commit, else at once, by a copy onto itself on the server.
func (f *File) SetMetadata(ctx context.Context, change func(md map[string]string)) error {
	if err := f.b.writable("set attributes", f.Key()); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	done := f.b.tree.share(f)
	defer done()
	f.ioMu.Lock()
	defer f.ioMu.Unlock()
	a, err := f.Attr(ctx)
	if err != nil {
		return err
	}
	md := changedMetadata(a, change)
	f.mu.Lock()
	if f.dirty || f.unlinked {
		if f.stamp && md["mtime"] != a.Metadata["mtime"] {
			f.stamp = false // the program's own time, until it writes again
		}
		f.md = md
		if f.unlinked && !f.dirty {
			f.base.Metadata = md
		}
		f.mu.Unlock()
		return nil
	}
	f.mu.Unlock()
	f.rebase(a)
	return f.storeMetadataLocked(ctx, md)
}

// storeMetadataLocked replaces the metadata of the file's object. Called with
// ioMu held, on a clean file.
func (f *File) storeMetadataLocked(ctx context.Context, md map[string]string) error {
	f.mu.Lock()
	base := f.base
	f.mu.Unlock()
	a, err := f.b.replaceMetadata(ctx, base, md)
	if err != nil {
		return err
	}
	defer f.followBase()
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.ETag != f.base.ETag {
		f.epoch++ // the same bytes under another ETag: handles follow
	}
	f.base = a
	return nil
}

// changedMetadata returns a's metadata as change wants it. An object without a
// time of its own gets that of its bytes, which the server forgets when the
// metadata is replaced.
func changedMetadata(a Attr, change func(md map[string]string)) map[string]string {
	md := maps.Clone(a.Metadata)
	if md == nil {
		md = map[string]string{}
	}
	keepTime(md, a)
	change(md)
	return md
}

// keepTime stores LastModified as the time of the bytes, if no client stored
// one in any of the formats that are read (s3fs and rclone, AWS DataSync and
// FSx, gcsfuse).
func keepTime(md map[string]string, a Attr) {
	for _, k := range []string{"mtime", "file-mtime", "goog-reserved-file-mtime"} {
		if _, ok := md[k]; ok {
			return
		}
	}
	if !a.ModTime.IsZero() {
		md["mtime"] = FormatTime(a.ModTime)
	}
}

// replaceMetadata copies an object onto itself with other metadata. Its bytes
// don't move on RGW.
func (b *Bucket) replaceMetadata(ctx context.Context, a Attr, md map[string]string) (Attr, error) {
	obj, err := b.copyObject(ctx, a, a.Key, &s3backend.Attributes{Metadata: md, ContentType: a.ContentType, StorageClass: a.StorageClass})
	if err != nil {
		b.meta.drop(a.Key) // it may have taken effect
		return Attr{}, err
	}
	a.Metadata, a.ETag, a.ModTime, a.TTL = md, obj.ETag, obj.LastModified, b.c.cfg.MetadataTTL
	b.meta.changed(a)
	return a, nil
}
