package cache

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

func TestSmallFileIsOnePutAndOneGet(t *testing.T) {
	f, _ := newFixture(t)
	if _, err := f.Lookup(f.ctx, "", "a"); !s3backend.IsNotExist(err) {
		t.Fatal(err)
	}
	f.mem.ResetRequests()
	h := f.create("a")
	data := noise(1, 16<<10)
	f.write(h, data, 0)
	f.flush(h)
	h.Release()
	want := map[string]int{s3test.OpPut: 1}
	if got := f.mem.Requests(); !maps.Equal(got, want) {
		t.Errorf("writing: %v, want %v", got, want)
	}
	f.mem.ResetRequests()
	h = f.open("a", OpenFlags{Read: true})
	wantBytes(t, "read", f.read(h, 0, 1<<20), data)
	f.flush(h)
	h.Release()
	want = map[string]int{s3test.OpGet: 1}
	if got := f.mem.Requests(); !maps.Equal(got, want) {
		t.Errorf("reading: %v, want %v", got, want)
	}
}

func TestStreamedUpload(t *testing.T) {
	for _, size := range []int{0, 1, testPart - 1, testPart, testPart + 1, 5 * testPart, 5*testPart + 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			f, _ := newFixture(t)
			h := f.create("a")
			data := noise(2, size)
			for off := 0; off < size; off += 4096 {
				f.write(h, data[off:min(off+4096, size)], int64(off))
			}
			f.flush(h)
			wantBytes(t, "object", f.object("a"), data)
			wantBytes(t, "read", f.read(h, 0, size+1), data)
			h.Release()
			if ups, err := f.mem.ListMultiparts(f.ctx, ""); err != nil || len(ups) != 0 {
				t.Errorf("unfinished uploads: %v, %v", ups, err)
			}
			if n := f.mem.Requests()[s3test.OpUploadPart]; size <= testPart && n > 0 {
				t.Errorf("%d parts for a file of one", n)
			}
		})
	}
}

// TestRandomChanges compares a file under random reads and writes, through
// several handles, with bytes in memory, at sizes that cross part boundaries.
func TestRandomChanges(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			f, _ := newFixture(t)
			if seed%2 == 0 {
				f.mem.SetPacific(true)
			}
			rnd := rand.New(rand.NewPCG(seed, 7))
			var model []byte
			if seed%3 == 0 {
				model = noise(seed, rnd.IntN(6*testPart))
				f.put("a", model)
			} else {
				h := f.create("a")
				f.flush(h)
				h.Release()
			}
			hs := []*Handle{f.open("a", OpenFlags{Read: true, Write: true}), f.open("a", OpenFlags{Read: true, Write: true})}
			for step := range 120 {
				h := hs[rnd.IntN(len(hs))]
				off := rnd.Int64N(int64(len(model)) + testPart/2)
				if rnd.IntN(3) == 0 {
					off = int64(len(model)) // sequential writing is what most programs do
				}
				n := 1 + rnd.IntN(testPart)
				switch op := rnd.IntN(10); {
				case op < 5:
					data := noise(uint64(step), n)
					f.write(h, data, off)
					if int(off) > len(model) {
						model = append(model, make([]byte, int(off)-len(model))...)
					}
					model = append(model[:off], append(data, model[min(len(model), int(off)+n):]...)...)
				case op < 7:
					want := model[min(int(off), len(model)):min(int(off)+n, len(model))]
					wantBytes(t, fmt.Sprintf("step %d: read", step), f.read(h, off, n), want)
				case op == 7:
					if err := h.File().Truncate(f.ctx, off); err != nil {
						t.Fatal(err)
					}
					model = append(model[:min(int(off), len(model))], make([]byte, max(0, int(off)-len(model)))...)
				case op == 8:
					f.flush(h)
					wantBytes(t, fmt.Sprintf("step %d: object", step), f.object("a"), model)
				default:
					f.flush(hs[0])
					hs[0].Release()
					hs[0] = f.open("a", OpenFlags{Read: true, Write: true})
				}
				if a, err := h.File().Attr(f.ctx); err != nil || a.Size != int64(len(model)) {
					t.Fatalf("step %d: size %d, %v, want %d", step, a.Size, err, len(model))
				}
				if len(model) > 8*testPart {
					if err := h.File().Truncate(f.ctx, testPart/3); err != nil {
						t.Fatal(err)
					}
					model = model[:testPart/3]
				}
			}
			for _, h := range hs {
				f.flush(h)
				h.Release()
			}
			wantBytes(t, "object at the end", f.object("a"), model)
		})
	}
}

func TestMiddleOfLargeObjectMovesTwoParts(t *testing.T) {
	f, _ := newFixture(t)
	data := noise(3, 20*testPart)
	f.put("a", data)
	h := f.open("a", OpenFlags{Read: true, Write: true})
	f.mem.ResetRequests()
	f.write(h, []byte("changed"), 7*testPart-3)
	copy(data[7*testPart-3:], "changed")
	f.flush(h)
	h.Release()
	wantBytes(t, "object", f.object("a"), data)
	got := f.mem.Requests()
	if got[s3test.OpUploadPart] != 2 || got[s3test.OpCopyPart] != 18 || got[s3test.OpGet] > 4 {
		t.Errorf("requests: %v", got)
	}
}

func TestReplacedBeforeReadIsFollowed(t *testing.T) {
	f, _ := newFixture(t)
	f.put("a", noise(1, 3*testPart))
	h := f.open("a", OpenFlags{Read: true})
	next := noise(2, 5*testPart)
	f.put("a", next)
	wantBytes(t, "read", f.read(h, 0, 5*testPart), next)
	h.Release()
}

func TestReplacedDuringReadIsStale(t *testing.T) {
	f, _ := newFixture(t)
	old := noise(1, 4*chunkSize)
	f.put("a", old)
	h := f.open("a", OpenFlags{Read: true})
	wantBytes(t, "first", f.read(h, 0, 4096), old[:4096])
	f.put("a", noise(2, 4*chunkSize))
	p := make([]byte, 4096)
	_, err := h.ReadAt(f.ctx, p, 3*chunkSize)
	wantKind(t, err, s3backend.KindChanged)
	h.Release()
	h = f.open("a", OpenFlags{Read: true})
	wantBytes(t, "reopened", f.read(h, 0, 4*chunkSize), f.object("a"))
	h.Release()
}

func TestRemovedDuringReadIsStale(t *testing.T) {
	f, _ := newFixture(t)
	f.put("a", noise(1, 4*chunkSize))
	h := f.open("a", OpenFlags{Read: true})
	f.read(h, 0, 1)
	if err := f.mem.Delete(f.ctx, "a"); err != nil {
		t.Fatal(err)
	}
	_, err := h.ReadAt(f.ctx, make([]byte, 10), 3*chunkSize)
	wantKind(t, err, s3backend.KindChanged)
	h.Release()
}

// TestConcurrentReadsAreOneGeneration replaces an object while many reads of
// one handle run: what is returned is all of one generation.
func TestConcurrentReadsAreOneGeneration(t *testing.T) {
	f, _ := newFixture(t)
	gens := make([][]byte, 20)
	for i := range gens {
		gens[i] = bytes.Repeat([]byte{byte(i)}, 2*chunkSize)
	}
	f.put("a", gens[0])
	h := f.open("a", OpenFlags{Read: true})
	defer h.Release()
	var wg sync.WaitGroup
	seen := make([]map[byte]bool, 8)
	for w := range seen {
		seen[w] = map[byte]bool{}
		wg.Go(func() {
			for i := range 60 {
				p := make([]byte, 1000)
				n, err := h.ReadAt(f.ctx, p, int64((i*7919*977)%(2*chunkSize)))
				if err != nil {
					if s3backend.KindOf(err) != s3backend.KindChanged {
						t.Error(err)
					}
					continue
				}
				for _, b := range p[:n] {
					seen[w][b] = true
				}
			}
		})
	}
	for _, g := range gens[1:] {
		f.put("a", g)
	}
	wg.Wait()
	all := map[byte]bool{}
	for _, s := range seen {
		maps.Copy(all, s)
	}
	if len(all) > 1 {
		t.Errorf("a handle returned a mixture of generations %v", all)
	}
}

func TestFailedPutFailsClose(t *testing.T) {
	f, _ := newFixture(t, s3test.Rule{Op: s3test.OpPut, Times: 1, Do: []s3test.Effect{s3test.Fail(s3backend.KindQuota)}})
	f.put("a", []byte("old"))
	h := f.open("a", OpenFlags{Write: true, Truncate: true})
	f.write(h, []byte("new"), 0)
	wantKind(t, h.Flush(f.ctx), s3backend.KindQuota)
	wantBytes(t, "the old object", f.object("a"), []byte("old"))
	f.flush(h) // the data was kept, and the next close tries again
	wantBytes(t, "the new object", f.object("a"), []byte("new"))
	h.Release()
}

func TestFailedPartFailsAWriteAndIsTriedAgain(t *testing.T) {
	f, _ := newFixture(t, s3test.Rule{Op: s3test.OpUploadPart, Skip: 1, Times: 1, Do: []s3test.Effect{s3test.Fail(s3backend.KindUnavailable)}})
	f.put("a", []byte("old"))
	h := f.open("a", OpenFlags{Write: true, Truncate: true})
	data := noise(4, 8*testPart)
	failures := 0
	for off := 0; off < len(data); {
		n, err := h.WriteAt(f.ctx, data[off:off+testPart/2], int64(off))
		off += n
		if failures == 0 && len(h.f.stream.parts) > 1 {
			<-h.f.stream.parts[1].done // the next write meets its failure
		}
		if err != nil {
			wantKind(t, err, s3backend.KindUnavailable)
			failures++
			// A gap must not replace the object that is whole.
			wantKind(t, h.Flush(f.ctx), s3backend.KindUnavailable)
			wantBytes(t, "the old object", f.object("a"), []byte("old"))
		}
	}
	f.flush(h)
	if failures != 1 {
		t.Errorf("%d writes failed, want 1", failures)
	}
	wantBytes(t, "object", f.object("a"), data)
	h.Release()
}

func TestGivenUpChangesLeaveTheOldObject(t *testing.T) {
	f, faulty := newFixture(t)
	f.put("a", []byte("old"))
	for _, op := range []string{s3test.OpUploadPart, s3test.OpComplete, s3test.OpCreateMultipart} {
		faulty.Add(s3test.Rule{Op: op, Do: []s3test.Effect{s3test.Fail(s3backend.KindUnavailable)}})
		h := f.open("a", OpenFlags{Write: true, Truncate: true})
		for off := int64(0); off < 3*testPart; off += testPart / 4 {
			if _, err := h.WriteAt(f.ctx, noise(1, testPart/4), off); err != nil {
				break
			}
		}
		if h.Flush(f.ctx) == nil {
			t.Errorf("%s: close succeeded", op)
		}
		h.Release()
		faulty.Clear()
		wantBytes(t, "object", f.object("a"), []byte("old"))
		if ups, err := f.mem.ListMultiparts(f.ctx, ""); err != nil || len(ups) != 0 {
			t.Errorf("%s: unfinished uploads: %v, %v", op, ups, err)
		}
	}
}

// TestManyWritersInLittleMemory writes more files at once than parts fit the
// budget: all finish.
func TestManyWritersInLittleMemory(t *testing.T) {
	f, _ := newFixture(t)
	f.c.cfg.PartSize = 2 * chunkSize
	f.c.mem = newMemory(8 * chunkSize)
	const files = 40
	var wg sync.WaitGroup
	for i := range files {
		wg.Go(func() {
			name := fmt.Sprint("f", i)
			h, err := f.Create(f.ctx, "", name, nil, OpenFlags{Write: true})
			if err != nil {
				t.Error(err)
				return
			}
			defer h.Release()
			data := noise(uint64(i), 5*chunkSize)
			for off := 0; off < len(data); off += 256 << 10 {
				if _, err := h.WriteAt(f.ctx, data[off:off+256<<10], int64(off)); err != nil {
					t.Error(err)
					return
				}
			}
			if err := h.Flush(f.ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range files {
		wantBytes(t, "object", f.object(fmt.Sprint("f", i)), noise(uint64(i), 5*chunkSize))
	}
}

// TestReadersInLittleMemory reads more at once than the budget holds.
func TestReadersInLittleMemory(t *testing.T) {
	f, _ := newFixture(t)
	f.c.mem = newMemory(4 * chunkSize)
	data := noise(9, 9*chunkSize+123)
	f.put("a", data)
	var wg sync.WaitGroup
	for range 6 {
		h := f.open("a", OpenFlags{Read: true})
		wg.Go(func() {
			defer h.Release()
			var got []byte
			p := make([]byte, 100_000)
			for {
				n, err := h.ReadAt(f.ctx, p, int64(len(got)))
				if err != nil {
					t.Error(err)
					return
				}
				if n == 0 {
					break
				}
				got = append(got, p[:n]...)
			}
			if !bytes.Equal(got, data) {
				t.Error("wrong bytes")
			}
		})
	}
	wg.Wait()
}

func TestExclusiveCreateMeetsAnother(t *testing.T) {
	for _, size := range []int{10, 3 * testPart} {
		f, _ := newFixture(t)
		f.mem.SetPacific(true) // Complete ignores conditions there
		h, err := f.Create(f.ctx, "", "a", nil, OpenFlags{Write: true, Excl: true})
		if err != nil {
			t.Fatal(err)
		}
		f.write(h, noise(1, size), 0)
		f.put("a", []byte("theirs"))
		wantKind(t, h.Flush(f.ctx), s3backend.KindExist)
		h.Release()
		wantBytes(t, "object", f.object("a"), []byte("theirs"))
	}
}

// TestModificationThatIsAllHereFailsToo: no read of the base notices that it
// was replaced.
func TestModificationThatIsAllHereFailsToo(t *testing.T) {
	f, _ := newFixture(t)
	f.put("a", noise(1, 100))
	h := f.open("a", OpenFlags{Write: true})
	f.write(h, noise(2, 100), 0)
	f.put("a", []byte("theirs"))
	wantKind(t, h.Flush(f.ctx), s3backend.KindChanged)
	h.Release()
	wantBytes(t, "object", f.object("a"), []byte("theirs"))
}

// TestTwoGaps: a file lacks the bytes of two writes that failed.
func TestTwoGaps(t *testing.T) {
	var f File
	boom := s3errorf(s3backend.KindUnavailable, "write", "boom")
	f.noteGap(100, 10, 50, boom) // 110 to 150 are missing
	f.noteGap(150, 0, 50, boom)  // to 200
	f.noteGap(150, 50, 50, nil)
	if f.gapErr == nil {
		t.Error("the first gap is forgotten")
	}
	f.noteGap(110, 40, 40, nil)
	if f.gapErr == nil {
		t.Error("what comes after the first gap was not written again in order, and is forgotten")
	}
	f.noteGap(150, 50, 50, nil)
	if f.gapErr != nil {
		t.Error("all is written again")
	}
}

// TestFailedCloseIsFinal: what a close could not store is not stored later.
func TestFailedCloseIsFinal(t *testing.T) {
	f, _ := newFixture(t, s3test.Rule{Op: s3test.OpPut, Times: 1, Do: []s3test.Effect{s3test.Fail(s3backend.KindQuota)}})
	h := f.create("a")
	f.write(h, []byte("new"), 0)
	wantKind(t, h.Flush(f.ctx), s3backend.KindQuota)
	h.Release()
	f.wantKeys()
}

func TestModificationOfAReplacedBaseFails(t *testing.T) {
	for _, size := range []int{testPart / 2, 5 * testPart} {
		f, _ := newFixture(t)
		f.mem.SetPacific(true) // ignores x-amz-copy-source-if-match
		f.put("a", noise(1, size))
		h := f.open("a", OpenFlags{Write: true})
		f.write(h, []byte("x"), 100)
		theirs := noise(2, size)
		f.put("a", theirs)
		wantKind(t, h.Flush(f.ctx), s3backend.KindChanged)
		h.Release()
		wantBytes(t, "object", f.object("a"), theirs)
	}
}

// TestAbandonedUploadIsAbortedLater: an upload that could not be aborted while
// the server was away is, once it takes writes again.
func TestAbandonedUploadIsAbortedLater(t *testing.T) {
	f, faulty := newFixture(t)
	h := f.create("a")
	f.write(h, noise(1, 3*testPart), 0)
	for _, op := range []string{s3test.OpUploadPart, s3test.OpComplete, s3test.OpAbort} {
		faulty.Add(s3test.Rule{Op: op, Do: []s3test.Effect{s3test.Fail(s3backend.KindUnavailable)}})
	}
	if h.Flush(f.ctx) == nil {
		t.Fatal("close succeeded")
	}
	h.Release()
	faulty.Clear()
	if ups, err := f.mem.ListMultiparts(f.ctx, ""); err != nil || len(ups) != 1 {
		t.Fatalf("unfinished uploads: %v, %v", ups, err)
	}
	h = f.create("b")
	f.flush(h)
	h.Release()
	if ups, err := f.mem.ListMultiparts(f.ctx, ""); err != nil || len(ups) != 0 {
		t.Errorf("unfinished uploads: %v, %v", ups, err)
	}
}

// TestLateAttributesAreTriedAgain changes attributes after an upload has begun
// with others, and has the request fail that stores them after the bytes.
func TestLateAttributesAreTriedAgain(t *testing.T) {
	f, faulty := newFixture(t)
	h := f.create("a")
	f.write(h, noise(1, 3*testPart), 0)
	if err := h.f.SetMetadata(f.ctx, func(md map[string]string) { md["mode"] = "33152" }); err != nil {
		t.Fatal(err)
	}
	faulty.Add(s3test.Rule{Op: s3test.OpCopy, Times: 1, Do: []s3test.Effect{s3test.Fail(s3backend.KindUnavailable)}})
	wantKind(t, h.Flush(f.ctx), s3backend.KindUnavailable)
	wantBytes(t, "the bytes", f.object("a"), noise(1, 3*testPart))
	f.flush(h)
	obj, err := f.mem.Head(f.ctx, "a")
	if err != nil || obj.Metadata["mode"] != "33152" {
		t.Errorf("%v, %v", obj.Metadata, err)
	}
	wantBytes(t, "the bytes", f.object("a"), noise(1, 3*testPart))
	h.Release()
}

// TestOpenFileFollowsACopyWithAnotherETag renames a file that is open and changed
// in place, as above 5 GiB: by parts, so that the copy has another ETag.
func TestOpenFileFollowsACopyWithAnotherETag(t *testing.T) {
	f, _ := newFixture(t)
	f.c.maxCopy, f.c.copyPart = 1, 2*testPart
	f.put("a", noise(1, 3*testPart))
	h := f.open("a", OpenFlags{Read: true, Write: true})
	want := noise(1, 3*testPart)
	for i, name := range []string{"b", "c"} {
		copy(want[i*10:], "change")
		f.write(h, []byte("change"), int64(i*10))
		if err := f.Rename(f.ctx, "", h.f.Key(), "", name, false); err != nil {
			t.Fatal(err)
		}
		if got := f.read(h, 0, len(want)); !bytes.Equal(got, want) {
			t.Errorf("as %s: read %d bytes, or other ones", name, len(got))
		}
		f.flush(h)
		wantBytes(t, name, f.object(name), want)
	}
	h.Release()
}

// TestChangedWithMetadataUnknown changes files of which only a listing was seen.
func TestChangedWithMetadataUnknown(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags OpenFlags
	}{{"replaced", OpenFlags{Write: true, Truncate: true}}, {"changed", OpenFlags{Write: true}}} {
		for _, chmod := range []bool{false, true} {
			f, _ := newFixture(t)
			req := s3backend.PutRequest{Key: "a", Body: bytes.NewReader([]byte("old")), Size: 3}
			req.Metadata = map[string]string{"mode": "33152", "uid": "7"}
			if _, err := f.mem.Put(f.ctx, req); err != nil {
				t.Fatal(err)
			}
			d, err := f.OpenDir(f.ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			if _, _, ok, err := d.Read(f.ctx, 0); err != nil || !ok {
				t.Fatalf("%v, %v", ok, err)
			}
			d.Close()
			h := f.open("a", c.flags)
			f.write(h, []byte("new"), 0)
			want := "33152"
			if chmod {
				want = "33188"
				if err := h.f.SetMetadata(f.ctx, func(md map[string]string) { md["mode"] = want }); err != nil {
					t.Fatal(err)
				}
			}
			if a, err := h.f.Attr(f.ctx); err != nil || a.Metadata["uid"] != "7" {
				t.Errorf("%s: before the commit: %v, %v", c.name, a.Metadata, err)
			}
			f.flush(h)
			obj, err := f.mem.Head(f.ctx, "a")
			if err != nil || obj.Metadata["mode"] != want || obj.Metadata["uid"] != "7" {
				t.Errorf("%s: %v, %v", c.name, obj.Metadata, err)
			}
			wantBytes(t, c.name, f.object("a"), []byte("new"))
			h.Release()
		}
	}
}

// TestTruncateAfterClose: the kernel releases a handle some time after its
// close. A truncation in between is not left to a close that has been.
func TestTruncateAfterClose(t *testing.T) {
	f, _ := newFixture(t)
	h := f.create("a")
	f.write(h, []byte("0123456789"), 0)
	f.flush(h)
	if err := h.File().Truncate(f.ctx, 4); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "object", f.object("a"), []byte("0123"))
	// But one of a file that is being written is.
	f.write(h, []byte("x"), 4)
	if err := h.File().Truncate(f.ctx, 2); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "object", f.object("a"), []byte("0123"))
	f.flush(h)
	wantBytes(t, "object", f.object("a"), []byte("01"))
	h.Release()
}
