package s3test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rgwfs/s3backend"
)

// memUpload is an unfinished multipart upload.
type memUpload struct {
	key       string
	attrs     s3backend.Attributes
	initiated time.Time
	parts     map[int]memPart // by number; guarded by Mem.mu
}

type memPart struct {
	data []byte
	sum  [md5.Size]byte
}

// CreateMultipart implements s3backend.Store.
func (m *Mem) CreateMultipart(ctx context.Context, req s3backend.CreateMultipartRequest) (string, error) {
	if err := m.begin(ctx, OpCreateMultipart, req.Key); err != nil {
		return "", err
	}
	if err := m.checkAttributes(OpCreateMultipart, req.Key, req.Attributes); err != nil {
		return "", err
	}
	attrs := req.Attributes
	attrs.Metadata = maps.Clone(attrs.Metadata)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uploadSeq++
	id := fmt.Sprintf("2~mem-%06d", m.uploadSeq)
	m.uploads[id] = &memUpload{key: req.Key, attrs: attrs, initiated: now(), parts: map[int]memPart{}}
	return id, nil
}

// UploadPart implements s3backend.Store.
func (m *Mem) UploadPart(ctx context.Context, req s3backend.UploadPartRequest) (s3backend.Part, error) {
	if err := m.begin(ctx, OpUploadPart, req.Key); err != nil {
		return s3backend.Part{}, err
	}
	data, err := m.readBody(ctx, OpUploadPart, req.Key, req.Body, req.Size)
	if err != nil {
		return s3backend.Part{}, err
	}
	return m.storePart(OpUploadPart, req.Key, req.UploadID, req.Number, data)
}

// CopyPart implements s3backend.Store.
func (m *Mem) CopyPart(ctx context.Context, req s3backend.CopyPartRequest) (s3backend.Part, error) {
	if err := m.begin(ctx, OpCopyPart, req.Key); err != nil {
		return s3backend.Part{}, err
	}
	src, err := m.source(OpCopyPart, req.Key, req.SourceBucket, req.SourceKey, req.SourceIfMatch)
	if err != nil {
		return s3backend.Part{}, err
	}
	if req.Offset < 0 || req.Length <= 0 || req.Offset+req.Length > src.object.Size {
		return s3backend.Part{}, m.fail(OpCopyPart, req.Key, s3backend.KindInvalid, 416, "InvalidRange")
	}
	m.mu.Lock()
	limit := m.limits.MaxCopySize
	m.mu.Unlock()
	if req.Length > limit {
		return s3backend.Part{}, m.fail(OpCopyPart, req.Key, s3backend.KindTooLarge, 400, "EntityTooLarge")
	}
	return m.storePart(OpCopyPart, req.Key, req.UploadID, req.Number, src.data[req.Offset:req.Offset+req.Length])
}

// storePart puts data, which nobody changes any more, into an upload.
func (m *Mem) storePart(op, key, uploadID string, number int, data []byte) (s3backend.Part, error) {
	if number < 1 || number > s3backend.MaxParts {
		return s3backend.Part{}, m.fail(op, key, s3backend.KindInvalid, 400, "InvalidArgument")
	}
	sum := md5.Sum(data)
	m.mu.Lock()
	defer m.mu.Unlock()
	up := m.uploads[uploadID]
	if up == nil || up.key != key {
		return s3backend.Part{}, m.fail(op, key, s3backend.KindNotExist, 404, "NoSuchUpload")
	}
	if err := m.quotaLocked(op, key, int64(len(data)), 0); err != nil {
		return s3backend.Part{}, err
	}
	m.bytes += int64(len(data)) - int64(len(up.parts[number].data))
	up.parts[number] = memPart{data: data, sum: sum}
	return s3backend.Part{Number: number, ETag: hex.EncodeToString(sum[:]), Size: int64(len(data))}, nil
}

// CompleteMultipart implements s3backend.Store.
func (m *Mem) CompleteMultipart(ctx context.Context, req s3backend.CompleteMultipartRequest) (s3backend.Object, error) {
	if err := m.begin(ctx, OpComplete, req.Key); err != nil {
		return s3backend.Object{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	up := m.uploads[req.UploadID]
	if up == nil || up.key != req.Key {
		if done, ok := m.completed[req.UploadID]; ok && done.Key == req.Key {
			done.Metadata = maps.Clone(done.Metadata)
			return done, nil
		}
		return s3backend.Object{}, m.fail(OpComplete, req.Key, s3backend.KindNotExist, 404, "NoSuchUpload")
	}
	if !m.pacific {
		if err := m.conditionsLocked(OpComplete, req.Key, req.Conditions); err != nil {
			return s3backend.Object{}, err
		}
	}
	data, etag, err := m.assembleLocked(up, req)
	if err != nil {
		return s3backend.Object{}, err
	}
	// The parts' bytes become the object's.
	m.dropUploadLocked(req.UploadID)
	o := newMemObject(req.Key, data, etag, up.attrs)
	m.storeLocked(o)
	m.completed[req.UploadID] = o.object
	return o.describe(), nil
}

// assembleLocked checks the parts that are named and joins them.
func (m *Mem) assembleLocked(up *memUpload, req s3backend.CompleteMultipartRequest) ([]byte, string, error) {
	fail := func(code string) ([]byte, string, error) {
		return nil, "", m.fail(OpComplete, req.Key, s3backend.KindInvalid, 400, code)
	}
	switch {
	case len(req.Parts) == 0:
		return fail("MalformedXML")
	case len(req.Parts) < len(up.parts):
		return fail("InvalidPart") // RGW, unlike AWS, wants all of them named
	}
	var size int64
	for i, p := range req.Parts {
		have, ok := up.parts[p.Number]
		switch {
		case i > 0 && p.Number <= req.Parts[i-1].Number:
			return fail("InvalidPartOrder")
		case !ok || hex.EncodeToString(have.sum[:]) != p.ETag:
			return fail("InvalidPart")
		case i < len(req.Parts)-1 && int64(len(have.data)) < m.limits.MinPartSize:
			return fail("EntityTooSmall")
		}
		size += int64(len(have.data))
	}
	data := make([]byte, 0, size)
	sums := md5.New()
	for _, p := range req.Parts {
		part := up.parts[p.Number]
		data = append(data, part.data...)
		sums.Write(part.sum[:])
	}
	return data, fmt.Sprintf("%x-%d", sums.Sum(nil), len(req.Parts)), nil
}

// AbortMultipart implements s3backend.Store.
func (m *Mem) AbortMultipart(ctx context.Context, key, uploadID string) error {
	if err := m.begin(ctx, OpAbort, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if up := m.uploads[uploadID]; up != nil && up.key == key {
		m.dropUploadLocked(uploadID)
	}
	return nil
}

func (m *Mem) dropUploadLocked(id string) {
	for _, p := range m.uploads[id].parts {
		m.bytes -= int64(len(p.data))
	}
	delete(m.uploads, id)
}

// ListMultiparts implements s3backend.Store: by key, then by id.
func (m *Mem) ListMultiparts(ctx context.Context, prefix string) ([]s3backend.Upload, error) {
	m.recorder.add(OpListMultiparts, prefix)
	if err := m.cancelled(ctx, OpListMultiparts, prefix); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var uploads []s3backend.Upload
	for id, up := range m.uploads {
		if strings.HasPrefix(up.key, prefix) {
			uploads = append(uploads, s3backend.Upload{Key: up.key, UploadID: id, Initiated: up.initiated})
		}
	}
	slices.SortFunc(uploads, func(a, b s3backend.Upload) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return strings.Compare(a.UploadID, b.UploadID)
	})
	return uploads, nil
}
