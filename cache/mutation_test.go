package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Each case is an interleaving: the answer to a question has been given, this
// mount changes something, the answer arrives. The change must be what is
// seen, also when memory has lost what it knew of it (evicted).
func TestLateAnswers(t *testing.T) {
	lookup := func(key string) func(*names) { return func(n *names) { n.find(key) } }
	list := func(n *names) { n.readDir("") }
	for _, c := range []struct {
		name  string
		held  string
		ask   func(*names)
		do    func(*names)
		key   string // found as want after
		want  string
		names []string // of the root
	}{
		{"HEAD x found, x removed", "HEAD x", lookup("x"),
			func(n *names) { n.unlink("x") }, "x", "", []string{"d/"}},
		{"HEAD new missed, new made", "HEAD new", lookup("new"),
			func(n *names) { n.create("new", "data") }, "new", "new", []string{"d/", "new", "x"}},
		{"HEAD x found, x renamed", "HEAD x", lookup("x"),
			func(n *names) { n.create("y", "data"); n.unlink("x") }, "x", "", []string{"d/", "y"}},
		{"LIST below e/ found none, e/f made", "LIST e/", lookup("e"),
			func(n *names) { n.create("e/f", "data") }, "e", "e/", []string{"d/", "e/", "x"}},
		{"LIST below d/ found a file, d/ removed", "LIST d/", lookup("d"),
			func(n *names) { n.unlink("d/a"); n.unlink("d/b"); n.removedDir("d/") }, "d", "", []string{"x"}},
		{"LIST below d/ found a file, d/ emptied", "LIST d/", lookup("d"),
			func(n *names) { n.unlink("d/a"); n.unlink("d/b") }, "d", "d/", []string{"d/", "x"}},
		{"page has x, x removed", "LIST ", list,
			func(n *names) { n.unlink("x") }, "x", "", []string{"d/"}},
		{"page lacks new, new made", "LIST ", list,
			func(n *names) { n.create("new", "data") }, "new", "new", []string{"d/", "new", "x"}},
		{"page lacks e/, e/f/g made", "LIST ", list,
			func(n *names) { n.create("e/f/g", "data") }, "e", "e/", []string{"d/", "e/", "x"}},
		{"page has x, x made anew", "LIST ", list,
			func(n *names) { n.unlink("x"); n.create("x", "data") }, "x", "x", []string{"d/", "x"}},
		{"page lacks new, new made and removed", "LIST ", list,
			func(n *names) { n.create("new", "data"); n.unlink("new") }, "new", "", []string{"d/", "x"}},
		{"page has d/, d/ renamed", "LIST ", list, func(n *names) {
			n.create("m/a", "1")
			n.create("m/b", "1")
			n.delete("d/a")
			n.delete("d/b")
			n.forget("d/")
			n.forget("m/")
			n.removedDir("d/")
			n.existsDir("m/")
		}, "d", "", []string{"m/", "x"}},
		{"HEAD d/a found, d/ renamed", "HEAD d/a", lookup("d/a"), func(n *names) {
			n.delete("d/a")
			n.delete("d/b")
			n.forget("d/")
			n.removedDir("d/")
		}, "d/a", "", []string{"x"}},
		{"HEAD d/c missed, m/ renamed to d/", "HEAD d/c", lookup("d/c"), func(n *names) {
			n.put("d/c")
			n.forget("d/")
		}, "d/c", "d/c", []string{"d/", "x"}},
		{"page of d/ lacks c, m/ renamed to d/", "LIST d/", func(n *names) { n.readDir("d/") }, func(n *names) {
			n.put("d/c")
			n.forget("d/")
		}, "d/c", "d/c", []string{"d/", "x"}},
		{"HEAD x is old, x dropped", "HEAD x", lookup("x"), func(n *names) {
			n.delete("x")
			n.drop("x")
		}, "x", "", []string{"d/"}},
		{"page has x, x dropped", "LIST ", list, func(n *names) {
			n.delete("x")
			n.drop("x")
		}, "x", "", nil},
	} {
		for _, evicted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, evicted %v", c.name, evicted), func(t *testing.T) {
				n := newNames(t, roomy)
				n.put("x", "d/a", "d/b")
				n.during(c.held, func() { c.ask(n) }, func() {
					c.do(n)
					if evicted {
						n.points.removePrefix("")
					}
				})
				n.wantFind(c.key, c.want)
				if c.names != nil {
					n.wantDir("", c.names...)
				}
				n.wantFind(c.key, c.want)
				if len(n.mutated)+len(n.order)+len(n.forgot)+n.learners.Len() > 0 {
					t.Errorf("with no question under way the log holds %v %v %v", n.mutated, n.order, n.forgot)
				}
			})
		}
	}
}

// existsDir says, as a rename of a directory does, that dir is there now.
func (n *names) existsDir(dir string) {
	n.changed(Attr{Key: dir, Metadata: map[string]string{}})
}

// A lookup that begins after a change doesn't join an older request to be told
// what was before.
func TestJoinAfterChange(t *testing.T) {
	n := newNames(t, roomy)
	found := make(chan string, 1)
	n.during("HEAD x", func() {
		if _, err := n.lookup(context.Background(), "", "x"); err != nil {
			t.Errorf("the lookup that was overtaken: %v", err)
		}
	}, func() {
		n.create("x", "data")
		n.points.removePrefix("") // so that it has to ask
		go func() { found <- n.find("x") }()
		for {
			n.mu.Lock()
			joined := n.flights["head x"].waiters == 2
			n.mu.Unlock()
			if joined {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	if got := <-found; got != "x" {
		t.Errorf("got %q, want x", got)
	}
}

// A file that is committed below a directory does not make a HEAD of its
// marker that is under way worthless.
func TestChangeBelowDoesNotRefuteMarker(t *testing.T) {
	n := newNames(t, roomy)
	n.put("d/")
	n.during("HEAD d/", func() {
		if _, err := n.stat(context.Background(), "d/"); err != nil {
			t.Error(err)
		}
	}, func() { n.create("d/x", "data") })
	n.wantRequests(1, 0)
}

func TestLearner(t *testing.T) {
	n := newNames(t, roomy)
	x := func(etag string) Attr {
		return Attr{Key: "x", Size: 1, ETag: etag, ModTime: n.clock.now(), Metadata: map[string]string{"v": etag}}
	}
	want := func(etag string) {
		t.Helper()
		if a, fresh := n.cached("x"); fresh != (etag != "") || a.ETag != etag {
			t.Errorf("remembered: %q, %v, want %q", a.ETag, fresh, etag)
		}
	}
	old := n.begin()
	n.changed(x("2"))
	newer := n.begin()
	old.learned(x("1"))
	want("2")
	old.absent("x")
	want("2")
	newer.learned(x("3"))
	want("3")
	old.end()
	n.drop("x")
	want("")
	newer.learned(x("3"))
	want("")
	newer.end()

	// Two questions, answered in the wrong order.
	first := n.begin()
	n.changed(Attr{Key: "other"})
	second := n.begin()
	second.learned(x("5"))
	first.learned(x("4"))
	want("5")
	first.end()
	// What only the first needed is pruned; what the second needs is not.
	if len(n.order) != 0 {
		t.Errorf("the log still has %v", n.order)
	}
	n.removed("x")
	third := n.begin()
	third.end()
	second.learned(x("5"))
	want("")
	second.end()

	// What a listing shows of another generation takes no metadata over.
	l := n.begin()
	n.putBody("x", "data", nil)
	l.learned(x("6"))
	l.end()
	n.wantDir("", "x")
	if a, fresh := n.cached("x"); !fresh || a.Metadata != nil || a.ETag == "6" {
		t.Errorf("remembered: %+v", a)
	}
}

// A budget of a few entries is kept; overwriting does not leak.
func TestShardsBound(t *testing.T) {
	n := newNames(t, 1<<20)
	for i := range 20_000 {
		n.changed(Attr{Key: fmt.Sprintf("%d", i/4), Size: int64(i), ETag: "e", Metadata: map[string]string{"mode": "33188"}})
	}
	var held int64
	for i := range n.points.shards {
		sh := &n.points.shards[i]
		var sum int64
		for _, key := range sh.lru.Keys() {
			e, _ := sh.lru.Peek(key)
			sum += e.bytes(key)
		}
		if sum != sh.bytes || sum > sh.max {
			t.Fatalf("shard %d: %d bytes, accounted with %d of %d", i, sum, sh.bytes, sh.max)
		}
		held += sum
	}
	if held < 256<<10 {
		t.Errorf("of 512 KiB only %d bytes are used", held)
	}
	for i := range shardCount {
		n.points.shards[i].lru.Purge()
		if n.points.shards[i].bytes != 0 {
			t.Fatalf("an empty shard holds %d bytes", n.points.shards[i].bytes)
		}
	}
}

// Random changes through one mount, with readers in the background whose
// answers race with them: every change is seen at once.
func TestRandomMutations(t *testing.T) {
	for seed := range uint64(6) {
		for _, budget := range []int64{roomy, 64 << 10, 1} {
			t.Run(fmt.Sprintf("seed %d, %d bytes", seed, budget), func(t *testing.T) { randomMutations(t, seed, budget) })
		}
	}
}

func randomMutations(t *testing.T, seed uint64, budget int64) {
	n := newNames(t, budget)
	rng := rand.New(rand.NewPCG(seed, 1))
	n.pages(1 + rng.IntN(6))
	dirs := []string{"", "p/", "p/q/", "r/"}
	files, exists := map[string]bool{}, map[string]bool{"": true}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)+2))
			for {
				select {
				case <-stop:
					return
				default:
				}
				dir := dirs[rng.IntN(len(dirs))]
				n.find(fmt.Sprintf("%sf%d", dir, rng.IntN(12)))
				n.readDir(dir)
			}
		})
	}
	check := func(key, want string) {
		if got := n.find(key); got != want {
			t.Errorf("lookup %q: got %q, want %q", key, got, want)
		}
	}
	for range 400 {
		dir := dirs[rng.IntN(len(dirs))]
		key := fmt.Sprintf("%sf%d", dir, rng.IntN(12))
		switch op := rng.IntN(20); {
		case op < 8:
			n.create(key, strings.Repeat("x", rng.IntN(2)))
			files[key] = true
			for d := dir; d != ""; d, _ = splitKey(d) {
				exists[d] = true
			}
			check(key, key)
		case op < 14 && files[key]:
			n.unlink(key)
			delete(files, key)
			check(key, "")
		case op < 16 && dir != "":
			n.changed(attrOf(n.putBody(dir, "", nil), 0))
			for d := dir; d != ""; d, _ = splitKey(d) {
				exists[d] = true
			}
			check(strings.TrimSuffix(dir, "/"), dir)
		case op < 18 && exists[dir] && dir != "":
			_, found, _, err := n.anyBelow(context.Background(), dir, func(string) bool { return false })
			if err != nil {
				t.Fatal(err)
			}
			used := false
			for k := range files {
				used = used || strings.HasPrefix(k, dir)
			}
			for d := range exists {
				used = used || d != dir && strings.HasPrefix(d, dir)
			}
			if used != found {
				t.Errorf("anything below %q: %v, want %v", dir, found, used)
			}
			if !found {
				n.delete(dir)
				n.removedDir(dir)
				delete(exists, dir)
				check(strings.TrimSuffix(dir, "/"), "")
			}
		case op == 18:
			n.clock.advance(time.Duration(rng.IntN(40)) * time.Second)
		case op == 19:
			n.points.removePrefix(dir)
		}
		dir = dirs[rng.IntN(len(dirs))]
		var want []string
		for k := range files {
			if d, name := splitKey(k); d == dir {
				want = append(want, name)
			}
		}
		for k := range exists {
			if d, name := splitKey(k); d == dir && k != "" {
				want = append(want, name+"/")
			}
		}
		slices.Sort(want)
		if got := n.readDir(dir); !slices.Equal(got, want) {
			t.Errorf("readdir %q: got %q, want %q", dir, got, want)
		}
		if t.Failed() {
			break
		}
	}
	close(stop)
	readers.Wait()
}
