package cache

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend"
)

// Of a mutation that came between beginFetch and the request itself the page
// knows; of later ones it doesn't.
func TestPageAndPending(t *testing.T) {
	at := time.Unix(1000, 0)
	page := s3backend.Page{Objects: []s3backend.Object{{Key: "a", Size: 1}, {Key: "b", Size: 1}}, Next: "b"}
	for _, c := range []struct {
		seq  uint64 // of the mutations; the page began at 5
		want []string
	}{{5, []string{"a", "b"}}, {6, []string{"aa", "b"}}} {
		l := newListing(1, "", at, time.Minute)
		l.beginFetch()
		l.set("a", false, half{is: absent}, c.seq, at)
		for _, name := range []string{"aa", "z"} { // z comes with its own page
			l.set(name, false, half{present, Attr{Key: name, Size: 1}}, c.seq, at)
		}
		l.apply(1, "", page, nil, 5, at)
		l.endFetch()
		var got []string
		for _, s := range l.segs[1].slots {
			if s.file == present {
				got = append(got, s.name)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("mutations at %d: got %q, want %q", c.seq, got, c.want)
		}
		if l.pending != nil || l.index["z"] != nil {
			t.Errorf("mutations at %d: %v is still pending, z is %v", c.seq, l.pending, l.index["z"])
		}
		// A page that had been given up and arrives late is of no use.
		size := len(l.segs[1].slots)
		l.apply(1, "", page, nil, 7, at)
		if len(l.segs) != 2 || len(l.segs[1].slots) != size {
			t.Errorf("a page was taken in twice")
		}
	}
}

// An answer to an older question does not change what a newer page says.
func TestOlderAnswerThanPage(t *testing.T) {
	n := newNames(t, roomy)
	n.put("x")
	l := n.begin()
	n.create("other", "data")
	n.wantDir("", "other", "x")
	l.absent("x")
	l.end()
	n.points.removePrefix("")
	n.wantFind("x", "x")
}

func TestListingExpires(t *testing.T) {
	n := newNames(t, roomy)
	n.put("a", "gone")
	n.wantDir("", "a", "gone")
	n.put("new", "dir/x")
	n.delete("gone")
	n.wantFind("new", "")
	n.wantFind("gone", "gone")
	n.clock.advance(2 * time.Minute)
	n.wantFind("new", "new")
	n.wantFind("dir", "dir/")
	n.wantFind("gone", "")
}

// Absences that were given the metadata TTL, because the name's other half
// was there, don't outlive that half.
func TestAbsenceOfOtherHalf(t *testing.T) {
	n := newNames(t, roomy)
	n.put("d/x", "empty=0")
	n.wantFind("d", "d/")
	n.wantFind("empty", "empty")
	n.unlink("d/x")
	n.removedDir("d/")
	n.unlink("empty")
	n.put("d", "empty/x")
	n.clock.advance(6 * time.Second)
	n.wantFind("d", "d")
	n.wantFind("empty", "empty/")
}

// What is made in a directory makes it exist, and those above it.
func TestMadeBelowAbsent(t *testing.T) {
	n := newNames(t, roomy)
	n.put("x")
	n.wantFind("a", "")
	n.create("a/b/c", "data")
	n.wantFind("a", "a/")
	n.wantFind("a/b", "a/b/")
}

func TestForgetAsksAgain(t *testing.T) {
	n := newNames(t, roomy)
	n.put("d/x", "e/x")
	n.wantDir("", "d/", "e/")
	n.wantDir("d/", "x")
	n.delete("d/x")
	n.wantFind("d/x", "d/x")
	n.forget("d/")
	n.wantFind("d/x", "")
	n.wantFind("d", "")
	n.store.ResetRequests()
	n.wantFind("e", "e/") // the rest of the listing is as good as before
	n.wantRequests(0, 0)
}

// A name that a listing lacks is not absent to it once forgotten: a directory
// was renamed to it.
func TestForgetUnlisted(t *testing.T) {
	for _, late := range []bool{false, true} {
		n := newNames(t, roomy)
		n.put("x")
		made := func() {
			n.put("m/x", "f")
			n.forget("m/")
			n.drop("f")
		}
		if late {
			n.during("LIST ", func() { n.readDir("") }, made)
		} else {
			n.wantDir("", "x")
			made()
		}
		n.wantFind("m", "m/")
		n.wantFind("f", "f")
		n.wantDir("", "f", "m/", "x") // a lookup has told
		n.forget("none/")
		n.drop("none")
		n.wantDir("", "f", "m/", "x")
	}
}

func TestRemovedDirThenMade(t *testing.T) {
	n := newNames(t, roomy)
	n.put("p/d/", "p/d/x")
	n.wantDir("p/d/", "x")
	n.delete("p/d/x") // by somebody else
	n.delete("p/d/")
	n.removedDir("p/d/")
	n.wantFind("p", "p/") // has no marker, and nothing in it any more
	n.wantDir("p/")
	n.changed(attrOf(n.putBody("p/d/", "", nil), 0))
	n.wantDir("p/d/")
}

// A marker made for a directory that was listed without one.
func TestMarkerMadeLater(t *testing.T) {
	n := newNames(t, roomy)
	n.put("d/x")
	n.wantDir("", "d/")
	n.wantDir("d/", "x")
	if a, err := n.stat(context.Background(), "d/"); err != nil || len(a.Metadata) != 0 {
		t.Fatal(a, err)
	}
	n.changed(attrOf(n.putBody("d/", "", map[string]string{"mode": "16832"}), 0))
	n.points.removePrefix("") // evicted
	if a, err := n.stat(context.Background(), "d/"); err != nil || a.Metadata["mode"] != "16832" {
		t.Errorf("stat: %+v, %v", a, err)
	}
}

// A name made while a reader waits for the next page, in the part that was
// read already, is not lost to it.
func TestMadeWhileReaderWaits(t *testing.T) {
	n := newNames(t, roomy)
	n.pages(2)
	n.put("a", "c", "d", "e")
	d := n.open("")
	var cookie uint64
	for range 2 {
		_, next, _, err := d.Read(context.Background(), cookie)
		if err != nil {
			t.Fatal(err)
		}
		cookie = next
	}
	var got []string
	n.during("LIST ", func() { got = n.rest(d, cookie) }, func() { n.create("b", "data") })
	if !slices.Equal(got, []string{"b", "d", "e"}) {
		t.Errorf("got %q, want b, d and e", got)
	}
}

func TestReadDirCarriesMetadata(t *testing.T) {
	n := newNames(t, roomy)
	n.putBody("f", "data", map[string]string{"mode": "33188"})
	if _, err := n.stat(context.Background(), "f"); err != nil {
		t.Fatal(err)
	}
	e, _, ok, err := n.open("").Read(context.Background(), 0)
	if err != nil || !ok || e.Attr.Metadata["mode"] != "33188" || e.Attr.TTL != time.Minute {
		t.Errorf("got %+v, %v, %v", e, ok, err)
	}
}

func TestAttr(t *testing.T) {
	if got := FormatTime(time.Unix(1234567890, 5)); got != "1234567890.000000005" {
		t.Error(got)
	}
	now := time.Unix(1000, 0)
	a := Attr{ETag: "e", ModTime: now}
	for _, c := range []struct {
		b    Attr
		same bool
	}{
		{Attr{ETag: "e", ModTime: now.Add(999 * time.Millisecond)}, true},
		{Attr{ETag: "e", ModTime: now.Add(time.Second)}, false},
		{Attr{ETag: "f", ModTime: now}, false},
	} {
		if a.sameGeneration(c.b) != c.same {
			t.Errorf("%+v: %v", c.b, !c.same)
		}
	}
	if (Attr{ModTime: now}).sameGeneration(Attr{ModTime: now}) {
		t.Error("unknown ETags are equal")
	}
	for key, want := range map[string]bool{"": true, "a/": true, "a": false} {
		if (Attr{Key: key}).IsDir() != want {
			t.Errorf("%q", key)
		}
	}
	if a := attrOf(s3backend.Object{Key: "d/", Size: 5, ETag: "e"}, time.Second); a.Size != 0 || a.TTL != time.Second {
		t.Errorf("%+v", a)
	}
}

// With TTLs of 0 nothing is believed: every answer is the server's of now,
// whoever changed what.
func TestNothingBelieved(t *testing.T) {
	n := newNames(t, roomy)
	n.ttl, n.negTL, n.lists.ttl = 0, 0, 0
	rng := rand.New(rand.NewPCG(7, 7))
	names := []string{"a", "a!", "a-", "b", "c"}
	have := map[string]int{} // key to size
	for range 300 {
		key := names[rng.IntN(len(names))] + []string{"", "/", "/x"}[rng.IntN(3)]
		if size := rng.IntN(3); size < 2 && have[key] == 0 {
			if isDirKey(key) {
				size = 0
			}
			n.putBody(key, strings.Repeat("x", size), nil)
			have[key] = size
		} else {
			n.delete(key)
			delete(have, key)
		}
		n.pages(1 + rng.IntN(4))
		var want []string
		for _, name := range names {
			size, file := have[name]
			_, marker := have[name+"/"]
			_, below := have[name+"/x"]
			found := ""
			switch {
			case file && size > 0, file && !marker && !below:
				found = name
			case marker || below:
				found = name + "/"
			}
			n.wantFind(name, found)
			if found == "" {
				continue
			}
			want = append(want, found)
			if a, err := n.stat(context.Background(), found); err != nil || a.Metadata == nil {
				t.Fatalf("stat %q: %+v, %v", found, a, err)
			}
		}
		slices.Sort(want)
		n.wantDir("", want...)
		if t.Failed() {
			t.Fatalf("on the server: %v", have)
		}
	}
}
