package s3test_test

import (
	"io"
	"strings"
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

func TestMemCountsRequests(t *testing.T) {
	m := s3test.NewMem("b")
	put(t, m, "k", "v")
	put(t, m, "k", "w")
	if _, err := m.Head(t.Context(), "absent"); !s3backend.IsNotExist(err) {
		t.Errorf("Head: %v", err)
	}
	if n := m.Requests(); n[s3test.OpPut] != 2 || n[s3test.OpHead] != 1 || len(n) != 2 {
		t.Errorf("requests %v, want 2 PutObject and 1 HeadObject", n)
	}
	want := []s3test.Request{{Op: s3test.OpPut, Key: "k"}, {Op: s3test.OpPut, Key: "k"}, {Op: s3test.OpHead, Key: "absent"}}
	if got := m.Log(); !equal(got, want) {
		t.Errorf("log %v, want %v", got, want)
	}
	m.ResetRequests()
	if n := m.Requests(); len(n) != 0 {
		t.Errorf("requests after the reset: %v", n)
	}
}

func TestMemQuota(t *testing.T) {
	m := s3test.NewMem("b")
	m.SetQuota(10, 2)
	put(t, m, "a", "12345")
	_, err := m.Put(t.Context(), s3backend.PutRequest{Key: "b", Body: strings.NewReader("123456"), Size: 6})
	wantKind(t, err, s3backend.KindQuota)
	put(t, m, "b", "1")
	_, err = m.Put(t.Context(), s3backend.PutRequest{Key: "c", Body: strings.NewReader(""), Size: 0})
	wantKind(t, err, s3backend.KindQuota)
	_, err = m.Copy(t.Context(), s3backend.CopyRequest{Key: "d", SourceKey: "a"})
	wantKind(t, err, s3backend.KindQuota)
	if err := m.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}

	id, err := m.CreateMultipart(t.Context(), s3backend.CreateMultipartRequest{Key: "m"})
	if err != nil {
		t.Fatalf("CreateMultipart, which RGW allows over quota: %v", err)
	}
	part := func(n int, body string) error {
		_, err := m.UploadPart(t.Context(), s3backend.UploadPartRequest{
			Key: "m", UploadID: id, Number: n, Body: strings.NewReader(body), Size: int64(len(body)),
		})
		return err
	}
	if err := part(1, "12345678"); err != nil {
		t.Fatal(err)
	}
	wantKind(t, part(2, "12"), s3backend.KindQuota)
	u, err := m.Usage(t.Context())
	if err != nil || u.Bytes != 9 || u.Objects != 1 || u.BucketBytes != 10 || u.BucketCount != 2 {
		t.Errorf("Usage = %+v, %v; want 9 bytes, 1 object, quota 10, 2", u, err)
	}
	if err := m.AbortMultipart(t.Context(), "m", id); err != nil {
		t.Fatal(err)
	}
	if u, err := m.Usage(t.Context()); err != nil || u.Bytes != 1 {
		t.Errorf("%d bytes after Abort, want 1: %v", u.Bytes, err)
	}
}

func TestMemLimits(t *testing.T) {
	m := s3test.NewMem("b")
	m.SetLimits(s3test.Limits{PageSize: 2, MinPartSize: 3, MaxPutSize: 10, MaxCopySize: 5})
	for _, k := range []string{"a", "b", "c"} {
		put(t, m, k, "123456")
	}
	page, err := m.List(t.Context(), s3backend.ListRequest{MaxKeys: 100})
	if err != nil || len(page.Objects) != 2 || page.Next != "b" {
		t.Errorf("List = %+v, %v; want a page of 2 and Next b", page, err)
	}
	_, err = m.Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader("12345678901"), Size: 11})
	wantKind(t, err, s3backend.KindTooLarge)
	_, err = m.Copy(t.Context(), s3backend.CopyRequest{Key: "k", SourceKey: "a"})
	wantKind(t, err, s3backend.KindTooLarge)
	id, err := m.CreateMultipart(t.Context(), s3backend.CreateMultipartRequest{Key: "m"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.CopyPart(t.Context(), s3backend.CopyPartRequest{Key: "m", UploadID: id, Number: 1, SourceKey: "a", Length: 6})
	wantKind(t, err, s3backend.KindTooLarge)
	var parts []s3backend.Part
	for i, body := range []string{"123", "4"} {
		p, err := m.UploadPart(t.Context(), s3backend.UploadPartRequest{
			Key: "m", UploadID: id, Number: i + 1, Body: strings.NewReader(body), Size: int64(len(body)),
		})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	if _, err := m.CompleteMultipart(t.Context(), s3backend.CompleteMultipartRequest{Key: "m", UploadID: id, Parts: parts}); err != nil {
		t.Errorf("Complete with parts of MinPartSize: %v", err)
	}
}

// upload makes an unfinished upload of one part.
func upload(t *testing.T, m *s3test.Mem, key, body string) s3backend.CompleteMultipartRequest {
	t.Helper()
	id, err := m.CreateMultipart(t.Context(), s3backend.CreateMultipartRequest{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.UploadPart(t.Context(), s3backend.UploadPartRequest{
		Key: key, UploadID: id, Number: 1, Body: strings.NewReader(body), Size: int64(len(body)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s3backend.CompleteMultipartRequest{Key: key, UploadID: id, Parts: []s3backend.Part{p}}
}

// What the suite leaves open, since servers differ.
func TestMemRefusesPartsOutOfPlace(t *testing.T) {
	m := s3test.NewMem("b")
	m.SetLimits(s3test.Limits{PageSize: 10, MinPartSize: 1, MaxPutSize: 10, MaxCopySize: 10})
	req := upload(t, m, "k", "one")
	second, err := m.UploadPart(t.Context(), s3backend.UploadPartRequest{
		Key: "k", UploadID: req.UploadID, Number: 2, Body: strings.NewReader("two"), Size: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	first := req.Parts[0]
	for _, parts := range [][]s3backend.Part{{first}, {second}, {second, first}, {first, first}} {
		req.Parts = parts
		_, err := m.CompleteMultipart(t.Context(), req)
		wantKind(t, err, s3backend.KindInvalid)
	}
	req.Parts = []s3backend.Part{first, second}
	if _, err := m.CompleteMultipart(t.Context(), req); err != nil {
		t.Error(err)
	}
}

func TestMemPacific(t *testing.T) {
	m := s3test.NewMem("b")
	old := put(t, m, "k", "old")
	put(t, m, "k", "new")
	exclusive := upload(t, m, "k", "upload")
	exclusive.IfNoneMatch = true
	swap := upload(t, m, "k", "upload")
	swap.IfMatch = old.ETag
	stale := s3backend.CopyRequest{Key: "copy", SourceKey: "k", SourceIfMatch: old.ETag}

	_, err := m.CompleteMultipart(t.Context(), exclusive)
	wantKind(t, err, s3backend.KindExist)
	_, err = m.CompleteMultipart(t.Context(), swap)
	wantKind(t, err, s3backend.KindChanged)
	_, err = m.Copy(t.Context(), stale)
	wantKind(t, err, s3backend.KindChanged)

	m.SetPacific(true)
	if _, err := m.Copy(t.Context(), stale); err != nil {
		t.Errorf("Copy as on Pacific: %v", err)
	}
	for _, req := range []s3backend.CompleteMultipartRequest{exclusive, swap} {
		if _, err := m.CompleteMultipart(t.Context(), req); err != nil {
			t.Errorf("Complete as on Pacific: %v", err)
		}
	}
}

func TestMemRefusesMetadataThatIsNoHeader(t *testing.T) {
	m := s3test.NewMem("b")
	for name, value := range map[string]string{
		"Upper": "v", "under_score": "v", "": "v", "a b": "v",
		"utf8": "é", "newline": "a\nb", "blank-at-end": "v ", "blank-at-start": " v",
	} {
		_, err := m.Put(t.Context(), s3backend.PutRequest{
			Key: "k", Body: strings.NewReader(""),
			Attributes: s3backend.Attributes{Metadata: map[string]string{name: value}},
		})
		wantKind(t, err, s3backend.KindInvalid)
	}
}

func TestMemShortBody(t *testing.T) {
	m := s3test.NewMem("b")
	_, err := m.Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader("123"), Size: 4})
	wantKind(t, err, s3backend.KindInvalid)
	if _, err := m.Head(t.Context(), "k"); !s3backend.IsNotExist(err) {
		t.Errorf("a short body made an object: %v", err)
	}
}

// The suite allows KindChanged where Mem keeps the old generation.
func TestMemBodyOutlivesItsKey(t *testing.T) {
	m := s3test.NewMem("b")
	put(t, m, "k", "old generation")
	_, body, err := m.Get(t.Context(), s3backend.GetRequest{Key: "k", Offset: 4, Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	put(t, m, "k", "new")
	if err := m.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); err != nil || string(got) != "generation" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
}

func TestMemService(t *testing.T) {
	s := s3test.NewMemService("b", "a")
	infos, err := s.ListBuckets(t.Context())
	if err != nil || len(infos) != 2 || infos[0].Name != "a" || infos[1].Name != "b" || infos[0].Created.IsZero() {
		t.Errorf("ListBuckets = %+v, %v", infos, err)
	}
	put(t, s.Bucket("a"), "k", "v")
	if _, err := s.Bucket("a").Head(t.Context(), "k"); err != nil {
		t.Error(err)
	}
	s.Remove("a")
	_, err = s.Bucket("a").Head(t.Context(), "k")
	wantKind(t, err, s3backend.KindNotExist)
	_, err = s.Bucket("a").Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader(""), Size: 0})
	wantKind(t, err, s3backend.KindNotExist)
}
