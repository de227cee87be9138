package s3test

import (
	"maps"
	"slices"
	"sync"
)

// Request is a request that a store was asked to make.
type Request struct {
	Op  string
	Key string // the prefix of a listing, "" of DeleteObjects and HeadBucket
}

// recorder counts requests. Its zero value is ready.
type recorder struct {
	mu      sync.Mutex
	byOp    map[string]int // guarded by mu
	ordered []Request      // guarded by mu
}

func (r *recorder) add(op, key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byOp == nil {
		r.byOp = map[string]int{}
	}
	r.byOp[op]++
	r.ordered = append(r.ordered, Request{Op: op, Key: key})
}

func (r *recorder) counts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := maps.Clone(r.byOp)
	if c == nil {
		c = map[string]int{}
	}
	return c
}

func (r *recorder) log() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ordered)
}

func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byOp, r.ordered = nil, nil
}
