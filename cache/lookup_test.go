package cache

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

const roomy = 64 << 20

func TestLookupRequests(t *testing.T) {
	n := newNames(t, roomy)
	n.put("file", "empty=0", "dir/a", "marked/", "both", "both/x", "over=0", "over/x")
	for _, c := range []struct {
		key, want    string
		heads, lists int
	}{
		{"file", "file", 1, 0},
		{"empty", "empty", 1, 1},
		{"dir", "dir/", 1, 1},
		{"marked", "marked/", 1, 1},
		{"both", "both", 1, 0},
		{"over", "over/", 1, 1},
		{"none", "", 1, 1},
	} {
		n.wantFind(c.key, c.want)
		n.wantRequests(c.heads, c.lists)
		n.wantFind(c.key, c.want)
		n.wantRequests(0, 0)
	}
	n.clock.advance(6 * time.Second)
	for _, key := range []string{"file", "empty", "dir", "over"} {
		n.wantFind(key, strings.TrimSuffix(n.find(key), "")) // remembered whole, absences of the other half too
	}
	n.wantRequests(0, 0)
	n.wantFind("none", "") // forgotten after the negative TTL
	n.wantRequests(1, 1)
}

func TestLookupNames(t *testing.T) {
	n := newNames(t, roomy)
	long := strings.Repeat("d/", 400)
	for _, c := range []struct {
		dir, name string
		kind      s3backend.Kind
	}{
		{"", strings.Repeat("x", 256), s3backend.KindNameTooLong},
		{long, strings.Repeat("x", 225), s3backend.KindNameTooLong},
		{"", "a\xff", s3backend.KindNotExist},
		{"", "..", s3backend.KindNotExist},
		{"", "", s3backend.KindNotExist},
		{"", "a\x00", s3backend.KindNotExist},
	} {
		if _, err := n.lookup(context.Background(), c.dir, c.name); err == nil || s3backend.KindOf(err) != c.kind {
			t.Errorf("lookup of %d bytes %.10q: %v, want %v", len(c.dir)+len(c.name), c.name, err, c.kind)
		}
	}
	n.wantRequests(0, 0)
	if _, err := n.lookup(context.Background(), long, strings.Repeat("x", 224)); !s3backend.IsNotExist(err) {
		t.Errorf("a key of 1024 bytes: %v", err)
	}
	n.wantRequests(1, 0) // no key has room for the slash
}

func TestLookupErrorIsNoAbsence(t *testing.T) {
	n := newNames(t, roomy)
	n.put("file", "dir/x")
	for _, op := range []string{s3test.OpHead, s3test.OpList} {
		n.store.Add(s3test.Rule{Op: op, Times: 1, Do: []s3test.Effect{s3test.Fail(s3backend.KindUnavailable)}})
		_, err := n.lookup(context.Background(), "", "dir")
		if err == nil || s3backend.KindOf(err) != s3backend.KindUnavailable {
			t.Errorf("failing %s: %v", op, err)
		}
	}
	n.wantFind("dir", "dir/")
	n.store.Add(s3test.Rule{Op: s3test.OpHead, Times: 1, Do: []s3test.Effect{s3test.Fail(s3backend.KindOther)}})
	if _, err := n.stat(context.Background(), "file"); err == nil || s3backend.KindOf(err) != s3backend.KindOther {
		t.Errorf("stat: %v", err)
	}
	n.wantFind("file", "file")
}

// An object that may not be read is listed all the same: ls -l shows it.
func TestUnreadableObjectIsSeen(t *testing.T) {
	n := newNames(t, roomy)
	n.put("secret", "dir/")
	n.store.Add(s3test.Rule{Op: s3test.OpHead, Do: []s3test.Effect{s3test.Fail(s3backend.KindPermission)}})
	a, err := n.stat(context.Background(), "secret")
	if err != nil || a.Key != "secret" || a.ETag == "" || a.Metadata == nil {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := n.stat(context.Background(), "dir/"); err != nil || !a.IsDir() {
		t.Errorf("%+v, %v", a, err)
	}
	// Whether there is another one, nobody says.
	if _, err := n.lookup(context.Background(), "", "secre"); err == nil || s3backend.KindOf(err) != s3backend.KindPermission {
		t.Errorf("a name that is not listed: %v", err)
	}
}

func TestOverlayWins(t *testing.T) {
	n := newNames(t, roomy)
	n.put("gone", "old", "was/x")
	n.local.write("new", 7)
	n.local.write("old", 9)
	n.local.hide("gone")
	n.local.hide("was/x")
	n.local.write("fresh/new", 1)
	n.wantFind("new", "new")
	n.wantFind("gone", "")
	n.wantFind("fresh", "fresh/")
	n.wantDir("", "new", "old", "was/")
	n.wantDir("was/")
	if a, err := n.stat(context.Background(), "old"); err != nil || a.Size != 9 {
		t.Errorf("stat old: %+v, %v", a, err)
	}
	if _, err := n.stat(context.Background(), "gone"); !s3backend.IsNotExist(err) {
		t.Errorf("stat gone: %v", err)
	}
	if a, fresh := n.cached("new"); !fresh || a.Size != 7 {
		t.Errorf("cached new: %+v %v", a, fresh)
	}
}

// A file made here shows in a listing that was read before it was made, also
// to handles that are at the listing's end.
func TestOverlayAppends(t *testing.T) {
	n := newNames(t, roomy)
	n.put("a")
	d := n.open("")
	_, next, _, err := d.Read(context.Background(), 0)
	if err != nil || len(n.rest(d, next)) != 0 {
		t.Fatal("want a alone", err)
	}
	n.local.write("b", 1)
	if got := n.rest(d, next); len(got) != 1 || got[0] != "b" {
		t.Errorf("got %q after a, want b", got)
	}
	n.create("b", "x")
	n.local.letGo("b")
	if got := n.rest(d, 0); len(got) != 2 {
		t.Errorf("got %q, want a and b once", got)
	}
}

func TestStat(t *testing.T) {
	n := newNames(t, roomy)
	ctx := context.Background()
	n.putBody("f", "body", map[string]string{"mode": "33188"})
	n.putBody("marked/", "", map[string]string{"mode": "16877"})
	n.put("implicit/x", "marked/x")
	n.wantDir("", "f", "implicit/", "marked/")
	n.store.ResetRequests()
	stat := func(key, mode string, heads, lists int) {
		t.Helper()
		for range 2 {
			a, err := n.stat(ctx, key)
			if err != nil || a.Metadata == nil || a.Metadata["mode"] != mode || a.Key != key {
				t.Errorf("stat %q: %+v, %v", key, a, err)
			}
			n.wantRequests(heads, lists)
			heads, lists = 0, 0 // remembered
		}
	}
	stat("", "", 0, 0)
	stat("f", "33188", 1, 0)
	stat("marked/", "16877", 1, 0)
	stat("implicit/", "", 1, 0) // the listing knows that it exists
	if _, err := n.stat(ctx, "nothing/"); !s3backend.IsNotExist(err) {
		t.Error(err)
	}
	n.wantRequests(0, 0)

	// What a fresh listing shows to be the same generation needs no HEAD.
	n.clock.advance(2 * time.Minute)
	n.wantDir("", "f", "implicit/", "marked/")
	n.wantDir("marked/", "x")
	n.store.ResetRequests()
	stat("f", "33188", 0, 0)
	stat("marked/", "16877", 0, 0)
	n.putBody("f", "other", map[string]string{"mode": "33261"})
	n.clock.advance(2 * time.Minute)
	n.wantDir("", "f", "implicit/", "marked/")
	n.store.ResetRequests()
	stat("f", "33261", 1, 0)
}

// A directory that files are made in is listed after a few misses; from then
// on names that it doesn't have cost nothing.
func TestMissesListDirectory(t *testing.T) {
	n := newNames(t, roomy)
	n.put("d/x")
	for i := range 2000 {
		key := fmt.Sprintf("d/%04d", i)
		n.wantFind(key, "")
		n.create(key, "x")
	}
	n.wantRequests(2, 3)
	n.changed(attrOf(n.putBody("d/made/", "", nil), 0))
	for i := range 100 {
		n.wantFind(fmt.Sprintf("d/made/%04d", i), "")
	}
	n.wantRequests(0, 1)
}

func TestWaiterCancelled(t *testing.T) {
	n := newNames(t, roomy)
	n.put("x")
	h := n.late("HEAD x")
	ctx, cancel := context.WithCancel(context.Background())
	impatient, patient := make(chan error, 1), make(chan error, 1)
	go func() { _, err := n.lookup(ctx, "", "x"); impatient <- err }()
	<-h.answered
	go func() { _, err := n.lookup(context.Background(), "", "x"); patient <- err }()
	for { // until both wait
		n.mu.Lock()
		f := n.flights["head x"]
		both := f.waiters == 2
		n.mu.Unlock()
		if both {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-impatient; s3backend.KindOf(err) != s3backend.KindCancelled {
		t.Errorf("cancelled lookup: %v", err)
	}
	close(h.arrive)
	if err := <-patient; err != nil {
		t.Errorf("the other lookup: %v", err)
	}
	n.wantRequests(1, 0)

	// When all have given up, so does the request.
	h = n.late("HEAD y")
	ctx, cancel = context.WithCancel(context.Background())
	go func() { _, err := n.lookup(ctx, "", "y"); impatient <- err }()
	<-h.answered
	cancel()
	if err := <-impatient; s3backend.KindOf(err) != s3backend.KindCancelled {
		t.Errorf("cancelled lookup: %v", err)
	}
	n.wg.Wait() // hangs if the request goes on
	n.wantFind("y", "")
}

func TestAnyBelow(t *testing.T) {
	n := newNames(t, roomy)
	n.put("d/", "d/x", "odd//y", "e/")
	for _, c := range []struct {
		dir, ignore, key string
		marker           bool
	}{
		{"d/", "", "d/x", true},
		{"d/", "d/x", "", true},
		{"odd/", "", "odd//y", false},
		{"e/", "", "", true},
		{"none/", "", "", false},
	} {
		key, found, marker, err := n.anyBelow(context.Background(), c.dir, func(key string) bool { return key == c.ignore })
		if err != nil || key != c.key || found != (c.key != "") || marker != c.marker {
			t.Errorf("%+v: got %q %v %v %v", c, key, found, marker, err)
		}
	}
	if n.logs.count("odd//y") != 1 {
		t.Errorf("no warning names odd//y: %s", n.logs.b.String())
	}
	// An empty directory that exists only here counts.
	n.put("p/q/x")
	n.unlink("p/q/x")
	if key, found, _, err := n.anyBelow(context.Background(), "p/", func(string) bool { return false }); err != nil || !found || key != "p/q/" {
		t.Errorf("kept: got %q %v %v", key, found, err)
	}
}
