package s3backend_test

import (
	"strings"
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// A conditional write whose answer is lost meets its own object when it is
// repeated; it has succeeded nevertheless.
func TestLostAnswersOfConditionalWrites(t *testing.T) {
	url := newServer(t, fakeObject(t))
	lose := func() *s3test.Transport {
		return s3test.NewTransport(s3test.Rule{Op: "PutObject", Times: 1, Do: []s3test.Effect{s3test.LoseAnswer()}})
	}
	with := func(tr *s3test.Transport) s3backend.Store {
		return testClient(t, url, func(c *s3backend.Config) { c.WrapTransport = tr.Wrap }).Bucket("b")
	}
	exclusive := func(s s3backend.Store, data string) (s3backend.Object, error) {
		return s.Put(t.Context(), s3backend.PutRequest{
			Key: "k", Body: strings.NewReader(data), Size: int64(len(data)),
			Attributes: s3backend.Attributes{Metadata: map[string]string{"mtime": data}},
			Conditions: s3backend.Conditions{IfNoneMatch: true},
		})
	}
	first, err := exclusive(with(lose()), "mine")
	if err != nil {
		t.Fatal(err)
	}
	// Somebody else's object is not ours, lost answer or not.
	_, err = exclusive(with(lose()), "other")
	wantKind(t, err, s3backend.KindExist)
	_, err = exclusive(with(s3test.NewTransport()), "mine")
	wantKind(t, err, s3backend.KindExist)

	swap := func(s s3backend.Store, etag, data string) (s3backend.Object, error) {
		return s.Put(t.Context(), s3backend.PutRequest{
			Key: "k", Body: strings.NewReader(data), Size: int64(len(data)), Conditions: s3backend.Conditions{IfMatch: etag},
		})
	}
	second, err := swap(with(lose()), first.ETag, "new")
	if err != nil {
		t.Fatal(err)
	}
	_, err = swap(with(lose()), first.ETag, "late")
	wantKind(t, err, s3backend.KindChanged)
	if now, err := with(s3test.NewTransport()).Head(t.Context(), "k"); err != nil || now.ETag != second.ETag {
		t.Errorf("%+v, %v", now, err)
	}
}

// fakeObject serves one object that takes conditional PUTs as RGW does.
func fakeObject(t *testing.T) func(*answer) {
	var data, tag, mtime string
	turn := make(chan struct{}, 1)
	return func(a *answer) {
		turn <- struct{}{}
		defer func() { <-turn }()
		switch a.req.Method {
		case "PUT":
			body := make([]byte, a.req.ContentLength)
			if _, err := a.req.Body.Read(body); err != nil && err.Error() != "EOF" {
				t.Error(err)
			}
			if a.req.Header.Get("If-None-Match") == "*" && tag != "" || a.req.Header.Get("If-Match") != "" && a.req.Header.Get("If-Match") != tag {
				a.fail(412, "PreconditionFailed")
				return
			}
			data, tag, mtime = string(body), md5Of(string(body)), a.req.Header.Get("X-Amz-Meta-Mtime")
			a.Header().Set("ETag", `"`+tag+`"`)
		case "HEAD":
			a.Header().Set("ETag", `"`+tag+`"`)
			a.Header().Set("X-Amz-Meta-Mtime", mtime)
			if mtime == "" {
				a.Header().Del("X-Amz-Meta-Mtime")
			}
			a.Header().Set("Content-Length", itoa(len(data)))
		}
	}
}

func TestCompleteIsSettled(t *testing.T) {
	part := s3backend.Part{Number: 1, ETag: contentTag, Size: int64(len(content))}
	for _, c := range []struct {
		name, code, message string
		status              int
		object              string // the ETag of what HEAD finds
		upload              bool   // it is still there
		want                s3backend.Kind
		ok                  bool
	}{
		{name: "gone but done", status: 404, code: "NoSuchUpload", object: multipartTag, ok: true},
		{name: "gone", status: 404, code: "NoSuchUpload", object: contentTag, want: s3backend.KindNotExist},
		{name: "RGW 16 gone", status: 500, code: "InternalError", message: inProgressMessage, object: contentTag, want: s3backend.KindNotExist},
		{name: "RGW 16 gone but done", status: 500, code: "InternalError", message: inProgressMessage, object: multipartTag, ok: true},
		{name: "in progress for ever", status: 500, code: "InternalError", message: inProgressMessage, object: contentTag, upload: true, want: s3backend.KindUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := newServer(t, func(a *answer) {
				switch a.req.Method {
				case "POST":
					a.WriteHeader(c.status)
					a.body("<Error><Code>" + c.code + "</Code><Message>" + c.message + "</Message></Error>")
				case "HEAD":
					a.Header().Set("ETag", `"`+c.object+`"`)
					a.Header().Set("Content-Length", itoa(len(content)))
				case "GET": // ListParts
					if !c.upload {
						a.fail(404, "NoSuchUpload")
					}
				}
			})
			o, err := testClient(t, url, nil).Bucket("b").CompleteMultipart(t.Context(), s3backend.CompleteMultipartRequest{
				Key: "k", UploadID: "u", Parts: []s3backend.Part{part},
			})
			if !c.ok {
				wantKind(t, err, c.want)
			} else if err != nil || o.ETag != multipartTag {
				t.Errorf("%+v, %v", o, err)
			}
		})
	}
}

func TestCopyWithoutETagHasFailed(t *testing.T) {
	url := newServer(t, func(a *answer) { a.body("<CopyObjectResult><Progress>1</Progress></CopyObjectResult>") })
	s := testClient(t, url, nil).Bucket("b")
	_, err := s.Copy(t.Context(), s3backend.CopyRequest{Key: "k", SourceKey: "j"})
	wantKind(t, err, s3backend.KindUnavailable)
	_, err = s.CopyPart(t.Context(), s3backend.CopyPartRequest{Key: "k", UploadID: "u", Number: 1, SourceKey: "j", Length: 1})
	wantKind(t, err, s3backend.KindUnavailable)
}
