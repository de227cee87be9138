package s3test

import (
	"context"
	"sync"
	"time"

	"rgwfs/s3backend"
)

// Rule says which calls go wrong, and how.
type Rule struct {
	Op    string   // an Op constant; "" = every operation
	Key   string   // the key (of a listing: its prefix); "" = every key
	Skip  int      // that many matching calls go well first
	Times int      // that many calls after those are hit; 0 = all
	Do    []Effect // what happens, all of it: delay, then gate, then the failure
}

// Effect is something that goes wrong in a call.
type Effect struct {
	apply func(*plan)
	level level
}

// level says where an Effect has a meaning.
type level uint8

const (
	onStore level = 1 << iota
	onHTTP
)

// plan is what the rules that match make of one call.
type plan struct {
	delay  time.Duration
	gates  []*Gate
	fail   *s3backend.Error // onStore: instead of the call
	lose   *s3backend.Error // onStore: after the call
	status int              // onHTTP: this answer instead of the server's
	code   string
	reset  bool // onHTTP: the connection breaks before the server acts
	lost   bool // onHTTP: it breaks after the server has acted
	body   bodyPlan
}

// bodyPlan is what happens to the bytes of an answer; each is off at -1.
type bodyPlan struct {
	breakAt    int64
	breakErr   error
	truncateAt int64
	corruptAt  int64
	stallAt    int64
	stall      *Gate
	rate       int64 // bytes per second
}

func newPlan() plan {
	return plan{body: bodyPlan{breakAt: -1, truncateAt: -1, corruptAt: -1, stallAt: -1, rate: -1}}
}

// Fail makes a Store's call fail with kind; the wrapped Store isn't called. On
// DeleteMany with Rule.Key set only that key fails.
func Fail(kind s3backend.Kind) Effect {
	return FailWith(s3backend.Error{Kind: kind, Message: "injected"})
}

// FailWith is Fail with an error of the caller's making; Op, Bucket and Key
// are filled in.
func FailWith(e s3backend.Error) Effect {
	return Effect{level: onStore, apply: func(p *plan) { p.fail = &e }}
}

// Lose makes a Store's call take effect and then report kind, as when the
// server acted and its answer got lost.
func Lose(kind s3backend.Kind) Effect {
	e := s3backend.Error{Kind: kind, Message: "injected: the answer was lost"}
	return Effect{level: onStore, apply: func(p *plan) { p.lose = &e }}
}

// Truncate ends the body of a Get silently after n bytes. No Store that keeps
// its contract does so: this tests what defends against one.
func Truncate(n int64) Effect {
	return Effect{level: onStore, apply: func(p *plan) { p.body.truncateAt = n }}
}

// BreakBody ends an answer's body with an error after n bytes: of kind from a
// Store, as a connection reset over HTTP (where kind is not used).
func BreakBody(n int64, kind s3backend.Kind) Effect {
	return Effect{level: onStore | onHTTP, apply: func(p *plan) {
		p.body.breakAt = n
		p.body.breakErr = &s3backend.Error{Kind: kind, Op: OpGet, Message: "injected: the body broke"}
	}}
}

// Corrupt flips every bit of the byte at offset n of an answer's body.
func Corrupt(n int64) Effect {
	return Effect{level: onStore | onHTTP, apply: func(p *plan) { p.body.corruptAt = n }}
}

// StallBody stops an answer's body after n bytes until the gate opens.
func StallBody(n int64, g *Gate) Effect {
	return Effect{level: onStore | onHTTP, apply: func(p *plan) { p.body.stallAt, p.body.stall = n, g }}
}

// Rate delivers an answer's body at that many bytes per second.
func Rate(bytesPerSecond int64) Effect {
	return Effect{level: onStore | onHTTP, apply: func(p *plan) { p.body.rate = bytesPerSecond }}
}

// Delay adds latency before the call.
func Delay(d time.Duration) Effect {
	return Effect{level: onStore | onHTTP, apply: func(p *plan) { p.delay += d }}
}

// Block holds the call, before it is made, until the gate opens or its
// context is done.
func Block(g *Gate) Effect {
	return Effect{level: onStore | onHTTP, apply: func(p *plan) { p.gates = append(p.gates, g) }}
}

// Status answers an HTTP request with that status and S3 error code; the
// server isn't asked.
func Status(status int, code string) Effect {
	return Effect{level: onHTTP, apply: func(p *plan) { p.status, p.code = status, code }}
}

// Reset breaks the connection before the server gets the request.
func Reset() Effect {
	return Effect{level: onHTTP, apply: func(p *plan) { p.reset = true }}
}

// LoseAnswer breaks the connection after the server has acted.
func LoseAnswer() Effect {
	return Effect{level: onHTTP, apply: func(p *plan) { p.lost = true }}
}

// rules decides what happens to each call.
type rules struct {
	level level

	mu     sync.Mutex
	active []*activeRule // guarded by mu
}

type activeRule struct {
	Rule
	seen int // matching calls so far
}

// add panics on an Effect that has no meaning at this level: such a test
// would pass for the wrong reason.
func (r *rules) add(list []Rule) {
	for _, rule := range list {
		for _, e := range rule.Do {
			if e.level&r.level == 0 {
				panic("s3test: this Effect can't happen here: see its comment")
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rule := range list {
		r.active = append(r.active, &activeRule{Rule: rule})
	}
}

func (r *rules) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active = nil
}

// match returns the plan for a call and counts it.
func (r *rules) match(op, key string) plan {
	return r.plan(func(a *activeRule) bool {
		return (a.Op == "" || a.Op == op) && (a.Key == "" || a.Key == key)
	})
}

// matchKey is match for one of several keys of a call: only rules that name
// the key count.
func (r *rules) matchKey(op, key string) plan {
	return r.plan(func(a *activeRule) bool {
		return (a.Op == "" || a.Op == op) && a.Key == key && key != ""
	})
}

func (r *rules) plan(matches func(*activeRule) bool) plan {
	p := newPlan()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.active {
		if !matches(a) {
			continue
		}
		a.seen++
		if a.seen <= a.Skip || a.Times > 0 && a.seen > a.Skip+a.Times {
			continue
		}
		for _, e := range a.Do {
			e.apply(&p)
		}
	}
	return p
}

// wait is the part of a plan that comes before the call. It returns ctx's
// error when that is done first.
func (p *plan) wait(ctx context.Context) error {
	if err := sleep(ctx, p.delay); err != nil {
		return err
	}
	for _, g := range p.gates {
		if err := g.pass(ctx); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
