package s3test

import (
	"context"
	"io"
	"time"

	"rgwfs/s3backend"
)

var contextObligations = []obligation{
	{"Name", testName},
	{"Cancelled", testCancelled},
	{"Deadline", testDeadline},
	{"CancelledBody", testCancelledBody},
}

func testName(b *bench) {
	if b.store.Name() == "" {
		b.Error("the store has no name")
	}
}

func testCancelled(b *bench) {
	key := b.key("k")
	b.put(key, []byte("kept"))
	id := b.begin("upload", s3backend.Attributes{})
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	for name, do := range b.everyMethod(ctx, key, b.key("upload"), id) {
		b.kind(do(), s3backend.KindCancelled, name+" with a context that is done")
	}
	b.holds(key, []byte("kept"))
	b.sameStrings("after cancelled calls", b.listAll(s3backend.ListRequest{}), []string{"k"})
}

func testDeadline(b *bench) {
	ctx, cancel := context.WithDeadline(b.ctx, time.Now().Add(-time.Second))
	defer cancel()
	_, err := b.store.Head(ctx, b.key("k"))
	b.kind(err, s3backend.KindCancelled, "Head past its deadline")
}

// everyMethod returns a call of each method.
func (b *bench) everyMethod(ctx context.Context, key, uploadKey, id string) map[string]func() error {
	s := b.store
	return map[string]func() error{
		"Head": func() error { _, err := s.Head(ctx, key); return err },
		"List": func() error { _, err := s.List(ctx, s3backend.ListRequest{Prefix: b.prefix}); return err },
		"Get": func() error {
			_, _, err := s.Get(ctx, s3backend.GetRequest{Key: key, Length: -1})
			return err
		},
		"Put": func() error { _, err := s.Put(ctx, putOf(key, []byte("lost"))); return err },
		"Copy": func() error {
			_, err := s.Copy(ctx, s3backend.CopyRequest{Key: b.key("c"), SourceKey: key})
			return err
		},
		"Delete":     func() error { return s.Delete(ctx, key) },
		"DeleteMany": func() error { _, err := s.DeleteMany(ctx, []string{key}); return err },
		"CreateMultipart": func() error {
			_, err := s.CreateMultipart(ctx, s3backend.CreateMultipartRequest{Key: uploadKey})
			return err
		},
		"UploadPart": func() error {
			_, err := s.UploadPart(ctx, partOf(uploadKey, id, 1, []byte("part")))
			return err
		},
		"CopyPart": func() error {
			_, err := s.CopyPart(ctx, s3backend.CopyPartRequest{Key: uploadKey, UploadID: id, Number: 1, SourceKey: key, Length: 4})
			return err
		},
		"CompleteMultipart": func() error {
			_, err := s.CompleteMultipart(ctx, s3backend.CompleteMultipartRequest{
				Key: uploadKey, UploadID: id, Parts: []s3backend.Part{{Number: 1, ETag: md5Hex([]byte("part")), Size: 4}},
			})
			return err
		},
		"AbortMultipart": func() error { return s.AbortMultipart(ctx, uploadKey, id) },
		"ListMultiparts": func() error { _, err := s.ListMultiparts(ctx, b.prefix); return err },
		"Usage":          func() error { _, err := s.Usage(ctx); return err },
	}
}

func testCancelledBody(b *bench) {
	key := b.key("k")
	b.put(key, random(inFlight))
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	_, body, err := b.store.Get(ctx, s3backend.GetRequest{Key: key, Length: -1})
	b.ok(err)
	_, err = io.ReadFull(body, make([]byte, 1000))
	b.ok(err)
	cancel()
	_, err = io.Copy(io.Discard, body)
	b.kind(err, s3backend.KindCancelled, "reading a body whose context is done")
	b.ok(body.Close())
}
