package s3test

import (
	"context"
	"errors"
	"io"
	"time"
)

// faultyBody applies a bodyPlan to a body.
type faultyBody struct {
	ctx    context.Context
	cancel context.CancelFunc // by Close, which ends a Read that waits
	inner  io.ReadCloser
	plan   bodyPlan
	// translate makes the reader's error of a done context.
	translate func(error) error
	pos       int64
	stalled   bool
}

func newFaultyBody(ctx context.Context, inner io.ReadCloser, p bodyPlan, translate func(error) error) *faultyBody {
	b := &faultyBody{inner: inner, plan: p, translate: translate}
	b.ctx, b.cancel = context.WithCancel(ctx)
	return b
}

// untouched reports whether there is nothing to apply.
func (p bodyPlan) untouched() bool {
	return p.breakAt < 0 && p.truncateAt < 0 && p.corruptAt < 0 && p.stallAt < 0 && p.rate < 0
}

func (b *faultyBody) Read(buf []byte) (int, error) {
	p := &b.plan
	if p.stallAt >= 0 && b.pos >= p.stallAt && !b.stalled {
		if err := p.stall.pass(b.ctx); err != nil {
			return 0, b.translate(err)
		}
		b.stalled = true
	}
	if p.breakAt >= 0 && b.pos >= p.breakAt {
		return 0, p.breakErr
	}
	if p.truncateAt >= 0 && b.pos >= p.truncateAt {
		return 0, io.EOF
	}
	// Reads end at the next place where something happens.
	end := b.pos + int64(len(buf))
	for _, at := range []int64{p.breakAt, p.truncateAt} {
		if at >= 0 {
			end = min(end, at)
		}
	}
	if p.stallAt >= 0 && !b.stalled {
		end = min(end, p.stallAt)
	}
	if p.rate > 0 {
		end = min(end, b.pos+max(p.rate/100, 1))
	}
	n, err := b.inner.Read(buf[:end-b.pos])
	if at := p.corruptAt; at >= b.pos && at < b.pos+int64(n) {
		buf[at-b.pos] ^= 0xff
	}
	b.pos += int64(n)
	if p.rate > 0 && n > 0 {
		pause := time.Duration(float64(n) / float64(p.rate) * float64(time.Second))
		if cut := sleep(b.ctx, pause); cut != nil {
			return n, b.translate(cut)
		}
	}
	if errors.Is(err, io.EOF) && p.breakAt == b.pos {
		err = nil // the break lies at the very end: the next Read is it
	}
	return n, err
}

func (b *faultyBody) Close() error {
	b.cancel()
	return b.inner.Close()
}
