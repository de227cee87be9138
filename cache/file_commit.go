package cache

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"slices"

	"rgwfs/s3backend"
)

// attributes returns what the object of the file is to carry. The times of
// the last write are among it unless the program has set others. Called with
// ioMu held.
func (f *File) attributes(ctx context.Context) (s3backend.Attributes, error) {
	f.mu.Lock()
	md, key := f.metadataLocked(), f.key
	f.mu.Unlock()
	if md == nil {
		if err := f.needMetadata(ctx, key); err != nil {
			return s3backend.Attributes{}, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	md = maps.Clone(f.metadataLocked())
	if f.stamp {
		md["mtime"] = FormatTime(f.mtime)
		md["ctime"] = md["mtime"]
	}
	return s3backend.Attributes{Metadata: md, ContentType: f.base.ContentType, StorageClass: f.base.StorageClass}, nil
}

// streamAttributes returns what an upload that begins now is to carry. S3 takes
// metadata only at the beginning of a multipart upload, when the time of the
// last write is not known yet: it is left out, and LastModified, which RGW sets
// at the end, stands for it. Called with ioMu held.
func (f *File) streamAttributes() s3backend.Attributes {
	f.mu.Lock()
	defer f.mu.Unlock()
	md := maps.Clone(f.metadataLocked())
	if md == nil {
		md = map[string]string{}
	}
	if f.stamp {
		delete(md, "mtime")
		delete(md, "ctime")
	}
	return s3backend.Attributes{Metadata: md, ContentType: f.base.ContentType, StorageClass: f.base.StorageClass}
}

// commit makes the file's changes durable on the server.
func (f *File) commit(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // a signal must not tear a commit; the Store bounds every request
	done := f.b.tree.share(f)
	defer done()
	f.ioMu.Lock()
	defer f.ioMu.Unlock()
	return f.commitLocked(ctx)
}

// commitLocked is commit with ioMu held. On failure the changes are kept.
func (f *File) commitLocked(ctx context.Context) error {
	f.mu.Lock()
	dirty, unlinked, key := f.dirty, f.unlinked, f.key
	cond := s3backend.Conditions{IfNoneMatch: f.excl}
	f.mu.Unlock()
	if !dirty || unlinked {
		return nil
	}
	if f.gapErr != nil {
		return f.gapErr
	}
	if err := f.openWriter(); err != nil { // metadata alone may have made it dirty
		return err
	}
	attrs, err := f.attributes(ctx)
	if err != nil {
		return err
	}
	if f.b.detachOrphans(ctx, key) && cond.IfNoneMatch {
		// What is there was unlinked here before this file was created.
		cond.IfNoneMatch = false
		f.mu.Lock()
		f.excl = false // a second try finds no orphan any more
		f.mu.Unlock()
	}

	obj, want, err := f.store(ctx, key, attrs, cond)
	if err != nil && f.isOwn(ctx, key, err) {
		cond.IfNoneMatch = false
		obj, want, err = f.store(ctx, key, attrs, cond)
	}
	f.failed = err
	if err != nil {
		return err
	}
	return f.committed(ctx, obj, want)
}

// store makes an object of what the file holds. want is what it should carry.
// Called with ioMu held.
func (f *File) store(ctx context.Context, key string, attrs s3backend.Attributes, cond s3backend.Conditions) (obj s3backend.Object, want s3backend.Attributes, err error) {
	if f.stream != nil {
		want = attrs
		if f.stream.uploadID != "" {
			want = f.streamAttributes()
		}
		obj, err = f.stream.finish(ctx, attrs, cond)
		if err != nil && cond.IfNoneMatch && f.stream.uploadID == "" {
			err = errors.Join(err, f.try(f.stream.cur.data.reader()))
		}
		return obj, want, err
	}
	c := &stagedCommit{up: f.b.store, uploads: f.b.c.uploads, partBase: f.b.c.cfg.PartSize, key: key, attrs: attrs, cond: cond,
		trying: func(etag string) { f.tried = append(f.tried, etag) }}
	var base *reader
	if f.stagedBase != nil {
		base, c.baseETag = f.stagedBase.reader, f.stagedBase.etag
	}
	obj, err = c.run(ctx, f.staged, base)
	return obj, attrs, err
}

// try notes the ETag that the PUT of a body has given its object, if it has
// taken effect.
func (f *File) try(body io.Reader) error {
	h := md5.New()
	if _, err := io.Copy(h, body); err != nil {
		return err
	}
	f.tried = append(f.tried, hex.EncodeToString(h.Sum(nil)))
	return nil
}

// isOwn reports whether a commit has failed because of an object that an
// earlier commit of this very file made, of which no answer came. Then the file
// goes on from that object: what was not changed since is in it, at its place.
// Called with ioMu held.
func (f *File) isOwn(ctx context.Context, key string, err error) bool {
	if kind := s3backend.KindOf(err); len(f.tried) == 0 || kind != s3backend.KindExist && kind != s3backend.KindChanged {
		return false
	}
	obj, err := f.b.store.Head(ctx, key)
	if err != nil || !slices.Contains(f.tried, obj.ETag) {
		return false
	}
	a := attrOf(obj, f.b.c.cfg.MetadataTTL)
	f.mu.Lock()
	f.base, f.excl = a, false
	f.mu.Unlock()
	if g := f.stagedBase; g != nil {
		f.stagedBase = f.acquireReader(a)
		f.releaseReader(g)
	}
	return true
}

// committed takes over the generation that a commit has made. want is what it
// should carry.
func (f *File) committed(ctx context.Context, obj s3backend.Object, want s3backend.Attributes) error {
	had := want
	if f.stream != nil && f.stream.uploadID != "" {
		had = f.stream.attrs
	}
	size := f.currentSize()
	a := Attr{Key: obj.Key, Size: size, ModTime: obj.LastModified, ETag: obj.ETag, Metadata: had.Metadata,
		ContentType: want.ContentType, StorageClass: want.StorageClass, TTL: f.b.c.cfg.MetadataTTL}
	f.b.meta.changed(a)

	f.mu.Lock()
	f.base, f.size = a, size
	f.dirty, f.excl, f.covers, f.md, f.stamp = false, false, false, nil, false
	f.epoch++
	f.mu.Unlock()
	f.tried = nil
	f.b.setDirty(f, false)

	if f.stream != nil && f.stream.uploadID != "" {
		f.stream.free()
		f.stream = nil
	}
	if f.staged != nil {
		f.staged.clean()
		if f.stagedBase != nil {
			f.releaseReader(f.stagedBase)
		}
		f.stagedBase = f.acquireReader(a)
	}
	if !maps.Equal(had.Metadata, want.Metadata) {
		// The program set attributes after the upload had begun with others.
		if err := f.storeMetadataLocked(ctx, want.Metadata); err != nil {
			// The bytes are safe; the attributes are a change of their own now,
			// for the next commit.
			f.mu.Lock()
			f.md, f.mtime, f.dirty = want.Metadata, a.ModTime, true
			f.mu.Unlock()
			f.b.setDirty(f, true)
			return err
		}
	}
	return nil
}

// copyData writes the bytes of d to an empty file.
func copyData(file stagingFile, d *data) error {
	_, err := io.Copy(&offsetWriter{f: file}, d.reader())
	return err
}
