package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"

	"rgwfs/s3backend"
)

// parallel is how many requests a command has under way: one gateway gains
// nothing from more.
const parallel = 16

// eachObject calls f for the object at l, if there is one, and for all below
// it, in the order of their keys, by flat listings: one request for 1000. "dir"
// does not mean "dir2". It reports how many there were.
func (t *tool) eachObject(ctx context.Context, l location, f func(s3backend.Object) error) (int, error) {
	store, n := t.client.Bucket(l.bucket), 0
	prefix := l.below()
	if prefix != l.key {
		switch o, err := store.Head(ctx, l.key); {
		case err == nil:
			n++
			if err := f(o); err != nil {
				return n, err
			}
		case !s3backend.IsNotExist(err):
			return n, t.explain(l, err)
		}
	}
	for after := ""; ; {
		page, err := store.List(ctx, s3backend.ListRequest{Prefix: prefix, StartAfter: after})
		if err != nil {
			return n, t.explain(l, err)
		}
		for _, o := range page.Objects {
			n++
			if err := f(o); err != nil {
				return n, err
			}
		}
		if after = page.Next; after == "" {
			return n, nil
		}
	}
}

// manyObjects is eachObject with f called by several goroutines at once. The
// first error ends it.
func (t *tool) manyObjects(ctx context.Context, l location, f func(context.Context, s3backend.Object) error) (int, error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	n, err := t.eachObject(ctx, l, func(o s3backend.Object) error {
		if gctx.Err() != nil {
			return gctx.Err()
		}
		g.Go(func() error { return f(gctx, o) })
		return nil
	})
	// What stopped the others comes first; err is then its echo.
	if werr := g.Wait(); werr != nil {
		return n, werr
	}
	return n, err
}

// objectJSON is an object as --json shows it.
type objectJSON struct {
	Key          string    `json:"key"`
	Size         int64     `json:"size"`
	ETag         string    `json:"etag,omitempty"`
	LastModified time.Time `json:"last_modified"`
	StorageClass string    `json:"storage_class,omitempty"`
}

func toObjectJSON(o s3backend.Object) objectJSON {
	return objectJSON{o.Key, o.Size, o.ETag, o.LastModified.UTC(), o.StorageClass}
}

// shortTime is a time in a column.
func shortTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func nothingAt(l location) error { return fail("%s: there is none", l) }

// shown is a key on a terminal: control characters are not let through.
func shown(key string) string {
	if strings.ContainsFunc(key, unicode.IsControl) {
		return strconv.Quote(key)
	}
	return key
}

// indented is a JSON document for people; one that is none stays as it is.
func indented(doc []byte) string {
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		return string(doc)
	}
	return b.String()
}

func asError(err error, answer **s3backend.Error) bool { return errors.As(err, answer) }
