package cache

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

func TestReadDir(t *testing.T) {
	n := newNames(t, roomy)
	n.put("d/", "d/b", "d/a/x", "d/c/", "d/c/y", "d/empty=0", "e")
	n.wantDir("", "d/", "e")
	n.wantRequests(0, 1)
	n.wantDir("d/", "a/", "b", "c/", "empty")
	n.wantRequests(0, 1)
	n.wantDir("d/", "a/", "b", "c/", "empty")
	n.wantFind("d/empty", "d/empty")
	n.wantFind("d/c", "d/c/")
	n.wantFind("d/none", "")
	n.wantRequests(0, 0)
	n.clock.advance(2 * time.Minute)
	n.wantDir("d/", "a/", "b", "c/", "empty")
	n.wantRequests(0, 1)
}

// ls -l of 20,000 files: LISTs only, also for the lookups after it.
func TestTwentyThousand(t *testing.T) {
	n := newNames(t, roomy)
	const count = 20_000
	for i := range count {
		n.put(fmt.Sprintf("d/%05d", i))
	}
	if got := n.readDir("d/"); len(got) != count {
		t.Fatalf("got %d names, want %d", len(got), count)
	}
	n.wantRequests(0, 20)
	for i := range count {
		key := fmt.Sprintf("d/%05d", i)
		if n.find(key) != key {
			t.Fatalf("lookup of %q fails", key)
		}
	}
	n.wantFind("d/none", "")
	if got := n.readDir("d/"); len(got) != count {
		t.Fatalf("the second time: got %d names, want %d", len(got), count)
	}
	n.wantRequests(0, 0)
	n.lists.mu.Lock()
	held := n.lists.bytes
	n.lists.mu.Unlock()
	if held < 150*count || held > 400*count {
		t.Errorf("a listing of %d names is accounted with %d bytes", count, held)
	}
}

// Readers of one directory share its pages.
func TestReadersShare(t *testing.T) {
	n := newNames(t, roomy)
	n.pages(10)
	for i := range 200 {
		n.put(fmt.Sprintf("%03d", i))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := n.readDir(""); len(got) != 200 {
				t.Errorf("got %d names", len(got))
			}
		})
	}
	wg.Wait()
	n.wantRequests(0, 20)
}

func TestCollisions(t *testing.T) {
	for _, size := range []int{1, 2, 3, 1000} {
		t.Run(fmt.Sprintf("pages of %d", size), func(t *testing.T) {
			n := newNames(t, roomy)
			n.pages(size)
			n.put("full", "full/x", "void=0", "void/x", "empty=0", "empty-1", "empty.c",
				"far=0", "far-1", "far-2", "far-3", "far-4=0", "far/x",
				"big", "big!", "big-1", "big/x",
				"long=0", "long-=0", "long--=0", "long---=0", "long--/x")
			want := []string{"big", "big!", "big-1", "empty", "empty-1", "empty.c",
				"far-1", "far-2", "far-3", "far-4", "far/", "full",
				"long", "long-", "long---", "long--/", "void/"}
			slices.Sort(want)
			n.wantDir("", want...)
			n.wantDir("", want...)
			n.store.ResetRequests()
			for _, e := range want {
				n.wantFind(strings.TrimSuffix(e, "/"), e)
			}
			n.wantRequests(0, 0)
			// What was hidden comes to light.
			n.unlink("full")
			n.wantFind("full", "full/")
			n.unlink("void/x")
			n.removedDir("void/")
			n.wantFind("void", "void")
			n.local.write("big", 0)
			n.wantFind("big", "big") // local files win
		})
	}
}

// A lookup from a listing that has come only to an empty object asks.
func TestCollisionUnsettledLookup(t *testing.T) {
	n := newNames(t, roomy)
	n.pages(2)
	n.put("a", "x=0", "x-1", "x-2", "x/y")
	d := n.open("")
	if _, _, ok, err := d.Read(context.Background(), 0); !ok || err != nil {
		t.Fatal(ok, err)
	}
	n.wantRequests(0, 1)
	n.wantFind("x", "x/")
	n.wantRequests(0, 1)
}

func TestUnrepresentableKeys(t *testing.T) {
	n := newNames(t, roomy)
	n.put("ok", "/lead", "d//x", "d/./y", "d/../z", "d/"+strings.Repeat("n", 256), "d/"+strings.Repeat("m", 256)+"/k", "d/fine")
	n.wantDir("", "d/", "ok")
	n.wantDir("d/", "fine")
	n.clock.advance(2 * time.Minute)
	n.wantDir("d/", "fine")
	if got := n.logs.count("directory=d/"); got != 1 {
		t.Errorf("%d warnings for d/, want 1:\n%s", got, n.logs.b.String())
	}
}

func TestFailedPageCanBeRetried(t *testing.T) {
	n := newNames(t, roomy)
	n.pages(2)
	n.put("a", "b", "c", "d", "e")
	n.store.Add(s3test.Rule{Op: s3test.OpList, Skip: 1, Times: 2, Do: []s3test.Effect{s3test.Fail(s3backend.KindUnavailable)}})
	d := n.open("")
	var got []string
	failures, cookie := 0, uint64(0)
	for {
		e, next, ok, err := d.Read(context.Background(), cookie)
		if err != nil {
			if s3backend.KindOf(err) != s3backend.KindUnavailable || failures > 2 {
				t.Fatal(err)
			}
			failures++
			continue
		}
		if !ok {
			break
		}
		got, cookie = append(got, e.Name), next
	}
	if failures != 2 || strings.Join(got, "") != "abcde" {
		t.Errorf("got %q after %d failures", got, failures)
	}
}

func TestListingWithoutProgress(t *testing.T) {
	n := newNames(t, roomy)
	n.pages(2)
	n.put("a", "b", "c", "d", "e")
	n.slow.metaStore = stuckStore{n.store}
	d := n.open("")
	for cookie := uint64(0); ; {
		_, next, ok, err := d.Read(context.Background(), cookie)
		if err != nil {
			break
		}
		if !ok {
			t.Fatal("the listing came to an end")
		}
		cookie = next
	}
}

// stuckStore continues every listing where it began.
type stuckStore struct{ metaStore }

func (s stuckStore) List(ctx context.Context, req s3backend.ListRequest) (s3backend.Page, error) {
	req.StartAfter = ""
	return s.metaStore.List(ctx, req)
}

// Cookies are positions in what was read, whatever changes meanwhile.
func TestCookies(t *testing.T) {
	n := newNames(t, roomy)
	n.pages(10)
	for i := range 100 {
		n.create(fmt.Sprintf("%03d", i), "x")
	}
	ctx := context.Background()
	d := n.open("")
	cookies := map[string]uint64{}
	cookie := uint64(0)
	for i := 0; ; i++ {
		e, next, ok, err := d.Read(ctx, cookie)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		cookies[e.Name], cookie = cookie, next
		if i%3 == 0 {
			n.unlink(e.Name)
		}
		if i == 50 {
			n.create("000new", "x")
			n.create("zzz", "x")
		}
	}
	if len(cookies) != 102 {
		t.Errorf("got %d names, want 102", len(cookies))
	}
	for name, c := range cookies {
		e, _, ok, err := d.Read(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		if n.find(name) != "" && (!ok || e.Name != name) {
			t.Errorf("cookie %d gives %q, gave %q", c, e.Name, name)
		}
	}
	if _, _, ok, err := d.Read(ctx, makeCookie(9999, 7)); ok || err != nil {
		t.Errorf("a cookie that was never given: %v %v", ok, err)
	}
	d.Close()
	if _, _, _, err := d.Read(ctx, 0); err == nil {
		t.Error("a closed handle reads")
	}
}

func TestRewind(t *testing.T) {
	n := newNames(t, roomy)
	n.put("a")
	d := n.open("")
	n.rest(d, 0)
	n.put("b")
	d.Rewind()
	if got := n.rest(d, 0); len(got) != 1 {
		t.Errorf("a fresh listing was asked for again: %q", got)
	}
	n.clock.advance(2 * time.Minute)
	d.Rewind()
	if got := n.rest(d, 0); len(got) != 2 {
		t.Errorf("got %q after the TTL, want a and b", got)
	}
}

// A directory too big for memory is read in passing, and can be read again.
func TestGiantListingStreams(t *testing.T) {
	n := newNames(t, 64<<10)
	n.pages(20)
	const count = 3000
	var want []string
	for i := range count {
		name := fmt.Sprintf("%05d", i)
		n.put(name)
		want = append(want, name)
	}
	n.put("00100=0", "00100/x", "01000-=0", "01000/x", "02000-/x", "zz=0")
	want[100] = "00100/"
	want = append(want, "01000-", "02000-/", "zz", "00500.", "00600.", "00700./")
	// Whether these are directories shows only some pages later.
	n.put("00500.=0", "00600.", "00600./x", "00700.=0", "00700./x")
	for i := range 70 {
		for _, name := range []string{"00500.", "00600.", "00700."} {
			name = fmt.Sprintf("%s-%03d", name, i)
			n.put(name)
			want = append(want, name)
		}
	}
	slices.Sort(want)
	n.put("small/x")
	want = append(want, "small/")
	slices.Sort(want)
	n.wantDir("small/", "x")
	d := n.open("")
	var cookies []uint64
	cookie, most := uint64(0), int64(0)
	var got []string
	for {
		e, next, ok, err := d.Read(context.Background(), cookie)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		if e.Attr.IsDir() {
			e.Name += "/"
		}
		got, cookies, cookie = append(got, e.Name), append(cookies, cookie), next
		most = max(most, d.l.size())
	}
	names := slices.Sorted(slices.Values(got))
	if !slices.Equal(names, want) {
		t.Fatalf("got %d names, want %d", len(got), len(want))
	}
	if !d.l.streaming || most > 32<<10 {
		t.Errorf("streaming %v, held up to %d bytes", d.l.streaming, most)
	}
	for _, i := range []int{10, 1500, 700, 2999, 100, 101, 0} {
		e, _, ok, err := d.Read(context.Background(), cookies[i])
		if err != nil || !ok || e.Name != strings.TrimSuffix(got[i], "/") {
			t.Errorf("cookie of %q gives %q, %v, %v", got[i], e.Name, ok, err)
		}
	}
	if again := n.rest(d, 0); !slices.Equal(again, got) {
		t.Errorf("read again: got %d names, want the same %d", len(again), len(got))
	}
	n.store.ResetRequests()
	n.wantDir("small/", "x") // was not pushed out
	n.wantRequests(0, 0)
	n.wantFind("none", "") // no listing that is not whole answers that
	n.wantRequests(1, 1)
	// Removing while reading, as rm -r does.
	d.Rewind()
	cookie = 0
	removed := 0
	for {
		e, next, ok, err := d.Read(context.Background(), cookie)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		cookie = next
		if !e.Attr.IsDir() {
			n.unlink(e.Name)
			removed++
		}
	}
	// What a file had hidden comes to light.
	n.wantDir("", "00100/", "00600./", "00700./", "01000/", "02000-/", "small/")
	if removed != count+1+2+210 {
		t.Errorf("removed %d", removed)
	}
}

// A directory without marker outlives its last file, until rmdir.
func TestKeptDirectories(t *testing.T) {
	n := newNames(t, roomy)
	n.put("a/b/x", "z")
	n.wantFind("a/b/x", "a/b/x")
	n.unlink("a/b/x")
	for range 2 {
		n.wantFind("a", "a/")
		n.wantFind("a/b", "a/b/")
		n.wantFind("a/b/x", "")
		n.wantDir("", "a/", "z")
		n.wantDir("a/", "b/")
		n.wantDir("a/b/")
		if a, err := n.stat(context.Background(), "a/b/"); err != nil || a.Metadata == nil {
			t.Errorf("stat: %+v, %v", a, err)
		}
		n.clock.advance(time.Hour)
	}
	n.removedDir("a/b/")
	n.wantFind("a/b", "")
	n.wantDir("a/")
	n.wantFind("a", "a/")
	n.removedDir("a/")
	n.wantFind("a", "")
	n.wantDir("", "z")

	k := newKeptDirs(3)
	for _, d := range []string{"1/", "2/", "3/", "4/"} {
		k.add(d)
	}
	if k.has("1/") || !k.has("4/") || len(k.in("")) != 3 {
		t.Errorf("not the newest three are kept: %q", k.in(""))
	}
}
