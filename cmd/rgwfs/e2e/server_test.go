package e2e

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// server is a bucket on RGW, and who mounts it how.
type server struct {
	rgw         *s3test.RGWServer
	tls         bool
	key, secret string
	bucket      string
	source      string            // what is mounted: the bucket, or a part of it
	client      *s3backend.Client // past the mount
	store       s3backend.Store   // the bucket, past the mount
	before      int               // requests made when the counting began
}

// newServer makes a bucket of the rig's first user on the gateway.
func newServer(t *testing.T, rgw *s3test.RGWServer) *server {
	t.Helper()
	s := &server{rgw: rgw, key: rgw.AccessKey, secret: rgw.SecretKey, bucket: rgw.NewBucket()}
	s.connect(t)
	return s
}

// limitedServer makes a bucket of the user who may store 16 MiB in all.
func limitedServer(t *testing.T, rgw *s3test.RGWServer) *server {
	t.Helper()
	s := &server{rgw: rgw, key: rgw.LimitedAccessKey, secret: rgw.LimitedSecretKey, bucket: rgw.NewBucketName()}
	s.connect(t)
	rgw.RemoveBucketLater(s.bucket)
	if err := s.client.CreateBucket(context.Background(), s3backend.NewBucket{Name: s.bucket}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) connect(t *testing.T) {
	t.Helper()
	config := s3backend.DefaultConfig()
	config.Endpoint, config.AccessKey, config.SecretKey = s.rgw.HTTP, s3backend.Secret(s.key), s3backend.Secret(s.secret)
	client, err := s3backend.New(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s.client, s.store, s.source = client, client.Bucket(s.bucket), s.bucket
}

// env is what a user has in the environment.
func (s *server) env() []string {
	env := []string{"AWS_ACCESS_KEY_ID=" + s.key, "AWS_SECRET_ACCESS_KEY=" + s.secret}
	if s.tls {
		return append(env, "RGWFS_ENDPOINT="+s.rgw.HTTPS, "RGWFS_CA_FILE="+s.rgw.CAFile)
	}
	return append(env, "RGWFS_ENDPOINT="+s.rgw.HTTP)
}

// put stores an object past the mount.
func (s *server) put(t *testing.T, key string, content []byte) {
	t.Helper()
	_, err := s.store.Put(context.Background(), s3backend.PutRequest{Key: key, Body: bytes.NewReader(content), Size: int64(len(content))})
	if err != nil {
		t.Fatal(err)
	}
}

// get reads an object past the mount.
func (s *server) get(t *testing.T, key string) []byte {
	t.Helper()
	_, body, err := s.store.Get(context.Background(), s3backend.GetRequest{Key: key, Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wantObject fails the test unless the object has this content.
func (s *server) wantObject(t *testing.T, key string, content []byte) {
	t.Helper()
	if got := s.get(t, key); !bytes.Equal(got, content) {
		t.Errorf("object %s has %s, want %s", key, digest(got), digest(content))
	}
}

// digest names content in a message.
func digest(content []byte) string {
	sum := md5.Sum(content)
	return hex.EncodeToString(sum[:])
}

// keys returns all keys of the bucket.
func (s *server) keys(t *testing.T) []string {
	t.Helper()
	var keys []string
	for after := ""; ; {
		page, err := s.store.List(context.Background(), s3backend.ListRequest{StartAfter: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range page.Objects {
			keys = append(keys, object.Key)
		}
		if after = page.Next; after == "" {
			return keys
		}
	}
}

// wantNoUploads fails the test if an upload to the bucket was begun and neither
// completed nor aborted.
func (s *server) wantNoUploads(t *testing.T) {
	t.Helper()
	uploads, err := s.store.ListMultiparts(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, upload := range uploads {
		t.Errorf("an upload of %s is left", upload.Key)
	}
}

// count begins the counting of the requests to the bucket.
func (s *server) count() { s.before = len(s.rgw.Requests(s.bucket)) }

// counted returns the requests since count.
func (s *server) counted() []s3test.RGWRequest { return s.rgw.Requests(s.bucket)[s.before:] }
