package s3backend

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"time"
)

// Latency measures small answers, with and without TCP_QUICKACK, by listings
// of a prefix that has nothing.
func (p *Probe) Latency(ctx context.Context, f *Profile) error {
	var err error
	if f.SmallAnswer, err = p.smallAnswer(ctx, p.c); err != nil {
		return err
	}
	cfg := p.c.cfg
	cfg.slowAck, cfg.Signature = true, p.c.Signature()
	c, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	f.SmallAnswerPlain, err = p.smallAnswer(ctx, c)
	return err
}

// smallAnswer returns the median time of a listing, on a connection that is
// open already.
func (p *Probe) smallAnswer(ctx context.Context, c *Client) (time.Duration, error) {
	// A kernel acknowledges the first answers of a connection at once.
	const warm, counted = 3, 7
	var times []time.Duration
	for i := range warm + counted {
		began := time.Now()
		_, err := c.at(p.b.name).List(ctx, ListRequest{Prefix: p.scratch, MaxKeys: 1})
		if err != nil {
			return 0, err
		}
		if i >= warm {
			times = append(times, time.Since(began))
		}
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// Throughput stores and fetches an object of size bytes in one stream, as the
// Client is configured, and returns both speeds in bytes per second.
func (p *Probe) Throughput(ctx context.Context, size int) (up, down float64, err error) {
	data := make([]byte, size)
	if _, err := rand.Read(data); err != nil {
		return 0, 0, err
	}
	p.wrote = true
	store, key := p.c.Bucket(p.b.name), p.scratch+"throughput"
	began := time.Now()
	if _, err := store.Put(ctx, PutRequest{Key: key, Body: bytes.NewReader(data), Size: int64(size)}); err != nil {
		return 0, 0, err
	}
	up = float64(size) / time.Since(began).Seconds()
	began = time.Now()
	_, body, err := store.Get(ctx, GetRequest{Key: key, Length: -1})
	if err != nil {
		return 0, 0, err
	}
	_, err = io.Copy(io.Discard, body)
	if err = errors.Join(err, body.Close()); err != nil {
		return 0, 0, err
	}
	return up, float64(size) / time.Since(began).Seconds(), nil
}
