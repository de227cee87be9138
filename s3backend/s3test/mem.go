package s3test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"rgwfs/s3backend"
)

// Limits are the limits of a Mem; a test lowers them to reach them cheaply.
type Limits struct {
	PageSize    int   // keys and prefixes of a listing page
	MinPartSize int64 // bytes of every part but the last, checked by CompleteMultipart
	MaxPutSize  int64 // bytes of one Put or UploadPart
	MaxCopySize int64 // bytes of one Copy or CopyPart
}

// DefaultLimits are those of RGW.
func DefaultLimits() Limits {
	return Limits{
		PageSize:    s3backend.MaxListKeys,
		MinPartSize: s3backend.MinPartSize,
		MaxPutSize:  s3backend.MaxPutSize,
		MaxCopySize: s3backend.MaxCopySize,
	}
}

// Mem is a bucket in memory that answers as RGW does, where the Store contract
// says something and where RGW is stricter than S3. It is stricter than both
// in one point: metadata that an HTTP header can't carry unchanged fails with
// KindInvalid, so that a test finds it.
//
// It never blocks and never fails by itself; Fault wraps it for that.
type Mem struct {
	name     string
	created  time.Time
	peers    func(bucket string) *Mem // other buckets of the server, nil if absent
	recorder recorder

	mu         sync.Mutex
	limits     Limits                      // guarded by mu
	quotaBytes int64                       // guarded by mu; -1 = none
	quotaCount int64                       // guarded by mu; -1 = none
	pacific    bool                        // guarded by mu
	objects    map[string]*memObject       // guarded by mu; a *memObject is never changed
	keys       []string                    // guarded by mu; the keys of objects in byte order
	bytes      int64                       // guarded by mu; of objects and unfinished parts
	uploads    map[string]*memUpload       // guarded by mu
	completed  map[string]s3backend.Object // guarded by mu; by upload id
	uploadSeq  int                         // guarded by mu
}

var _ s3backend.Store = (*Mem)(nil)

// NewMem returns an empty bucket with RGW's limits and no quota.
func NewMem(name string) *Mem {
	return &Mem{
		name:       name,
		created:    now(),
		limits:     DefaultLimits(),
		quotaBytes: -1,
		quotaCount: -1,
		objects:    map[string]*memObject{},
		uploads:    map[string]*memUpload{},
		completed:  map[string]s3backend.Object{},
	}
}

// SetLimits replaces the limits.
func (m *Mem) SetLimits(l Limits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limits = l
}

// SetQuota sets the bucket's quota in bytes and objects; -1 = none. As on RGW,
// a write is refused when what is there plus its whole size exceeds the quota,
// even where it replaces something, and unfinished parts count.
func (m *Mem) SetQuota(bytes, objects int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quotaBytes, m.quotaCount = bytes, objects
}

// SetPacific makes the bucket ignore what RGW 16.2 ignores: the Conditions of
// CompleteMultipart and the SourceIfMatch of Copy and CopyPart. By default
// they are honoured, as by RGW 20.2.
func (m *Mem) SetPacific(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pacific = on
}

// Requests returns how many requests of each operation were made since the
// last ResetRequests, failed ones included.
func (m *Mem) Requests() map[string]int { return m.recorder.counts() }

// Log returns the requests since the last ResetRequests, in order.
func (m *Mem) Log() []Request { return m.recorder.log() }

// ResetRequests forgets the requests made so far.
func (m *Mem) ResetRequests() { m.recorder.reset() }

// Name implements s3backend.Store.
func (m *Mem) Name() string { return m.name }

// Head implements s3backend.Store.
func (m *Mem) Head(ctx context.Context, key string) (s3backend.Object, error) {
	if err := m.begin(ctx, OpHead, key); err != nil {
		return s3backend.Object{}, err
	}
	o := m.lookup(key)
	if o == nil {
		return s3backend.Object{}, m.fail(OpHead, key, s3backend.KindNotExist, 404, "NoSuchKey")
	}
	return o.describe(), nil
}

// Get implements s3backend.Store.
func (m *Mem) Get(ctx context.Context, req s3backend.GetRequest) (s3backend.Object, io.ReadCloser, error) {
	if err := m.begin(ctx, OpGet, req.Key); err != nil {
		return s3backend.Object{}, nil, err
	}
	if req.Offset < 0 {
		return s3backend.Object{}, nil, m.fail(OpGet, req.Key, s3backend.KindInvalid, 400, "InvalidArgument")
	}
	o := m.lookup(req.Key)
	switch {
	case o == nil:
		return s3backend.Object{}, nil, m.fail(OpGet, req.Key, s3backend.KindNotExist, 404, "NoSuchKey")
	case req.IfMatch != "" && req.IfMatch != o.object.ETag:
		return s3backend.Object{}, nil, m.fail(OpGet, req.Key, s3backend.KindChanged, 412, "PreconditionFailed")
	}
	data := o.data[min(req.Offset, int64(len(o.data))):]
	if req.Length >= 0 && req.Length < int64(len(data)) {
		data = data[:req.Length]
	}
	return o.describe(), &memBody{ctx: ctx, mem: m, key: req.Key, rest: data}, nil
}

// Put implements s3backend.Store.
func (m *Mem) Put(ctx context.Context, req s3backend.PutRequest) (s3backend.Object, error) {
	if err := m.begin(ctx, OpPut, req.Key); err != nil {
		return s3backend.Object{}, err
	}
	if err := m.checkAttributes(OpPut, req.Key, req.Attributes); err != nil {
		return s3backend.Object{}, err
	}
	data, err := m.readBody(ctx, OpPut, req.Key, req.Body, req.Size)
	if err != nil {
		return s3backend.Object{}, err
	}
	sum := md5.Sum(data)
	o := newMemObject(req.Key, data, hex.EncodeToString(sum[:]), req.Attributes)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.conditionsLocked(OpPut, req.Key, req.Conditions); err != nil {
		return s3backend.Object{}, err
	}
	if err := m.quotaLocked(OpPut, req.Key, int64(len(data)), 1); err != nil {
		return s3backend.Object{}, err
	}
	m.storeLocked(o)
	return o.describe(), nil
}

// Copy implements s3backend.Store.
func (m *Mem) Copy(ctx context.Context, req s3backend.CopyRequest) (s3backend.Object, error) {
	if err := m.begin(ctx, OpCopy, req.Key); err != nil {
		return s3backend.Object{}, err
	}
	self := req.SourceKey == req.Key && (req.SourceBucket == "" || req.SourceBucket == m.name)
	if self && req.Replace == nil {
		return s3backend.Object{}, m.fail(OpCopy, req.Key, s3backend.KindInvalid, 400, "InvalidRequest")
	}
	if req.Replace != nil {
		if err := m.checkAttributes(OpCopy, req.Key, *req.Replace); err != nil {
			return s3backend.Object{}, err
		}
	}
	src, err := m.source(OpCopy, req.Key, req.SourceBucket, req.SourceKey, req.SourceIfMatch)
	if err != nil {
		return s3backend.Object{}, err
	}
	attrs := s3backend.Attributes{
		Metadata:     src.object.Metadata,
		ContentType:  src.object.ContentType,
		StorageClass: src.object.StorageClass,
	}
	if req.Replace != nil {
		attrs = *req.Replace
	}
	o := newMemObject(req.Key, src.data, src.object.ETag, attrs)
	m.mu.Lock()
	defer m.mu.Unlock()
	if int64(len(src.data)) > m.limits.MaxCopySize {
		return s3backend.Object{}, m.fail(OpCopy, req.Key, s3backend.KindTooLarge, 400, "EntityTooLarge")
	}
	if err := m.quotaLocked(OpCopy, req.Key, int64(len(src.data)), 1); err != nil {
		return s3backend.Object{}, err
	}
	m.storeLocked(o)
	return o.describe(), nil
}

// Delete implements s3backend.Store.
func (m *Mem) Delete(ctx context.Context, key string) error {
	if err := m.begin(ctx, OpDelete, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.removeLocked(key)
	return nil
}

// DeleteMany implements s3backend.Store.
func (m *Mem) DeleteMany(ctx context.Context, keys []string) ([]*s3backend.Error, error) {
	m.recorder.add(OpDeleteMany, "")
	if err := m.cancelled(ctx, OpDeleteMany, ""); err != nil {
		return nil, err
	}
	if len(keys) > s3backend.MaxDeleteKeys {
		return nil, m.fail(OpDeleteMany, "", s3backend.KindInvalid, 400, "")
	}
	var failed []*s3backend.Error
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		if err := m.checkKey(OpDeleteMany, key); err != nil {
			failed = append(failed, err)
			continue
		}
		m.removeLocked(key)
	}
	return failed, nil
}

// Usage implements s3backend.Store. The owner's numbers are unknown.
func (m *Mem) Usage(ctx context.Context) (s3backend.Usage, error) {
	m.recorder.add(OpUsage, "")
	if err := m.cancelled(ctx, OpUsage, ""); err != nil {
		return s3backend.Usage{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return s3backend.Usage{
		Bytes: m.bytes, Objects: int64(len(m.keys)),
		BucketBytes: m.quotaBytes, BucketCount: m.quotaCount,
		UserBytes: -1, UserCount: -1, UserBytesUsed: -1, UserCountUsed: -1,
	}, nil
}

// begin counts a request and answers what needs no look at the bucket.
func (m *Mem) begin(ctx context.Context, op, key string) error {
	m.recorder.add(op, key)
	if err := m.cancelled(ctx, op, key); err != nil {
		return err
	}
	if err := m.checkKey(op, key); err != nil {
		return err
	}
	return nil
}

// cancelled returns an error interface so that its nil is a nil error.
func (m *Mem) cancelled(ctx context.Context, op, key string) error {
	if ctx.Err() == nil {
		return nil
	}
	return &s3backend.Error{Kind: s3backend.KindCancelled, Op: op, Bucket: m.name, Key: key, Err: context.Cause(ctx)}
}

func (m *Mem) fail(op, key string, kind s3backend.Kind, status int, code string) *s3backend.Error {
	return &s3backend.Error{Kind: kind, Op: op, Bucket: m.name, Key: key, Status: status, Code: code}
}

func (m *Mem) checkKey(op, key string) *s3backend.Error {
	switch {
	case len(key) > s3backend.MaxKeyLength:
		return m.fail(op, key, s3backend.KindNameTooLong, 400, "KeyTooLongError")
	case key == "", !utf8.ValidString(key), strings.ContainsRune(key, 0):
		return m.fail(op, key, s3backend.KindInvalidName, 400, "InvalidObjectName")
	}
	return nil
}

// checkAttributes refuses metadata that does not survive as HTTP headers on
// RGW: names are lower-cased and '_' becomes '-', values lose blanks at their
// ends.
func (m *Mem) checkAttributes(op, key string, a s3backend.Attributes) error {
	for name, value := range a.Metadata {
		badName := name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != ""
		badValue := strings.TrimSpace(value) != value ||
			strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' })
		if badName || badValue {
			e := m.fail(op, key, s3backend.KindInvalid, 400, "InvalidArgument")
			e.Message = "metadata " + name + "=" + value + " can't be a header"
			return e
		}
	}
	return nil
}

// readBody reads all size bytes of body.
func (m *Mem) readBody(ctx context.Context, op, key string, body io.Reader, size int64) ([]byte, error) {
	m.mu.Lock()
	limit := m.limits.MaxPutSize
	m.mu.Unlock()
	if size > limit {
		return nil, m.fail(op, key, s3backend.KindTooLarge, 400, "EntityTooLarge")
	}
	data := make([]byte, size)
	if size > 0 {
		if _, err := io.ReadFull(body, data); err != nil {
			e := m.fail(op, key, s3backend.KindInvalid, 400, "IncompleteBody")
			e.Err = err
			return nil, e
		}
	}
	return data, m.cancelled(ctx, op, key)
}

func (m *Mem) lookup(key string) *memObject {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.objects[key]
}

// source finds the object that a copy takes.
func (m *Mem) source(op, key, bucket, sourceKey, ifMatch string) (*memObject, error) {
	if err := m.checkKey(op, sourceKey); err != nil {
		return nil, err
	}
	from := m
	if bucket != "" && bucket != m.name {
		from = nil
		if m.peers != nil {
			from = m.peers(bucket)
		}
		if from == nil {
			return nil, m.fail(op, key, s3backend.KindNotExist, 404, "NoSuchBucket")
		}
	}
	o := from.lookup(sourceKey)
	if o == nil {
		return nil, m.fail(op, key, s3backend.KindNotExist, 404, "NoSuchKey")
	}
	m.mu.Lock()
	ignore := m.pacific
	m.mu.Unlock()
	if ifMatch != "" && ifMatch != o.object.ETag && !ignore {
		return nil, m.fail(op, key, s3backend.KindChanged, 412, "PreconditionFailed")
	}
	return o, nil
}

func (m *Mem) conditionsLocked(op, key string, c s3backend.Conditions) error {
	o := m.objects[key]
	switch {
	case c.IfNoneMatch && c.IfMatch != "":
		return m.fail(op, key, s3backend.KindInvalid, 400, "InvalidArgument")
	case c.IfNoneMatch && o != nil:
		return m.fail(op, key, s3backend.KindExist, 412, "PreconditionFailed")
	case c.IfMatch != "" && (o == nil || o.object.ETag != c.IfMatch):
		return m.fail(op, key, s3backend.KindChanged, 412, "PreconditionFailed")
	}
	return nil
}

func (m *Mem) quotaLocked(op, key string, bytes, count int64) error {
	if m.quotaBytes >= 0 && m.bytes+bytes > m.quotaBytes ||
		m.quotaCount >= 0 && int64(len(m.keys))+count > m.quotaCount {
		return m.fail(op, key, s3backend.KindQuota, 403, "QuotaExceeded")
	}
	return nil
}

func (m *Mem) storeLocked(o *memObject) {
	key := o.object.Key
	if old := m.objects[key]; old != nil {
		m.bytes -= old.object.Size
	} else {
		i, _ := slices.BinarySearch(m.keys, key)
		m.keys = slices.Insert(m.keys, i, key)
	}
	m.objects[key] = o
	m.bytes += o.object.Size
}

func (m *Mem) removeLocked(key string) {
	old := m.objects[key]
	if old == nil {
		return
	}
	delete(m.objects, key)
	m.bytes -= old.object.Size
	i, _ := slices.BinarySearch(m.keys, key)
	m.keys = slices.Delete(m.keys, i, i+1)
}
